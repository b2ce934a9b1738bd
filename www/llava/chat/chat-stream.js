// A streamed answer, as OpenAI's client gives it: an async iterable of chunks, which can be read once.

import { deferred } from "../../shared/async.js";
import { refusal } from "./refuse.js";

/** @typedef {import("./types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./types.js").ChatCompletionChunk} ChatCompletionChunk */

/** @implements {AsyncIterable<ChatCompletionChunk>} */
export class ChatStream {
  /** Chunks that have not been read yet. @type {ChatCompletionChunk[]} */
  #chunks = [];
  /** @type {{ error: unknown } | { completion: ChatCompletion } | null} */
  #end = null;
  #wake = () => {};
  #begun = false;
  #final = deferred();
  /** Its `abort()` ends the answer; reading then ends without an error. */
  controller = new AbortController();

  constructor() {
    this.controller.signal.addEventListener("abort", () => this.#wake(), { once: true });
    // An error is that of reading, too, and need not be handled twice.
    this.#final.promise.catch(() => {});
  }

  /** Adds a chunk. @internal @param {ChatCompletionChunk} chunk */
  push(chunk) {
    this.#chunks.push(chunk);
    this.#wake();
  }

  /** Ends the stream. @internal @param {{ completion: ChatCompletion } | { error: unknown }} end */
  end(end) {
    this.#end ??= end;
    if ("error" in end) this.#final.reject(end.error);
    else this.#final.resolve(end.completion);
    this.#wake();
  }

  /** Returns the whole answer, with usage and timings, when it has ended. Where it was ended by `controller.abort()`, or
   * by leaving the loop, it is the answer so far, with `stop_reason` "cancelled". Rejects with the error of reading.
   * @returns {Promise<ChatCompletion>} */
  finalChatCompletion() {
    return this.#final.promise;
  }

  /** Reads the chunks. Leaving the loop early ends the answer.
   * @returns {AsyncGenerator<ChatCompletionChunk, void, undefined>} */
  async *[Symbol.asyncIterator]() {
    if (this.#begun) throw refusal("stream", "is read a second time", "Keep the chunks of the first time.");
    this.#begun = true;
    const { signal } = this.controller;
    try {
      while (!signal.aborted) {
        const chunk = this.#chunks.shift();
        if (chunk) yield chunk;
        else if (!this.#end) await new Promise((resolve) => (this.#wake = () => resolve(null)));
        else if ("error" in this.#end) throw this.#end.error;
        else return;
      }
    } finally {
      this.controller.abort();
    }
  }
}
