/** @param {unknown} value @param {string} where @returns {SourceMessage[]} */
export function readMessages(value: unknown, where: string): SourceMessage[];
export type SourceMessage = import("./types.js").SourceMessage;
export type SourcePart = import("./types.js").SourcePart;
