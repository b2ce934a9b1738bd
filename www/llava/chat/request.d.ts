/** Reads a request. Options that it does not name are the engine's defaults.
 * @param {unknown} request @returns {CheckedRequest} */
export function readRequest(request: unknown): CheckedRequest;
export type ChatRequest = import("./types.js").ChatRequest;
export type CheckedRequest = import("./types.js").CheckedRequest;
export type EngineOptions = import("./types.js").EngineOptions;
