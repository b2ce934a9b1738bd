// The loop of a training run, in the worker that leads it: gradients of a batch from every worker, one step of the
// optimizer, and now and then the same questions again.

import { gradientsOf } from "./helper-link.js";

/** @typedef {import("../protocol.js").Request} Request */
/** @typedef {import("../protocol.js").Told} Told */
/** @typedef {import("../protocol.js").Budget} Budget */
/** @typedef {import("../protocol.js").Stage} Stage */
/** @typedef {import("../protocol.js").ModelFile} ModelFile */
/** @typedef {import("./helper-link.js").HelperLink} HelperLink */
/** @typedef {import("../../pkg/learn/llava_learn.js").Trainer} Trainer */

/** Peak learning rates of the stages. */
const RATES = { 1: 2e-3, 2: 3e-4, 3: 3e-4 };
/** Time between two rounds of questions, s. */
const QUESTIONS_EVERY = 8;
/** Batches of the examinations: in the middle of a stage, and at its ends. */
const SHORT_EXAM = 1;
const LONG_EXAM = 10;
/** Share of the latest step in the shown speed. */
const SPEED_SHARE = 0.1;

export class TrainingLoop {
  /** @type {Stage} */
  #stage = 1;
  #factor = 1;
  #step = 0;
  /** Training batches that were used, of all stages. */
  #batch = 0;
  /** Time of the stage without pauses, s. */
  #seconds = 0;
  /** Seconds of a step, smoothed. */
  #pace = 0;
  #asked = 0;
  /** Continues the loop where it waits. @type {(() => void) | null} */
  #continue = null;
  #paused = true;

  /** @param {Trainer} trainer @param {HelperLink[]} helpers @param {Budget} budget
   * @param {(told: Told) => void} tell */
  constructor(trainer, helpers, budget, tell) {
    this.trainer = trainer;
    this.helpers = helpers;
    this.budget = budget;
    this.tell = tell;
  }

  /** @param {Request} request */
  receive(request) {
    if (request.type === "pause") this.#paused = true;
    else if (request.type === "rate") this.#factor = request.factor;
    else if (request.type === "scene") this.show(request.scene);
    else if (request.type === "stage") this.#begin(request.stage);
    else if (request.type === "own") this.#setOwn(request.pictures, request.words);
    else if (request.type === "write") this.#write(request.name);
    else if (request.type === "question") this.tell({ type: "answer", text: this.trainer.answer(request.picture, request.question) });
    if (request.type === "resume" || request.type === "stage") {
      this.#paused = false;
      this.#continue?.();
    }
  }

  /** Shows a held-out scene. @param {number} scene */
  show(scene) {
    this.tell({ type: "picture", picture: /** @type {Uint8Array<ArrayBuffer>} */ (this.trainer.show(scene)) });
    this.#ask();
  }

  /** @param {Uint8Array<ArrayBuffer>[]} pictures @param {string[]} words */
  #setOwn(pictures, words) {
    this.trainer.set_own(pictures, words);
    for (const helper of this.helpers) helper.setOwn(pictures, words);
  }

  /** Writes the files that training has changed: the manifest and the shards. @param {string} name of the model */
  #write(name) {
    /** @type {ModelFile[]} */
    const files = [];
    const manifest = this.trainer.write(name, (/** @type {string} */ name, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => files.push({ name, bytes }));
    const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (new TextEncoder().encode(manifest));
    this.tell({ type: "written", files: [{ name: "manifest.json", bytes }, ...files] });
  }

  /** @param {Stage} stage */
  #begin(stage) {
    this.#stage = stage;
    this.#step = this.#seconds = this.#asked = 0;
    this.trainer.begin(stage);
    for (const helper of this.helpers) helper.begin(stage);
    this.tell({ type: "stage", stage });
  }

  /** Runs until the worker ends. */
  async run() {
    this.#begin(1);
    await this.#examine(LONG_EXAM, false);
    for (;;) {
      await this.#turn();
      const before = performance.now();
      await this.#train();
      this.#seconds += (performance.now() - before) / 1000;
      if (this.#fraction < 1) continue;
      this.#paused = true;
      this.#ask();
      await this.#examine(LONG_EXAM, true);
      this.tell({ type: "done", stage: this.#stage, step: this.#step, seconds: this.#seconds });
    }
  }

  /** Completed part of the stage, 0 to 1. */
  get #fraction() {
    const { seconds, steps } = this.budget;
    return Math.min(1, steps ? this.#step / steps : this.#seconds / seconds);
  }

  /** Lets messages arrive, and waits while the run is paused. */
  async #turn() {
    await new Promise((resolve) => setTimeout(resolve));
    if (this.#paused) await new Promise((resolve) => (this.#continue = () => resolve(null)));
    this.#continue = null;
  }

  /** Computes one step on all workers, and the answers when they are due. */
  async #train() {
    const before = performance.now();
    const [own, ...others] = [this.trainer, ...this.helpers].map(() => this.#batch++);
    const computing = this.helpers.map((helper, i) => helper.gradients(others[i] ?? 0));
    const all = [gradientsOf(this.trainer, own ?? 0), ...(await Promise.all(computing))];
    const fraction = this.#fraction;
    const gradients = all.map(({ values }) => values);
    const peak = RATES[this.#stage] * this.#factor;
    for (const helper of this.helpers) helper.apply(gradients, peak, fraction);
    const norm = this.trainer.apply(gradients, peak, fraction);
    this.#step += 1;
    const took = (performance.now() - before) / 1000;
    this.#pace = this.#pace ? this.#pace + (took - this.#pace) * SPEED_SHARE : took;
    const loss = all.reduce((sum, { loss }) => sum + loss, 0) / all.length;
    const seconds = this.#seconds + took;
    const left = this.budget.steps ? (this.budget.steps - this.#step) * this.#pace : Math.max(0, this.budget.seconds - seconds);
    this.tell({ type: "step", step: this.#step, loss, seconds, left, done: this.#fraction, perSecond: 1 / this.#pace, norm });
    if (seconds - this.#asked < QUESTIONS_EVERY) return;
    this.#asked = seconds;
    await this.#examine(SHORT_EXAM, false, () => this.#ask());
  }

  /** Asks the questions about the scene that is shown. */
  #ask() {
    this.tell({ type: "answers", step: this.#step, answers: JSON.parse(this.trainer.answers()) });
  }

  /** Examines held-out captions, on the helpers where there are some. @param {number} batches @param {boolean} last
   * @param {() => void} [meanwhile] what this worker does in the meantime */
  async #examine(batches, last, meanwhile = () => {}) {
    const { helpers } = this;
    const workers = helpers.length + (batches > 1 || !helpers.length ? 1 : 0);
    const share = Math.ceil(batches / workers);
    const ranges = Array.from({ length: workers }, (_, i) => [i * share, Math.min(share, batches - i * share)]);
    const away = helpers.map((helper, i) => helper.examine(ranges[i]?.[0] ?? 0, ranges[i]?.[1] ?? 0));
    meanwhile();
    const counts = await Promise.all(away);
    const [first = 0, count = 0] = ranges[helpers.length] ?? [];
    if (count > 0) counts.push(/** @type {[number, number]} */ ([...this.trainer.examine(first, count)]));
    const sum = (/** @type {0 | 1} */ which) => counts.reduce((total, pair) => total + pair[which], 0);
    this.tell({ type: "exam", step: this.#step, right: sum(0), all: sum(1), last });
  }
}
