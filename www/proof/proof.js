// The proof: every way to compute on this machine, with every model, against the definitions of the kernels, the
// reference's tokens, and each other.

import { EngineLink } from "../llava/engine-link.js";
import { Failure } from "../shared/failure.js";
import { forcedDecoding, logitsError } from "./forced-decoding.js";
import { MODELS, SAMPLING, TOKENS } from "./models.js";

/** @typedef {import("../shared/protocol.js").CheckedOperation} CheckedOperation */
/** @typedef {import("../shared/protocol.js").Tier} Tier */
/** @typedef {import("./models.js").ProofModel} ProofModel */
/** @typedef {import("./models.js").Reference} Reference */

/** One way to compute: a tier of the GPU, or the CPU. @typedef {{ name: string, backend: "webgpu" | "cpu", tuning?: object }} Way */

/**
 * What one way computes with one model. `error` is that of the logits against the first way without a wrong result,
 * `bound` the largest that is allowed; `seconds` are those of the answers.
 * @typedef {object} Run
 * @property {string} way
 * @property {string} model
 * @property {CheckedOperation[]} operations
 * @property {number} steps
 * @property {number} agreed
 * @property {number} ties
 * @property {boolean} sampled  whether the sampled answer is the reference's
 * @property {number | null} error
 * @property {number} bound
 * @property {number} seconds
 * @property {string[]} wrong  what is wrong, for people
 */

/** @typedef {{ adapter: string, ways: string[], runs: Run[], tiers: Tier[] }} Proven */

/** Bounds on the error of logits with products of f32, of f16, and of 8 bits, as in tests/native/golden.rs. */
const BOUNDS = { f32: 1e-7, f16: 2e-3, int8: 5e-2 };

/** @param {Way} way @param {ProofModel} model */
function boundOf({ name, backend }, { exact, cache_type, int8 = BOUNDS.int8 }) {
  if (backend === "cpu") return exact ? BOUNDS.f32 : int8;
  if (name === "int8") return int8;
  return name === "f16" || cache_type === "f16" ? BOUNDS.f16 : BOUNDS.f32;
}

/** @param {string} picture */
const pictureAddress = (picture) => (picture.startsWith("../") ? new URL(picture, import.meta.url) : new URL(picture, document.baseURI));

/** @param {number[]} a @param {number[]} b */
const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

/** Returns whether the engine took the tuning. @param {object | null | undefined} taken @param {object} wanted */
const isTuning = (taken, wanted) => JSON.stringify(Object.entries(taken ?? {}).sort()) === JSON.stringify(Object.entries(wanted).sort());

export class Proof {
  /** @type {EngineLink | null} */
  #link = null;
  #stopped = false;
  /** Logits of each case, by way and model. @type {Map<Run, number[][]>} */
  #logits = new Map();

  /**
   * @param {Reference} reference
   * @param {(step: { done: number, total: number, text: string, run?: Run }) => void} onProgress
   * @param {string[]} [names] of models, in place of all
   */
  constructor(reference, onProgress, names) {
    this.reference = reference;
    this.onProgress = onProgress;
    this.models = MODELS.filter(({ name }) => !names || names.includes(name));
  }

  /** Ends the proof, which then rejects. */
  stop() {
    this.#stopped = true;
    this.#link?.close();
  }

  /** @param {ProofModel} model @param {Way} way */
  async #open({ entry, quant, cache_type }, { backend, tuning }) {
    const link = new EngineLink(() => link.close());
    this.#link = link;
    if (this.#stopped) throw new Failure({ kind: "cancelled", place: "proof", message: "it was stopped" });
    await link.open({ addresses: entry.map((file) => new URL(file, document.baseURI).href) }, backend, tuning);
    if (quant) await link.call("choose", { quant, ...(cache_type && { cache_type }) });
    const { report } = await link.call("load", { keep: false, context: null });
    if (tuning && !isTuning(report.tuning, tuning)) throw new Failure({ kind: "state", place: "tuning", message: "the engine does not offer it on this GPU" });
    return { link, report };
  }

  /** Lists the ways to compute on this machine. A GPU that cannot be opened is none. */
  async #ways() {
    const cpu = { name: "cpu", backend: /** @type {const} */ ("cpu") };
    try {
      const { link, report } = await this.#open(/** @type {ProofModel} */ (this.models[0]), { name: "", backend: "webgpu" });
      const tiers = await link.call("tiers", null);
      link.close();
      const ways = tiers.map(({ name, tuning }) => ({ name, tuning, backend: /** @type {const} */ ("webgpu") }));
      return { adapter: report.adapter, tiers, ways: [...ways, cpu], why: "" };
    } catch (thrown) {
      if (this.#stopped) throw thrown;
      return { adapter: "", tiers: [], ways: [cpu], why: Failure.from(thrown, "gpu").message };
    }
  }

