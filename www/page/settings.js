// The settings: read from the address and from the last visit, edited in a dialog, stored in this browser.

import { byId } from "./dom.js";
import { LocalStore } from "../shared/local-store.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {GenerateOptions & { backend: BackendChoice }} Values */

/** @type {LocalStore<unknown>} */
const store = new LocalStore("settings");

/** Greedy decoding suits a small model best, and its answers can be repeated. @type {Values} */
const DEFAULTS = { temperature: 0, top_p: 1, max_new_tokens: 256, seed: 1, backend: "auto" };

/** @param {unknown} text @returns {BackendChoice | undefined} */
function backendFrom(text) {
  return text === "auto" || text === "webgpu" || text === "cpu" ? text : undefined;
}

/** @returns {Values} the stored values that are valid, and the defaults for the others */
function savedValues() {
  const values = { ...DEFAULTS };
  for (const name of /** @type {const} */ (["temperature", "top_p", "max_new_tokens", "seed"])) {
    const value = store.get(name);
    if (typeof value === "number" && Number.isFinite(value)) values[name] = value;
  }
  values.backend = backendFrom(store.get("backend")) ?? DEFAULTS.backend;
  return values;
}

export class Settings {
  #dialog = byId("settings", HTMLDialogElement);
  #form = byId("settings-form", HTMLFormElement);
  #values = savedValues();

  /** @param {URLSearchParams} query @param {() => void} onBackend */
  constructor(query, onBackend) {
    this.onBackend = onBackend;
    // The address decides for this visit and is not stored.
    this.#values.backend = backendFrom(query.get("backend")) ?? this.#values.backend;
    byId("open-settings", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("settings-defaults", HTMLButtonElement).addEventListener("click", () => this.#fill(DEFAULTS));
    this.#form.addEventListener("input", () => this.#showValues());
    this.#dialog.addEventListener("close", () => this.#save());
  }

  /** @returns {{ backend: BackendChoice, generate: GenerateOptions }} */
  get current() {
    const { backend, ...generate } = this.#values;
    return { backend, generate };
  }

  /** @param {BackendChoice} backend */
  useBackend(backend) {
    if (this.#values.backend === backend) return;
    this.#values.backend = backend;
    this.onBackend();
  }

  #open() {
    this.#fill(this.#values);
    this.#dialog.showModal();
  }

  /** @param {string} name */
  #field(name) {
    const field = this.#form.elements.namedItem(name);
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) return field;
    throw new Error(`index.html lacks the setting ${name}`);
  }

  /** @param {Values} values */
  #fill(values) {
    for (const [name, value] of Object.entries(values)) this.#field(name).value = String(value);
    this.#showValues();
  }

  #showValues() {
    for (const name of ["temperature", "top_p"]) byId(`${name}-value`, HTMLOutputElement).value = this.#field(name).value;
  }

  /** Returns the number in a field; an invalid one leaves the old value.
   * @param {"temperature" | "top_p" | "max_new_tokens" | "seed"} name */
  #number(name) {
    const field = this.#field(name);
    const value = Number(field.value);
    return field.value !== "" && field.checkValidity() && Number.isFinite(value) ? value : this.#values[name];
  }

  #save() {
    const backend = backendFrom(this.#field("backend").value) ?? "auto";
    this.#values = {
      temperature: this.#number("temperature"),
      top_p: this.#number("top_p"),
      max_new_tokens: this.#number("max_new_tokens"),
      seed: this.#number("seed"),
      backend: this.#values.backend,
    };
    this.useBackend(backend);
    for (const [name, value] of Object.entries(this.#values)) store.set(name, value);
  }
}
