// One model on its way into the engine: opened, planned, tried out, fetched, finished.

import { Failure } from "../shared/failure.js";
import { askForCode, codeAddress, compiled, sharedMemory } from "../shared/threads.js";
import { fetchParts, inFlight } from "./fetch-parts.js";
import { KeptSource } from "./kept-source.js";
import { Progress } from "./progress.js";
import { stopIfAsked } from "./retry.js";
import { endThreads, startThreads } from "./thread-pool.js";
import { oneAtATime } from "./turns.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */
/** @typedef {import("../shared/protocol.js").Threads} Threads */
/** @typedef {import("../pkg/llava_web.js").Llava} Llava */
/**
 * What both builds of the engine offer.
 * @typedef {object} Build
 * @property {(code: { module_or_path: WebAssembly.Module, memory?: WebAssembly.Memory }) => Promise<{ memory: WebAssembly.Memory }>} default
 * @property {{ create: typeof import("../pkg/llava_web.js").Llava.create }} Llava
 */

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
  /** For the engine, which does one thing at a time. */
  #inTurn = oneAtATime();
  /** @type {WebAssembly.Memory | null} */
  #memory = null;
  /** Threads that the CPU has, and why not more. @type {Promise<string>} */
  threads = Promise.resolve("");

  /** @param {Build} build */
  constructor(build) {
    this.build = build;
  }

  get engine() {
    if (!this.#engine) throw nothingOpen("worker");
    return this.#engine;
  }

  /**
   * Reads what a model is, and nothing of its weights.
   * @param {ModelRef} model @param {BackendChoice} backend
   * @param {string | undefined} tuning what a report said of this GPU before, as JSON
   * @param {Threads} threads what the build of the engine was chosen by
   * @param {WebAssembly.Module | null} code the engine's, where the page has it already
   * @param {MessagePort[]} ports of workers that may be further threads
   */
  async open(model, backend, tuning, threads, code, ports) {
    this.#stop = new AbortController();
    const memory = threads.pages ? sharedMemory(threads.pages)?.memory : undefined;
    if (threads.pages && !memory) throw new Failure({ kind: "out-of-memory", place: "memory", message: "there is no room for memory that threads share", hint: "Close other tabs, then reload this page." });
    const [source, wasm] = await Promise.all([KeptSource.open(model, this.#stop.signal), this.#start(threads.build, memory, code)]);
    const engine = await this.build.Llava.create({ backend });
    // The engine does not wait for them.
    this.threads = this.#startThreads(engine, threads, wasm, ports);
    const { prompt_template } = model;
    const asked = () => engine.plan(source.entry, source, { ...(prompt_template && { prompt_template }), ...(tuning && { tuning }) });
    const plan = await asked()
      .catch(async (thrown) => {
        // It may have been told the wrong length of a file.
        if (source.trouble || !(await source.measure())) throw thrown;
        return asked();
      })
      .catch((thrown) => {
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

  /** @param {Threads["build"]} build @param {WebAssembly.Memory | undefined} memory @param {WebAssembly.Module | null} [code] */
  async #start(build, memory, code) {
    const address = codeAddress(build);
    try {
      const module = code ?? (await compiled(askForCode(address)));
      const wasm = await this.build.default({ module_or_path: module, memory });
      return { module, memory: wasm.memory };
    } catch (thrown) {
      throw new Failure({ kind: "engine", place: new URL(address).pathname, message: String(thrown), hint: "Check the connection, then retry; or reload this page." });
    }
  }

  /** @param {Llava} engine @param {Threads} wanted @param {{ module: WebAssembly.Module, memory: WebAssembly.Memory }} share
   * @param {MessagePort[]} ports */
  async #startThreads(engine, wanted, { module, memory }, ports) {
    if (wanted.threads < 2) return `1: ${wanted.why}`;
    const queue = engine.job_queue();
    if (!queue) {
      endThreads(ports);
      return "";
    }
    const missing = await startThreads(ports, { code: module, memory, queue });
    return `${ports.length + 1 - missing.length}${missing.length ? `; more did not come: ${missing[0]}` : ""}`;
  }

  async probe() {
    await this.threads;
    return this.#inTurn(() => this.engine.probe());
  }

  /** The plan with another type for the weights; the parts are the same. @param {import("../shared/protocol.js").Quant} quant */
  async choose(quant) {
    this.#plan = await this.#inTurn(() => this.engine.plan([], /** @type {KeptSource} */ (this.#source), { quant: quant ?? "exact" }));
    return this.#plan;
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
    const done = there.reduce((sum, part) => sum + part.bytes, 0);
    const progress = new Progress(emit);
    const { signal } = this.#stop;
    /** @param {PlanPart} part @param {Uint8Array} bytes */
    const push = async (part, bytes) => {
      await this.#inTurn(() => (stopIfAsked(signal), engine.push(part.index, bytes)));
      this.#pushed.add(part.index);
    };
    const jobs = [fetchParts({ source, parts, done, push, emit: (event) => progress.fetched(event), signal }), this.#compile(progress, signal)];
    try {
      await Promise.all(jobs);
    } catch (thrown) {
      this.#stop.abort();
      await Promise.allSettled(jobs);
      throw thrown;
    }
    await source.end(plan);
    await engine.finish(context ?? undefined);
  }

  /** What the GPU will run, one pipeline after the other. @param {Progress} progress @param {AbortSignal} signal */
  async #compile(progress, signal) {
    for (;;) {
      const compiled = await this.#inTurn(() => (stopIfAsked(signal), this.engine.compile()));
      progress.compiled(compiled);
      if (compiled.done >= compiled.total) return;
    }
  }

  /** Stops what runs, be it loading or answering. */
  cancel() {
    this.#stop.abort();
    this.#engine?.cancel();
  }
}
