/** Returns such a function. It may be called with any `this`.
 * @param {Completions} completions @param {string} model @returns {typeof globalThis.fetch} */
export function createFetch(completions: Completions, model: string): typeof globalThis.fetch;
export type ChatStream = import("./chat-stream.js").ChatStream;
export type Completions = import("./completions.js").Completions;
