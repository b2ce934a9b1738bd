// Asks a model the questions of a benchmark, one after another, as LLaVA's evaluation did: greedy, each in a conversation of
// its own. It can be paused between two answers.

import { deferred } from "../shared/async.js";
import { Failure, aborted } from "../shared/failure.js";

/** @typedef {import("../llava/index.js").Model} Model */
/** @typedef {import("../llava/chat/types.js").ChatMessage} ChatMessage */
/** @typedef {import("./formats.js").BenchmarkFolder} BenchmarkFolder */
/** @typedef {import("./formats.js").BenchmarkRun} BenchmarkRun */
/** A question as the module gives it. @typedef {NonNullable<ReturnType<BenchmarkRun["question"]>>} Question */
/** An answered question. @typedef {{ index: number, question: Question, picture: Blob | null, text: string }} Answered */

export class Asking {
  /** Settles when the pause ends; `null` outside of one. @type {ReturnType<typeof deferred> | null} */
  #pause = null;
  /** Time of pauses, ms, and the beginning of the one that lasts. */
  #paused = 0;
  #pausedAt = 0;

  /**
   * @param {Model} model @param {BenchmarkFolder} folder @param {BenchmarkRun} run @param {number} limit number of
   *   questions, from the first @param {(answered: Answered) => Promise<void>} onAnswer
   */
  constructor(model, folder, run, limit, onAnswer) {
    this.model = model;
    this.folder = folder;
    this.run = run;
    this.limit = limit;
    this.onAnswer = onAnswer;
    this.begun = performance.now();
  }

  /** Whether it is paused. */
  get paused() {
    return this.#pause !== null;
  }

  /** Time without pauses, ms. */
  get elapsed() {
    const now = this.#pause ? this.#pausedAt : performance.now();
    return now - this.begun - this.#paused;
  }

  /** Begins a pause after the answer that is being given, or ends it. @param {boolean} on */
  pause(on) {
    if (on === this.paused) return;
    if (on) {
      this.#pause = deferred();
      this.#pausedAt = performance.now();
    } else {
      this.#paused += performance.now() - this.#pausedAt;
      this.#pause?.resolve(null);
      this.#pause = null;
    }
  }

  /** Asks what has no answer yet; the questions on a picture together, equal ones once.
   * @param {AbortSignal} signal ends it */
  async all(signal) {
    signal.addEventListener("abort", () => this.pause(false), { once: true });
    for (const index of this.run.plan(this.limit)) {
      await this.#pause?.promise;
      if (signal.aborted) throw aborted(signal, "benchmark");
      const question = /** @type {Question} */ (this.run.question(index));
      const picture = this.#picture(index, question);
      const text = await this.#answer(question, picture, signal);
      this.run.answer(index, text, this.limit);
      await this.onAnswer({ index, question, picture, text });
    }
  }

  /** @param {number} index @param {Question} question @returns {Blob | null} */
  #picture(index, { picture, inline }) {
    if (inline) return new Blob([new Uint8Array(this.run.picture(index) ?? [])]);
    return picture === null ? null : (this.folder.files.get(picture) ?? null);
  }

  /** @param {Question} question @param {Blob | null} picture @param {AbortSignal} signal @returns {Promise<string>} */
  async #answer({ id, earlier, text }, picture, signal) {
    /** @type {ChatMessage[]} */
    const messages = [];
    let last = "";
    try {
      for (const [turn, question] of [...earlier, text].entries()) {
        const image = turn === 0 && picture ? [{ type: /** @type {const} */ ("image"), image: picture }] : [];
        messages.push({ role: "user", content: [...image, { type: "text", text: question }] });
        const answer = await this.model.chat.completions.create({ messages, max_tokens: this.run.maxNewTokens, temperature: 0, signal });
        last = answer.choices[0]?.message.content ?? "";
        messages.push({ role: "assistant", content: last });
      }
      return last;
    } catch (thrown) {
      const failure = Failure.from(thrown, "model");
      if (failure.kind === "cancelled") throw failure;
      throw new Failure({ ...failure.fields(), place: `question ${id}: ${failure.where}` }, thrown);
    }
  }
}
