/** @typedef {import("./answer.js").Answered} Answered */
/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("./call-queue.js").CallQueue} CallQueue */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./types.js").CallOptions} CallOptions */
/** @typedef {import("./types.js").ChatRequest} ChatRequest */
/** @typedef {import("./types.js").CheckedRequest} CheckedRequest */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */
export class Completions {
    /** @param {CallQueue} queue @param {string} model its name
     * @param {(report: import("../../shared/protocol.js").Report) => void} onReport receives the engine's report after an answer */
    constructor(queue: CallQueue, model: string, onReport: (report: import("../../shared/protocol.js").Report) => void);
    /**
     * Answers messages. With `stream: true` it resolves when the engine begins with the prompt; errors before that reject.
     * @template {ChatRequest} R
     * @param {R} request @param {CallOptions} [options]
     * @returns {Promise<import("./types.js").ChatAnswer<R>>}
     */
    create<R extends ChatRequest>(request: R, { signal, onProgress }?: CallOptions): Promise<import("./types.js").ChatAnswer<R>>;
    #private;
}
export type Answered = import("./answer.js").Answered;
export type Event = import("../../shared/protocol.js").Event;
export type CallQueue = import("./call-queue.js").CallQueue;
export type EngineCall = import("./call-queue.js").EngineCall;
export type CallOptions = import("./types.js").CallOptions;
export type ChatRequest = import("./types.js").ChatRequest;
export type CheckedRequest = import("./types.js").CheckedRequest;
export type ChatTokenLogprob = import("./types.js").ChatTokenLogprob;
