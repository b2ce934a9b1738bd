// Runs calls to the engine one after the other, in the order in which they were made. A call can be aborted while it
// waits, and while the engine works on it.

import { serialQueue } from "../../shared/async.js";
import { Failure, aborted } from "../../shared/failure.js";
import { throwIfAborted } from "./refuse.js";

/** @typedef {import("../../shared/protocol.js").Calls} Calls */
/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("../../shared/protocol.js").Method} Method */

/** How a call is made. `stop` ends it early; what it has by then is its result.
 * @typedef {{ onEvent?: (event: Event) => void, transfer?: Transferable[], stop?: AbortSignal | null }} CallHow */

/** What calls the engine: the package's connection to its worker.
 * @typedef {{ call: <M extends Method>(method: M, args: Calls[M][0],
 *   how?: { onEvent?: (event: Event) => void, transfer?: Transferable[] }) => Promise<Calls[M][1]> }} Link */

/** @typedef {<M extends Method>(method: M, args: Calls[M][0], how?: CallHow) => Promise<Calls[M][1]>} EngineCall */
/** Replaces a lost GPU, with events of it; returns false for every other failure.
 * @typedef {(thrown: unknown, onProgress?: (event: Event) => void) => Promise<boolean>} Recovered */

export class CallQueue {
  #run = serialQueue();

  /** @param {Link} link @param {Recovered} recovered */
  constructor(link, recovered) {
    this.link = link;
    this.recovered = recovered;
  }

  /**
   * Runs `work` alone, and again after a lost GPU. When `signal` aborts, it rejects at once, `work` is not begun or is
   * cancelled, and the next call waits until the engine has stopped.
   * @template T
   * @param {AbortSignal | null} signal @param {string} where for the error
   * @param {(call: EngineCall) => Promise<T>} work
   * @param {(event: Event) => void} [onProgress] receives events while a lost GPU is replaced @returns {Promise<T>}
   */
  run(signal, where, work, onProgress) {
    return new Promise((resolve, reject) => {
      const leave = () => reject(aborted(/** @type {AbortSignal} */ (signal), where));
      if (signal?.aborted) return leave();
      signal?.addEventListener("abort", leave, { once: true });
      this.#run(async () => {
        if (signal?.aborted) return;
        /** @type {EngineCall} */
        const call = (method, args, how) => this.#call(signal, where, method, args, how);
        for (let again = true; again; ) {
          again = await work(call).then(
            (value) => (resolve(value), false),
            async (thrown) => {
              const recovered = await this.recovered(thrown, onProgress).catch(() => false);
              if (!recovered) reject(Failure.from(thrown, where));
              return recovered;
            },
          );
        }
        signal?.removeEventListener("abort", leave);
      });
    });
  }

  /** @template {Method} M @param {AbortSignal | null} signal @param {string} where @param {M} method @param {Calls[M][0]} args
   * @param {CallHow} [how] @returns {Promise<Calls[M][1]>} */
  async #call(signal, where, method, args, { onEvent, transfer, stop } = {}) {
    throwIfAborted(signal, where);
    const cancel = () => void this.link.call("cancel", null).catch(() => {});
    const signals = [signal, stop].filter((signal) => signal instanceof AbortSignal);
    for (const signal of signals) signal.addEventListener("abort", cancel, { once: true });
    try {
      /** @param {Event} event */
      const receive = (event) => {
        // The engine forgets what it was told before it had begun.
        if (signals.some(({ aborted }) => aborted)) cancel();
        else onEvent?.(event);
      };
      const result = await this.link.call(method, args, { onEvent: receive, transfer });
      throwIfAborted(signal, where);
      return result;
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", cancel);
    }
  }
}
