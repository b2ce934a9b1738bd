// Progress of loading, as events for the page.

/** @typedef {import("../shared/protocol.js").Compiled} Compiled */
/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */

/** Combines the progress of bytes and of pipelines in one event. Events begin with the first bytes, since only those
 * tell where the model comes from. */
export class Progress {
  /** @type {FetchEvent | null} */
  #event = null;
  /** @type {Compiled | undefined} */
  #compiled;

  /** @param {(event: FetchEvent) => void} emit */
  constructor(emit) {
    this.emit = emit;
  }

  /** @param {FetchEvent} event */
  fetched(event) {
    this.#event = event;
    this.#emit();
  }

  /** @param {Compiled} compiled */
  compiled(compiled) {
    this.#compiled = compiled;
    this.#emit();
  }

  #emit() {
    if (this.#event) this.emit({ ...this.#event, ...(this.#compiled?.total && { compiled: this.#compiled }) });
  }
}
