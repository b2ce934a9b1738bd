/** @typedef {import("./types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @implements {AsyncIterable<ChatCompletionChunk>} */
export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
    /** Its `abort()` ends the answer; reading then ends without an error. */
    controller: AbortController;
    /** Adds a chunk. @internal @param {ChatCompletionChunk} chunk */
    push(chunk: ChatCompletionChunk): void;
    /** Ends the stream. @internal @param {{ completion: ChatCompletion } | { error: unknown }} end */
    end(end: {
        completion: ChatCompletion;
    } | {
        error: unknown;
    }): void;
    /** Returns the whole answer, with usage and timings, when it has ended. Where it was ended by `controller.abort()`, or
     * by leaving the loop, it is the answer so far, with `stop_reason` "cancelled". Rejects with the error of reading.
     * @returns {Promise<ChatCompletion>} */
    finalChatCompletion(): Promise<ChatCompletion>;
    /** Reads the chunks. Leaving the loop early ends the answer.
     * @returns {AsyncGenerator<ChatCompletionChunk, void, undefined>} */
    [Symbol.asyncIterator](): AsyncGenerator<ChatCompletionChunk, void, undefined>;
    #private;
}
export type ChatCompletion = import("./types.js").ChatCompletion;
export type ChatCompletionChunk = import("./types.js").ChatCompletionChunk;
