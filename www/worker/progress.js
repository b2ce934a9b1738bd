// How far loading is, as the page is told.

/** @typedef {import("../shared/protocol.js").Compiled} Compiled */
/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */

/** Bytes and pipelines, told together as soon as there are bytes: only they say where the model comes from. */
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
    this.#say();
  }

  /** @param {Compiled} compiled */
  compiled(compiled) {
    this.#compiled = compiled;
    this.#say();
  }

  #say() {
    if (this.#event) this.emit({ ...this.#event, ...(this.#compiled?.total && { compiled: this.#compiled }) });
  }
}
