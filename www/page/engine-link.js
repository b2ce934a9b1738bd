// The worker's life: started for one model on one backend, replaced when it crashed or another is wanted.

import { adapterName } from "../shared/adapter.js";
import { Failure } from "../shared/failure.js";
import { Caller } from "../shared/messenger.js";
import { ownScripts } from "../shared/own-scripts.js";
import { askForCode, codeAddress, compiled, threadsHere } from "../shared/threads.js";
import { Kept } from "./kept.js";
import { startThreads } from "./thread-workers.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Method} Method */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** What the engine may use here; fewer threads where the address says so. */
const most = new URLSearchParams(location.search).get("threads");
const threads = threadsHere(most ? Number(most) : undefined);
const response = askForCode(codeAddress(threads.build));
/** The engine's code, compiled while it arrives and while workers start. Where that does not work a worker does it by
 * itself, and says what is wrong. */
const code = compiled(response).catch(() => null);

/** Tells one build of the engine from another, by what its host says of it: known before the code is, and the same
 * whenever it is asked for. */
export const engineVersion = response.then(
  ({ headers }) => headers.get("etag") ?? headers.get("last-modified") ?? headers.get("content-length") ?? "",
  () => "",
);

/** How GPUs compute best, by adapter and engine. @type {Kept<object>} */
const tunings = new Kept("tunings");

const tuningKey = async () => `${await adapterName()}|${await engineVersion}`;

/** What was measured on this visit need not be measured on the next. @param {import("../shared/protocol.js").Report} report */
export async function rememberTuning({ tuning }) {
  if (tuning) tunings.remember(await tuningKey(), tuning);
}

export class EngineLink {
  /** @type {Caller | null} */
  #caller = null;
  /** @type {EngineLink | null} */
  #beside = null;

  /** @param {(failure: Failure) => void} onCrash */
  constructor(onCrash) {
    this.onCrash = onCrash;
  }

  /**
   * A fresh worker for this model, and its plan. What the last one held is freed with it.
   * @param {ModelRef} model
   * @param {BackendChoice} backend
   */
  async open(model, backend) {
    this.close();
    const script = ownScripts.createScriptURL(threads.pages ? "worker/worker-threads.js" : "worker/worker.js");
    const worker = new Worker(script, { type: "module", name: "engine" });
    const { workers, ports } = startThreads(backend === "webgpu" ? 0 : threads.threads - 1);
    const caller = new Caller(worker, this.onCrash, workers);
    this.#caller = caller;
    // Whoever wants the CPU gives the GPU no look at all.
    const key = backend === "cpu" ? null : tuningKey();
    const compiled = await code;
    const tuning = key && tunings.recall(await key);
    return caller.call("open", { model, backend, tuning: tuning ? JSON.stringify(tuning) : undefined, threads, code: compiled, ports }, { transfer: ports });
  }

  /** Another one, which tells the same listener; it ends with this one. */
  beside() {
    this.#beside = new EngineLink(this.onCrash);
    return this.#beside;
  }

  /** Takes over what `other` has open, in the place of its own. @param {EngineLink} other */
  replaceBy(other) {
    this.#beside = null;
    this.close();
    this.#caller = other.#caller;
  }

  /** Ends the worker and whatever it was doing. */
  close() {
    this.#beside?.close();
    this.#beside = null;
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
