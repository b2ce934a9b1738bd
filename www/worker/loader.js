// One model on its way into the engine: opened, planned, tried out, fetched, finished.

import init, { Llava } from "../pkg/llava_web.js";
import { Failure } from "../shared/failure.js";
import { fetchParts, inFlight } from "./fetch-parts.js";
import { KeptSource } from "./kept-source.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Plan} Plan */

/** @param {string} place */
const nothingOpen = (place) => new Failure({ kind: "state", place, message: "no model has been opened" });

export class Loader {
  /** @type {Llava | null} */
  #engine = null;
  /** @type {Plan | null} */
  #plan = null;
  /** @type {KeptSource | null} */
  #source = null;
  #stop = new AbortController();
  /** Indices of the parts the engine has accepted: a second `load` fetches only the others.
   * @type {Set<number>} */
  #pushed = new Set();
  /** @type {WebAssembly.Memory | null} */
  #memory = null;

  get engine() {
    if (!this.#engine) throw nothingOpen("worker");
    return this.#engine;
  }

  /** Reads what a model is, and nothing of its weights. Without `code`, the engine's is fetched here; `tuning` is what a
   * report said of this GPU before, as JSON.
   * @param {ModelRef} model @param {BackendChoice} backend @param {string | undefined} tuning @param {WebAssembly.Module | null} [code] */
  async open(model, backend, tuning, code) {
    this.#stop = new AbortController();
    const [source, wasm] = await Promise.all([KeptSource.open(model, this.#stop.signal), init(code ? { module_or_path: code } : undefined)]);
    const engine = await Llava.create({ backend });
    const { prompt_template } = model;
    const plan = await engine.plan(source.entry, source, { ...(prompt_template && { prompt_template }), ...(tuning && { tuning }) }).catch((thrown) => {
      // What went wrong on the way to the engine is said better than what the engine made of it.
      throw source.trouble ?? thrown;
    });
    this.#pushed.clear();
    this.#memory = wasm.memory;
    this.#engine = engine;
    this.#source = source;
    this.#plan = plan;
    return plan;
  }

  async probe() {
    return this.engine.probe();
  }

  /** Bytes that this worker holds. */
  memory() {
    const heap = /** @type {{ memory?: { usedJSHeapSize: number } }} */ (performance).memory?.usedJSHeapSize ?? 0;
    return { wasm: this.#memory?.buffer.byteLength ?? 0, heap, buffers: inFlight() };
  }

  /** How much of the model is kept here already. @returns {Promise<import("../shared/protocol.js").Storage>} */
  async storage() {
    const [source, plan] = [this.#source, this.#plan];
    if (!source || !plan) throw nothingOpen("storage");
    const { shelf } = source;
    let bytes = 0;
    for (const part of plan.parts) if (shelf.has(await source.rangeOf(part))) bytes += part.bytes;
    return { kind: shelf.kind, key: shelf.key, bytes, full: shelf.full };
  }

  /** @param {boolean} keep @param {number | null} context @param {(event: Event) => void} emit */
  async load(keep, context, emit) {
    const [engine, source, plan] = [this.engine, this.#source, this.#plan];
    if (!source || !plan) throw nothingOpen("load");
    this.#stop = new AbortController();
    source.signal = this.#stop.signal;
    await source.begin(plan, keep);
    const [there, parts] = [plan.parts.filter((part) => this.#pushed.has(part.index)), plan.parts.filter((part) => !this.#pushed.has(part.index))];
    await fetchParts({
      source,
      parts,
      done: there.reduce((sum, part) => sum + part.bytes, 0),
      push: async (part, bytes) => {
        await engine.push(part.index, bytes);
        this.#pushed.add(part.index);
      },
      emit,
      signal: this.#stop.signal,
    });
    await source.end(plan);
    await engine.finish(context ?? undefined);
  }

  /** Stops what runs, be it loading or answering. */
  cancel() {
    this.#stop.abort();
    this.#engine?.cancel();
  }
}
