// The connection to the engine's worker: starts it for one model on one backend, and replaces it after a crash or for
// another model.

import { adapterName } from "../shared/adapter.js";
import { Failure } from "../shared/failure.js";
import { Caller } from "../shared/messenger.js";
import { ownScripts } from "../shared/own-scripts.js";
import { chooseThreads, codeAddress, compileCode, fetchCode } from "../shared/threads.js";
import { LocalStore } from "./local-store.js";
import { createThreadWorkers } from "./thread-workers.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Method} Method */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** Threads and build of the engine; the address may ask for fewer threads. */
const threadLimit = new URLSearchParams(location.search).get("threads");
const threads = chooseThreads(threadLimit ? Number(threadLimit) : undefined);
const response = fetchCode(codeAddress(threads.build));
/** Compiles the engine's code while it arrives and while workers start. Where that fails the worker compiles it, and
 * reports the error. */
const code = compileCode(response).catch(() => null);

/** Identifies a build of the engine by its response headers, which are known before its code. */
export const engineVersion = response.then(
  ({ headers }) => headers.get("etag") ?? headers.get("last-modified") ?? headers.get("content-length") ?? "",
  () => "",
);

/** Tunings by adapter and engine. @type {LocalStore<object>} */
const tunings = new LocalStore("tunings");

const tuningKey = async () => `${await adapterName()}|${await engineVersion}`;

/** Stores a measured tuning for the next visit. @param {import("../shared/protocol.js").Report} report */
export async function rememberTuning({ tuning }) {
  if (tuning) tunings.set(await tuningKey(), tuning);
}

export class EngineLink {
  /** @type {Caller | null} */
  #caller = null;
  /** @type {EngineLink | null} */
  #second = null;

  /** @param {(failure: Failure) => void} onCrash */
  constructor(onCrash) {
    this.onCrash = onCrash;
  }

  /**
   * Opens a model in a new worker, and returns its plan. The memory of the last worker is freed with it.
   * @param {ModelRef} model
   * @param {BackendChoice} backend
   */
  async open(model, backend) {
    this.close();
    const script = ownScripts.createScriptURL(threads.pages ? "worker/worker-threads.js" : "worker/worker.js");
    const worker = new Worker(script, { type: "module", name: "engine" });
    const { workers, ports } = createThreadWorkers(backend === "webgpu" ? 0 : threads.threads - 1);
    const caller = new Caller(worker, this.onCrash, workers);
    this.#caller = caller;
    // Where the CPU is wanted the GPU is not even asked for its name.
    const key = backend === "cpu" ? null : tuningKey();
    const compiled = await code;
    const tuning = key && tunings.get(await key);
    return caller.call("open", { model, backend, tuning: tuning ? JSON.stringify(tuning) : undefined, threads, code: compiled, ports }, { transfer: ports });
  }

  /** Creates a second link with the same crash listener; it ends with this one. */
  openSecond() {
    this.#second = new EngineLink(this.onCrash);
    return this.#second;
  }

  /** Takes over the worker of `other`, in place of its own. @param {EngineLink} other */
  replaceWith(other) {
    this.#second = null;
    this.close();
    this.#caller = other.#caller;
  }

  /** Ends the worker. */
  close() {
    this.#second?.close();
    this.#second = null;
    this.#caller?.close(new Failure({ kind: "cancelled", place: "worker", message: "the model is being restarted" }));
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
    return Promise.reject(new Failure({ kind: "state", place: method, message: "no model has been opened" }));
  }
}
