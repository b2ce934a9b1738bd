// One benchmark with one model: opened, asked, kept, scored, offered as files. Choosing another folder, benchmark or model
// begins another.

import { LLaVA } from "../llava/index.js";
import { byId } from "../page/dom.js";
import { Failure, untilAborted } from "../shared/failure.js";
import { offerFiles, withdrawFiles } from "./answer-files.js";
import { Asking } from "./asking.js";
import { formats } from "./formats.js";
import { KeptAnswers } from "./kept-answers.js";
import { refOf } from "./model-choice.js";
import { LastAnswers, showScores } from "./tables.js";

/** @typedef {import("../llava/index.js").Model} Model */
/** @typedef {import("./asking.js").Answered} Answered */
/** @typedef {import("./formats.js").BenchmarkFolder} BenchmarkFolder */
/** @typedef {import("./formats.js").BenchmarkRun} BenchmarkRun */
/** @typedef {import("./formats.js").Part} Part */

/** Rows of the context of LLaVA-1.5's evaluation; fewer where the model has fewer. */
const CONTEXT = 4096;
/** Time between two changes of the scores and of the line of progress, ms. */
const INTERVAL = 1000;

const progress = byId("progress", HTMLProgressElement);
const offered = byId("offered", HTMLElement);
const result = byId("result", HTMLElement);
const last = new LastAnswers(byId("answers", HTMLElement));
const scoreTables = { rows: byId("scores", HTMLElement), details: byId("details", HTMLElement), more: byId("more", HTMLElement), notes: byId("notes", HTMLElement) };

export class BenchmarkSession {
  /** @type {{ choice: string, model: Model } | null} */
  #loaded = null;
  /** @type {BenchmarkRun | null} */
  #run = null;
  /** @type {Asking | null} */
  #asking = null;
  /** @type {KeptAnswers | null} */
  #kept = null;
  #controller = new AbortController();
  #shown = 0;

  /** @param {(text: string) => void} say */
  constructor(say) {
    this.say = say;
  }

  /** Whether there are answers. */
  get begun() {
    return (this.#run?.answered ?? 0) > 0;
  }

  /** Forgets the opened benchmark; its kept answers stay. */
  reset() {
    this.#run?.free();
    this.#run = null;
    result.hidden = true;
    progress.value = 0;
    last.clear();
    withdrawFiles(offered);
  }

  /** Ends the run; its answers stay. */
  stop() {
    this.#controller.abort();
  }

  /** Begins or ends a pause, and returns whether it is one now. */
  togglePause() {
    const asking = this.#asking;
    if (!asking) return false;
    asking.pause(!asking.paused);
    this.say(asking.paused ? "Paused after the answer that is being given." : "Resumed.");
    return asking.paused;
  }

  /** Deletes the answers of this run, also in this browser. */
  async forget() {
    await this.#kept?.forget();
    this.reset();
    this.say("The kept answers are deleted.");
  }

  /** @param {string} choice @param {AbortSignal} signal @returns {Promise<Model>} */
  async #model(choice, signal) {
    if (this.#loaded?.choice === choice && !this.#loaded.model.closed) return this.#loaded.model;
    this.#loaded?.model.close();
    this.#loaded = null;
    this.say("Opening the model…");
    const inspection = await LLaVA.inspect(refOf(choice), { signal });
    try {
      const context = Math.min(CONTEXT, inspection.plan.longest_context ?? CONTEXT);
      const onProgress = (/** @type {import("../shared/protocol.js").Event} */ event) => event.type === "fetch" && this.say(`Loading the model: ${Math.floor((100 * event.done) / event.total)} %`);
      const model = await inspection.load({ signal, context, onProgress });
      this.#loaded = { choice, model };
      return model;
    } catch (thrown) {
      inspection.close();
      throw thrown;
    }
  }

  /** Opens the benchmark, loads the model, asks what has no answer yet, and offers the files.
   * @param {BenchmarkFolder} folder @param {Part} part @param {string} choice of the model @param {number} wanted number of
   *   questions, from the first */
  async run(folder, part, choice, wanted) {
    const { signal } = (this.#controller = new AbortController());
    const { hashOf, progressLine } = await formats();
    this.say("Reading the questions…");
    const run = (this.#run ??= await folder.open(part));
    const limit = Math.min(wanted, run.count);
    folder.checkPictures(run, limit);
    const model = await this.#model(choice, signal);
    const settings = this.#settings(part, model, run, hashOf);
    const before = await this.#restore(`${hashOf(JSON.stringify(settings))} ${hashOf(pictureSizes(folder, run))}`, run, limit);
    result.hidden = false;
    const tell = () => {
      const { answered } = run;
      [progress.max, progress.value] = [limit, answered];
      this.say(progressLine(part.name, answered, before, limit, this.#asking?.elapsed ?? 0));
      showScores(run.scores(), scoreTables);
      this.#shown = performance.now();
    };
    const onAnswer = async (/** @type {Answered} */ answered) => {
      last.add(answered, run.mark(answered.index));
      await this.#kept?.keep(answered.index, answered.text);
      if (performance.now() - this.#shown > INTERVAL) tell();
    };
    const asking = (this.#asking = new Asking(model, folder, run, limit, onAnswer));
    try {
      if (before) this.say(`${before} of ${limit} questions were answered before.`);
      await untilAborted(signal, "benchmark", () => asking.all(signal));
      tell();
      this.say(`Finished: ${limit} questions, ${before} of them answered before.`);
    } catch (thrown) {
      tell();
      this.say(Failure.from(thrown, "benchmark").kind === "cancelled" ? `Stopped: ${run.answered} of ${limit} questions have an answer.` : "Ended by an error; the answers so far are kept.");
      throw thrown;
    } finally {
      offerFiles(offered, run, modelName(model), `${part.name}-${modelName(model)}`, settings);
      if (this.#kept?.failure) scoreTables.notes.append("This browser keeps no answers: a reload begins anew.");
    }
  }

  /** Everything that answers depend on, except the backend, in the names of the command line's program.
   * @param {Part} part @param {Model} model @param {BenchmarkRun} run @param {(text: string) => string} hashOf */
  #settings({ name, part }, model, run, hashOf) {
    const { parts, quant = null } = model.plan;
    return {
      benchmark: name,
      split: part,
      model: hashOf(JSON.stringify([model.name, parts])),
      quantised: quant,
      template: "the model's",
      rendering: "shown",
      max_new_tokens: run.maxNewTokens,
      questions: run.fingerprint,
    };
  }

  /** Takes the kept answers, and returns the number of answered questions.
   * @param {string} key @param {BenchmarkRun} run @param {number} limit */
  async #restore(key, run, limit) {
    this.#kept = new KeptAnswers(key);
    for (const { index, text } of await this.#kept.all()) if (index < limit) run.answer(index, text, 0);
    run.plan(limit);
    return run.answered;
  }
}

/** Name of a model in file names. @param {Model} model */
const modelName = (model) => model.name.replace(/[^\w.-]+/g, "-").replace(/^-|-$/g, "") || "model";

/** Returns names and sizes of the pictures, as text. @param {BenchmarkFolder} folder @param {BenchmarkRun} run */
function pictureSizes({ files }, run) {
  const names = new Set(Array.from({ length: run.count }, (_, index) => run.question(index)?.picture ?? ""));
  return JSON.stringify([...names].map((name) => [name, files.get(name)?.size ?? 0]));
}
