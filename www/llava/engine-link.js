// The connection to the engine's worker: starts it for one model on one backend, and replaces it after a crash or for
// another model.

import { adapterName } from "../shared/adapter.js";
import { Failure } from "../shared/failure.js";
import { Caller } from "../shared/messenger.js";
import { engineCode, grammarAddress } from "./engine-code.js";
import { LocalStore } from "../shared/local-store.js";
import { createThreadWorkers, startWorker } from "./workers.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Method} Method */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */

/** Tunings by adapter and engine. @type {LocalStore<object>} */
const tunings = new LocalStore("tunings");

/** What proof.html has found of a GPU: the tiers with right and with wrong results, and the day.
 * @typedef {{ right: string[], wrong: string[], date: string }} Verdict */

/** Verdicts by adapter and engine. @type {LocalStore<Verdict>} */
const verdicts = new LocalStore("proofs");

/** Returns the failure of a call that its own caller has ended. @param {string} message @param {unknown} [cause] */
export const cancelled = (message, cause) => new Failure({ kind: "cancelled", place: "worker", message }, cause);

export class EngineLink {
  /** @type {Caller | null} */
  #caller = null;
  /** @type {EngineLink | null} */
  #second = null;
  /** Reason why it was closed for good. @type {Failure | null} */
  #ended = null;

  /** @param {(failure: Failure) => void} onCrash @param {EngineOptions} [options] */
  constructor(onCrash, options = {}) {
    this.onCrash = onCrash;
    this.options = options;
  }

  /** Identifies the engine's build. @returns {Promise<string>} */
  get version() {
    return engineCode(this.options).version;
  }

  /**
   * Opens a model in a new worker, and returns its plan. The memory of the last worker is freed with it.
   * @param {ModelRef} model
   * @param {BackendChoice} backend
   * @param {object} [given] the GPU's tuning, in place of the remembered one
   */
  async open(model, backend, given) {
    this.close();
    const { threads, address, code } = engineCode(this.options);
    const worker = startWorker(threads.pages ? "worker/worker-threads.js" : "worker/worker.js", this.options);
    const { workers, ports } = createThreadWorkers(backend === "webgpu" ? 0 : threads.threads - 1, this.options);
    const caller = new Caller(worker, (failure) => this.onCrash(failure), workers);
    this.#caller = caller;
    // Where the CPU is wanted the GPU is not even asked for its name.
    const key = backend === "cpu" ? null : this.#tuningKey();
    // The worker may be closed meanwhile, and a host may never send the rest of the code.
    const compiled = await Promise.race([code, caller.closed]);
    const tuning = given ?? (key && tunings.get(await key));
    return caller.call("open", { model, backend, tuning: tuning ? JSON.stringify(tuning) : undefined, threads, address, code: compiled, grammar: grammarAddress(this.options), ports }, { transfer: ports });
  }

  async #tuningKey() {
    return `${await adapterName()}|${await this.version}`;
  }

  /** Stores a measured tuning for the next visit. @param {import("../shared/protocol.js").Report} report */
  async rememberTuning({ tuning }) {
    if (tuning) tunings.set(await this.#tuningKey(), tuning);
  }

  /** Returns what proof.html has found of this GPU with this engine. */
  async verdict() {
    return verdicts.get(await this.#tuningKey());
  }

  /** Stores a verdict, and the tuning that is used from now on. @param {Verdict} verdict @param {object | undefined} tuning */
  async rememberVerdict(verdict, tuning) {
    verdicts.set(await this.#tuningKey(), verdict);
    await this.rememberTuning({ backend: "webgpu", adapter: "", tuning: tuning ?? null });
  }

  /** Creates a second link with the same crash listener; it ends with this one. */
  openSecond() {
    this.#second = new EngineLink((failure) => this.onCrash(failure), this.options);
    return this.#second;
  }

  /** Takes over the worker of `other`, in place of its own. @param {EngineLink} other */
  replaceWith(other) {
    this.#second = null;
    this.close();
    this.#caller = other.#caller;
  }

  /** Ends the worker: pending calls reject with `why`, and so do later ones where that is `final`.
   * @param {Failure} [why] @param {boolean} [final] */
  close(why = cancelled("the model is being restarted"), final = false) {
    if (final) this.#ended = why;
    this.#second?.close(why);
    this.#second = null;
    this.#caller?.close(why);
    this.#caller = null;
  }

  /**
   * @template {Method} M
   * @param {M} method
   * @param {Calls[M][0]} args
   * @param {{ onEvent?: (event: Event) => void, transfer?: Transferable[] }} [how]
   * @returns {Promise<Calls[M][1]>}
   */
  call(method, args, how) {
    if (this.#caller) return this.#caller.call(method, args, how);
    return Promise.reject(this.#ended ?? new Failure({ kind: "state", place: method, message: "no model has been opened" }));
  }
}
