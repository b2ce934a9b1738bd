// Answers requests: reads their pictures, makes these resident in the engine, and forms OpenAI's answers and chunks.

import { anySignal, deferred } from "../../shared/async.js";
import { AnswerText } from "./answer-text.js";
import { AnswerForm } from "./answer.js";
import { AttentionCollector } from "./attention.js";
import { ChatStream } from "./chat-stream.js";
import { tokenLogprob } from "./logprobs.js";
import { inRequest, throwIfAborted } from "./refuse.js";
import { encodePictures, readPictures } from "./resident.js";
import { readRequest } from "./request.js";

/** @typedef {import("./answer.js").Answered} Answered */
/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("./call-queue.js").CallQueue} CallQueue */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./types.js").CallOptions} CallOptions */
/** @typedef {import("./types.js").ChatRequest} ChatRequest */
/** @typedef {import("./types.js").CheckedRequest} CheckedRequest */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */

export class Completions {
  #queue;
  #model;
  #onReport;

  /** @param {CallQueue} queue @param {string} model its name
   * @param {(report: import("../../shared/protocol.js").Report) => void} onReport receives the engine's report after an answer */
  constructor(queue, model, onReport) {
    this.#queue = queue;
    this.#model = model;
    this.#onReport = onReport;
  }

  /**
   * Answers messages. With `stream: true` it resolves when the engine begins with the prompt; errors before that reject.
   * @template {ChatRequest} R
   * @param {R} request @param {CallOptions} [options]
   * @returns {Promise<import("./types.js").ChatAnswer<R>>}
   */
  async create(request, { signal, onProgress } = {}) {
    const checked = readRequest(request);
    const stream = checked.stream ? new ChatStream() : null;
    const signals = [signal, checked.signal].filter((signal) => signal instanceof AbortSignal);
    const form = new AnswerForm(this.#model, checked.logprobs, checked.includeUsage);
    const how = { signal: signals.length ? anySignal(signals) : null, onProgress };
    const answer = stream ? await this.#stream(stream, checked, form, how) : await this.#complete(checked, form, how);
    return /** @type {any} */ (answer);
  }

  /** @param {CheckedRequest} checked @param {AnswerForm} form @param {CallOptions} how */
  async #complete(checked, form, how) {
    /** @type {ChatTokenLogprob[]} */
    const logprobs = [];
    const answered = await this.#answer(checked, how, (event) => {
      if (event.type === "token" && event.logprob) logprobs.push(tokenLogprob(event.logprob));
    });
    return form.completion(answered, logprobs);
  }

  /** @param {ChatStream} stream @param {CheckedRequest} checked @param {AnswerForm} form @param {CallOptions} how */
  async #stream(stream, checked, form, how) {
    const begun = deferred();
    const begin = () => begun.resolve(stream);
    stream.push(form.chunk({ role: "assistant", content: "", refusal: null }));
    const text = new AnswerText(checked.messages.at(-1)?.role === "assistant");
    /** @type {ChatTokenLogprob[]} */
    const all = [];
    /** Of tokens whose text has not been shown. @type {ChatTokenLogprob[]} */
    let logprobs = [];
    const show = (/** @type {string} */ content) => {
      stream.push(form.chunk({ content }, logprobs));
      logprobs = [];
    };
    const onEvent = (/** @type {Event} */ event) => {
      if (event.type !== "prefill" && event.type !== "token") return;
      begin();
      if (event.type !== "token") return;
      if (event.logprob) {
        logprobs.push(tokenLogprob(event.logprob));
        all.push(...logprobs.slice(-1));
      }
      const content = text.push(event.text);
      if (content) show(content);
    };
    this.#answer(checked, { ...how, stop: stream.controller.signal }, onEvent).then(
      (answered) => {
        begin();
        if (logprobs.length) show("");
        for (const chunk of form.lastChunks(answered)) stream.push(chunk);
        stream.end({ completion: form.completion(answered, all) });
      },
      (error) => {
        begun.reject(error);
        stream.end({ error });
      },
    );
    return begun.promise;
  }

  /** @param {CheckedRequest} checked @param {CallOptions & { stop?: AbortSignal }} how `stop` ends the answer, which then is
   *   what there is of it @param {(event: Event) => void} onEvent @returns {Promise<Answered>} */
  async #answer({ messages, options }, { signal = null, onProgress, stop }, onEvent) {
    const read = await readPictures(messages, signal);
    /** Tokens so far, from which an answer goes on after a lost GPU. @type {number[]} */
    const begin = [];
    const attention = options.attention ? new AttentionCollector() : null;
    const onToken = (/** @type {Event} */ event) => {
      if (event.type === "token" && event.id !== undefined) begin.push(event.id);
      attention?.receive(event);
      onProgress?.(event);
      onEvent(event);
    };
    const work = this.#queue.run(signal, "chat", async (/** @type {EngineCall} */ call) => {
      /** @type {EngineCall} */
      const stoppable = (method, args, how) => call(method, args, { ...how, stop });
      const resident = await encodePictures(stoppable, read, onProgress);
      throwIfAborted(stop ?? null, "chat");
      const more = begin.length ? { begin: [...begin] } : {};
      const answered = await stoppable("generate", { messages: resident, options: { ...options, ...more } }, { onEvent: onToken });
      this.#onReport(answered.report);
      return attention ? { ...answered, attention: attention.value } : answered;
    }, onProgress);
    return work.catch((thrown) => {
      throw inRequest(thrown, "request.");
    });
  }
}
