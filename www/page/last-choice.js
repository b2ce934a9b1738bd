// The model that the person chose last: the next visit opens it, from its saved copy, unless its address names another.

import { LocalStore } from "../shared/local-store.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./session.js").Session} Session */

/** Key of the only value. */
const KEY = "model";
/** @type {LocalStore<{ addresses: string[] } | null>} */
const store = new LocalStore("choice");

/** Returns the model of the last visit; `null` where it was the shipped one. @returns {ModelRef | null} */
export function lastChoice() {
  const addresses = store.get(KEY)?.addresses;
  const valid = Array.isArray(addresses) && addresses.length > 0 && addresses.every((address) => typeof address === "string");
  return valid ? { addresses } : null;
}

export class LastChoice {
  /** The model that the person chose on this visit. @type {ModelRef | null} */
  #chosen = null;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#remember());
  }

  /** Notes a choice; it is remembered when the model is loaded and all of it is saved. @param {ModelRef} model */
  choose(model) {
    this.#chosen = model;
  }

  /** Makes the next visit begin with the shipped model. */
  forget() {
    this.#chosen = null;
    if (lastChoice()) store.set(KEY, null);
  }

  #remember() {
    const { activity, loading } = this.session;
    const model = this.#chosen;
    if (!model || !activity.loaded || loading.model !== model || !("addresses" in model)) return;
    this.#chosen = null;
    if (loading.plan && loading.storage && loading.storage.bytes >= loading.plan.total_bytes) store.set(KEY, { addresses: model.addresses });
  }
}
