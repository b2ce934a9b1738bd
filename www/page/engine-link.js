// The worker's life: started for one model on one backend, replaced when it crashed or another is wanted.

import { adapterName } from "../shared/adapter.js";
import { Failure } from "../shared/failure.js";
import { Caller } from "../shared/messenger.js";
import { Kept } from "./kept.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Method} Method */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** The security policy lets scripts be named only through this policy; it knows these.
 * @type {{ createScriptURL: (name: string) => any }} */
export const ownScripts = (() => {
  const names = ["worker/worker.js", "worker/storage.js", "service-worker.js"];
  const rules = {
    /** @param {string} name */
    createScriptURL(name) {
      if (!names.includes(name)) throw new TypeError(`${name} is not ours`);
      return new URL(`../${name}`, import.meta.url).href;
    },
  };
  // Browsers without trusted types take the plain address.
  return /** @type {any} */ (globalThis).trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
})();

const WASM = new URL("../pkg/llava_web_bg.wasm", import.meta.url).href;
/** The engine's code, compiled while it arrives and while workers start. Where that does not work a worker does it by
 * itself, and says what is wrong. */
const code = fetch(WASM).then(WebAssembly.compileStreaming).catch(() => null);

/** Tells one build of the engine from another. */
export function engineVersion() {
  const entries = /** @type {PerformanceResourceTiming[]} */ (performance.getEntriesByName(WASM));
  return String(entries[0]?.decodedBodySize ?? "");
}

/** How GPUs compute best, by adapter and engine. @type {Kept<object>} */
const tunings = new Kept("tunings");

adapterName(); // the answer takes a moment
const tuningKey = async () => `${await adapterName()}|${engineVersion()}`;

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
    const worker = new Worker(ownScripts.createScriptURL("worker/worker.js"), { type: "module", name: "engine" });
    const caller = new Caller(worker, this.onCrash);
    this.#caller = caller;
    const compiled = await code;
    const tuning = backend === "cpu" ? undefined : tunings.recall(await tuningKey());
    return caller.call("open", { model, backend, tuning: tuning && JSON.stringify(tuning), code: compiled });
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
