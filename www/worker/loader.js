// Loads one model into the engine: opens, plans, probes, fetches and finishes it.

import { serialQueue } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { compileCode, fetchCode, sharedMemory } from "../shared/threads.js";
import { CachedSource } from "./cached-source.js";
import { fetchParts, inFlightBytes } from "./fetch-parts.js";
import { Progress } from "./progress.js";
import { throwIfCancelled } from "./retry.js";
import { endThreads, startThreads } from "./thread-pool.js";

/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").PlanOptions} PlanOptions */
/** @typedef {import("../shared/protocol.js").Threads} Threads */
/** @typedef {import("../pkg/llava_web.js").Llava} Llava */
/**
 * The exports that all builds of the engine have.
 * @typedef {object} Build
 * @property {(code: { module_or_path: WebAssembly.Module, memory?: WebAssembly.Memory }) =>
 *   Promise<{ memory: WebAssembly.Memory }>} default
 * @property {{ create: typeof import("../pkg/llava_web.js").Llava.create }} Llava
 */

/** @param {string} place */
const noModelOpen = (place) => new Failure({ kind: "state", place, message: "no model has been opened" });

export class Loader {
  /** @type {Llava | null} */
  #engine = null;
  /** @type {Plan | null} */
  #plan = null;
  /** @type {CachedSource | null} */
  #source = null;
  /** What the person has chosen for the plan. @type {Pick<PlanOptions, "quant" | "longest_edge" | "cache_type">} */
  #choices = {};
  /** The engine that is loaded. @type {Llava | null} */
  #loaded = null;
  #stop = new AbortController();
  /** Indices of the parts that the engine has accepted: a second `load` fetches only the others. @type {Set<number>} */
  #pushed = new Set();
  /** Runs the engine's calls one after the other. */
  #runSerially = serialQueue();
  /** @type {WebAssembly.Memory | null} */
  #memory = null;
  /** Number of the CPU's threads, and the reason for no more. @type {Promise<string>} */
  threads = Promise.resolve("");

  /** @param {Build} build */
  constructor(build) {
    this.build = build;
  }

  get engine() {
    if (!this.#engine) throw noModelOpen("worker");
    return this.#engine;
  }

  /** Reads a model's description, without its weights.
   * @param {ModelRef} model @param {import("../shared/protocol.js").BackendChoice} backend
   * @param {string | undefined} tuning of this GPU from an earlier report, as JSON
   * @param {Threads} threads build of the engine and its threads
   * @param {{ address: string, code: WebAssembly.Module | null }} program the engine's module, where the page has compiled it
   * @param {MessagePort[]} ports of workers for further threads */
  async open(model, backend, tuning, threads, program, ports) {
    this.#stop = new AbortController();
    const memory = threads.pages ? sharedMemory(threads.pages)?.memory : undefined;
    if (threads.pages && !memory) throw new Failure({ kind: "out-of-memory", place: "memory", message: "there is no room for memory that threads share", hint: "Close other tabs, then reload this page." });
    const [source, wasm] = await Promise.all([CachedSource.open(model, this.#stop.signal), this.#start(program, memory)]);
    const engine = await this.build.Llava.create({ backend });
    // The engine does not wait for them.
    this.threads = this.#startThreads(engine, threads, wasm, ports);
    const { prompt_template } = model;
    const makePlan = () => engine.plan(source.entry, source, { ...(prompt_template && { prompt_template }), ...(tuning && { tuning }) });
    const plan = await makePlan()
      .catch(async (thrown) => {
        // A host may have given a wrong length.
        if (source.lastError || !(await source.recountSizes())) throw thrown;
        return makePlan();
      })
      .catch((thrown) => {
        // The source's failure is more precise than the engine's error about it.
        throw source.lastError ?? thrown;
      });
    this.#pushed.clear();
    this.#choices = {};
    this.#memory = wasm.memory;
    this.#engine = engine;
    this.#source = source;
    this.#plan = plan;
    return plan;
  }

  /** Instantiates the engine's code.
   * @param {{ address: string, code: WebAssembly.Module | null }} program @param {WebAssembly.Memory | undefined} memory */
  async #start({ address, code }, memory) {
    try {
      const module = code ?? (await compileCode(fetchCode(address)));
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
    return this.#runSerially(() => this.engine.probe());
  }

  /** Plans again with another type for the weights or another size of pictures; the parts are the same. After loading,
   * only the size can be changed, which removes pictures and conversation.
   * @param {Pick<PlanOptions, "quant" | "longest_edge" | "cache_type">} choice */
  async choose(choice) {
    const { longest_edge } = Object.assign(this.#choices, choice);
    if (this.#plan && this.#loaded === this.engine && longest_edge) {
      this.engine.set_longest_edge(longest_edge);
      return (this.#plan = { ...this.#plan, longest_edge });
    }
    this.#plan = await this.#runSerially(() => this.engine.plan([], /** @type {CachedSource} */ (this.#source), { ...this.#choices }));
    return this.#plan;
  }

  /** Returns the bytes that this worker holds. */
  memory() {
    const heap = /** @type {{ memory?: { usedJSHeapSize: number } }} */ (performance).memory?.usedJSHeapSize ?? 0;
    return { wasm: this.#memory?.buffer.byteLength ?? 0, heap, buffers: inFlightBytes() };
  }

  /** Returns the bytes of the model that are stored here.
   * @returns {Promise<import("../shared/protocol.js").Storage>} */
  async storage() {
    const [source, plan] = [this.#source, this.#plan];
    if (!source || !plan) throw noModelOpen("storage");
    const { cache } = source;
    let bytes = 0;
    for (const part of plan.parts) if (cache.has(await source.rangeOf(part))) bytes += part.bytes;
    return { kind: cache.kind, key: cache.key, bytes, full: cache.full };
  }

  /** Fetches and pushes the missing parts, and finishes the engine.
   * @param {boolean} keep @param {number | null} context @param {(event: Event) => void} emit */
  async load(keep, context, emit) {
    const [engine, source, plan] = [this.engine, this.#source, this.#plan];
    if (!source || !plan) throw noModelOpen("load");
    this.#stop = new AbortController();
    source.signal = this.#stop.signal;
    await source.begin(plan, keep);
    const [pushed, parts] = [plan.parts.filter((part) => this.#pushed.has(part.index)), plan.parts.filter((part) => !this.#pushed.has(part.index))];
    const done = pushed.reduce((sum, part) => sum + part.bytes, 0);
    const [progress, { signal }] = [new Progress(emit), this.#stop];
    /** @param {Plan["parts"][number]} part @param {Uint8Array} bytes */
    const push = async (part, bytes) => {
      await this.#runSerially(() => (throwIfCancelled(signal), engine.push(part.index, bytes)));
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
    this.#loaded = engine;
  }

  /** Compiles the model's pipelines one after the other. @param {Progress} progress @param {AbortSignal} signal */
  async #compile(progress, signal) {
    for (;;) {
      const compiled = await this.#runSerially(() => (throwIfCancelled(signal), this.engine.compile()));
      progress.compiled(compiled);
      if (compiled.done >= compiled.total) return;
    }
  }

  /** Cancels loading or answering. */
  cancel() {
    this.#stop.abort();
    this.#engine?.cancel();
  }
}
