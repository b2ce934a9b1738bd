/** Returns the model. @returns {import("../shared/protocol.js").ModelRef} */
export function rulerModel(): import("../shared/protocol.js").ModelRef;