  /** @returns {Promise<Proven & { why: string }>} */
  async run() {
    if (!this.models.length) throw new Failure({ kind: "argument", place: "models", message: `the address names none of ${MODELS.map(({ name }) => name).join(", ")}` });
    this.onProgress({ done: 0, total: 1, text: "opening the GPU" });
    const { adapter, tiers, ways, why } = await this.#ways();
    const total = ways.length * this.models.length;
    /** @type {Run[]} */ const runs = [];
    for (const model of this.models) {
      for (const way of ways) {
        this.onProgress({ done: runs.length, total, text: `${model.name} on ${way.backend === "cpu" ? "the CPU" : `the GPU, ${way.name}`}` });
        const run = await this.#run(way, model);
        this.#compare(run, runs);
        runs.push(run);
        this.onProgress({ done: runs.length, total, text: "", run });
      }
    }
    return { adapter, tiers, ways: ways.map(({ name }) => name), runs, why };
  }

  /** Compares logits with those of the first right way with this model. @param {Run} run @param {Run[]} before */
  #compare(run, before) {
    const first = before.find(({ model, wrong }) => model === run.model && wrong.length === 0);
    const [found, wanted] = [this.#logits.get(run), first && this.#logits.get(first)];
    if (!first || !found || !wanted) return;
    run.error = Math.min(logitsError(found, wanted), Number.MAX_VALUE);
    if (run.error > Math.max(run.bound, first.bound)) run.wrong.push(`logits differ from ${first.way}'s by ${run.error.toExponential(1)}, ${run.bound} is allowed`);
  }

  /** @param {Way} way @param {ProofModel} model @returns {Promise<Run>} */
  async #run(way, model) {
    /** @type {Run} */
    const run = { way: way.name, model: model.name, operations: [], steps: 0, agreed: 0, ties: 0, sampled: false, error: null, bound: boundOf(way, model), seconds: 0, wrong: [] };
    try {
      const { link } = await this.#open(model, way);
      await link.call("check_operations", null, { onEvent: (event) => event.type === "checked" && run.operations.push({ pass: event.pass, operation: event.operation, error: event.error, bound: event.bound }) });
      run.wrong.push(...run.operations.filter(({ error, bound }) => !(error <= bound)).map(({ pass, operation, error, bound }) => `${pass}: ${operation}: error ${error.toExponential(1)}, ${bound} is allowed`));
      await this.#answers(link, model, run);
    } catch (thrown) {
      if (this.#stopped) throw thrown;
      run.wrong.push(Failure.from(thrown, "proof").message);
    } finally {
      this.#link?.close();
    }
    return run;
  }

  /** @param {EngineLink} link @param {ProofModel} model @param {Run} run */
  async #answers(link, model, run) {
    const reference = this.reference[model.name];
    if (!reference) throw new Failure({ kind: "state", place: "reference.json", message: `has no model ${model.name}` });
    /** @type {number[][]} */ const logits = [];
    for (const [i, { picture, question }] of model.cases.entries()) {
      const response = await fetch(pictureAddress(picture));
      if (!response.ok) throw new Failure({ kind: "network", place: picture, message: `answers ${response.status}` });
      const { encoded } = await link.call("encode", { bytes: await response.arrayBuffer(), needed: [] });
      const messages = [{ role: /** @type {const} */ ("user"), parts: [{ image: encoded.id }, { text: question }] }];
      const found = await forcedDecoding(link, messages, reference.greedy[i] ?? [], run.bound);
      for (const count of /** @type {const} */ (["steps", "agreed", "ties"])) run[count] += found[count];
      if (found.first) run.wrong.push(`question ${i + 1}: ${found.first}`);
      logits.push(...found.logits);
      if (i > 0) continue;
      const { answer, timing } = await link.call("generate", { messages, options: { max_new_tokens: TOKENS.sampled, ...SAMPLING } });
      run.seconds = timing.total_ms / 1000;
      run.sampled = same(answer.ids, reference.sampled);
      // A draw near the edge between two tokens falls on either side where errors are allowed.
      if (!run.sampled && run.bound === BOUNDS.f32) run.wrong.push("the sampled answer is not the reference's");
    }
    this.#logits.set(run, logits);
  }
}
