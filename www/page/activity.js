// What the page is doing right now, and what went wrong: the part of a session that every component shows.

import { Failure } from "../shared/failure.js";

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** In "waiting" there is no engine, and nothing happens before the person decides.
 * @typedef {"loading" | "waiting" | "ready" | "encoding" | "generating" | "measuring" | "error"} Phase */
/** @typedef {{ failure: Failure, retry: () => void }} Trouble */

/** Says "change" when a field changed and "progress" when only `progress` did. */
export class Activity extends EventTarget {
  /** @type {Phase} */
  phase = "loading";
  /** @type {EngineEvent | null} */
  progress = null;
  /** @type {Trouble | null} */
  trouble = null;
  /** The engine is there and takes pictures and questions. */
  loaded = false;
  /** Settles when nothing runs any more.
   * @type {Promise<unknown>} */
  idle = Promise.resolve();

  dismiss() {
    this.trouble = null;
    if (this.phase === "error" && this.loaded) this.phase = "ready";
    this.changed();
  }

  /** Runs after everything that was asked before, whatever became of it.
   * @param {() => Promise<void>} work
   * @returns {Promise<void>} */
  exclusive(work) {
    const run = this.idle.then(work).catch((thrown) => this.fail(thrown, "page", () => this.dismiss()));
    this.idle = run;
    return run;
  }

  /** @param {Phase} phase */
  begin(phase) {
    Object.assign(this, { phase, progress: null, trouble: null });
    this.changed();
  }

  end() {
    // A model that is being restarted has taken over the display.
    if (this.loaded) Object.assign(this, { phase: "ready", progress: null });
    this.changed();
  }

  /** @param {unknown} thrown @param {string} place @param {() => void} retry */
  fail(thrown, place, retry) {
    const failure = Failure.from(thrown, place);
    // What the person cancelled is no trouble.
    if (failure.kind === "cancelled") return this.end();
    Object.assign(this, { phase: "error", progress: null, trouble: { failure, retry } });
    this.changed();
  }

  /** Something beside the model failed: whatever the engine does goes on.
   * @param {unknown} thrown @param {string} place @param {() => void} retry */
  miss(thrown, place, retry) {
    this.trouble = {
      failure: Failure.from(thrown, place),
      retry: () => {
        this.dismiss();
        retry();
      },
    };
    this.changed();
  }

  onProgress = (/** @type {EngineEvent} */ event) => {
    this.progress = event;
    this.dispatchEvent(new Event("progress"));
  };

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
