// What the page is doing now, and the error that it shows.

import { serialQueue } from "../shared/async.js";
import { LlavaError } from "../llava/index.js";

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** In "waiting" no engine runs, and the page waits for a decision of the person.
 * @typedef {"loading" | "waiting" | "ready" | "encoding" | "generating" | "measuring" | "error"} Phase */
/** @typedef {{ failure: LlavaError, retry: () => void }} ShownError */

/** Dispatches "change" when the session changed, and "progress" when only `progress` did. */
export class Activity extends EventTarget {
  /** @type {Phase} */
  phase = "loading";
  /** @type {EngineEvent | null} */
  progress = null;
  /** @type {ShownError | null} */
  error = null;
  /** Whether the model is loaded, so that the engine accepts pictures and questions. */
  loaded = false;
  /** Settles when the last job of `exclusive` has ended.
   * @type {Promise<unknown>} */
  idle = Promise.resolve();
  #runSerially = serialQueue();
  #stop = new AbortController();

  dismissError() {
    this.error = null;
    if (this.phase === "error" && this.loaded) this.phase = "ready";
    this.changed();
  }

  /** Runs `work` after all earlier jobs, whether they succeeded or failed.
   * @param {() => Promise<void>} work
   * @returns {Promise<void>} */
  exclusive(work) {
    const run = this.#runSerially(work).catch((thrown) => this.fail(thrown, "page", () => this.dismissError()));
    this.idle = run;
    return run;
  }

  /** Returns a signal that the next `stop` aborts. */
  stoppable() {
    this.#stop = new AbortController();
    return this.#stop.signal;
  }

  stop() {
    this.#stop.abort();
  }

  /** @param {Phase} phase */
  begin(phase) {
    Object.assign(this, { phase, progress: null, error: null });
    this.changed();
  }

  end() {
    // While a model is being restarted, its loading is what the page shows.
    if (this.loaded) Object.assign(this, { phase: "ready", progress: null });
    this.changed();
  }

  /** Shows a failure of the model or of the engine.
   * @param {unknown} thrown @param {string} place @param {() => void} retry */
  fail(thrown, place, retry) {
    const failure = LlavaError.from(thrown, place);
    // A cancellation by the person is not an error, nor is another model in the place of this one.
    if (["cancelled", "closed"].includes(failure.kind)) return this.end();
    Object.assign(this, { phase: "error", progress: null, error: { failure, retry } });
    this.changed();
  }

  /** Shows a failure outside the model; the engine's work continues.
   * @param {unknown} thrown @param {string} place @param {() => void} retry */
  showError(thrown, place, retry) {
    this.error = {
      failure: LlavaError.from(thrown, place),
      retry: () => {
        this.dismissError();
        retry();
      },
    };
    this.changed();
  }

  onProgress = (/** @type {EngineEvent} */ event) => {
    this.progress = event;
    // The text of a token follows it.
    if (event.type !== "token") this.showProgress();
  };

  showProgress() {
    this.dispatchEvent(new Event("progress"));
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
