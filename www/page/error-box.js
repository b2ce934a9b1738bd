// What went wrong, in words, with the button that may help.

import { byId } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** One line per kind of failure; the engine's own message and hint follow it.
 * @type {Record<string, string>} */
const TITLES = {
  image: "This picture cannot be read.",
  picture: "This picture could not be fetched.",
  config: "This model is of a kind the page does not know.",
  manifest: "The model's manifest is not right.",
  shard: "A part of the model arrived damaged.",
  tensor: "The model's weights are not what they should be.",
  tokenizer: "The model's tokenizer is not right.",
  prompt: "This question cannot be put to the model.",
  "context-full": "The conversation is longer than the model can hold.",
  "no-gpu": "There is no usable GPU here.",
  gpu: "The GPU gave up.",
  "gpu-lost": "The GPU was lost, again.",
  "out-of-memory": "There is not enough memory.",
  network: "The model could not be fetched.",
  changed: "The model changed while it was being fetched.",
  file: "A file of the model could not be read.",
  storage: "The model is no longer kept in this browser.",
  gguf: "This GGUF file is not right.",
  crash: "The engine stopped.",
  engine: "The engine could not be fetched.",
};

/** Failures that the CPU may not have. */
const GPU_KINDS = ["no-gpu", "gpu", "gpu-lost", "out-of-memory", "crash"];

export class ErrorBox {
  #box = byId("error", HTMLElement);
  #title = byId("error-title", HTMLElement);
  #message = byId("error-message", HTMLElement);
  #hint = byId("error-hint", HTMLElement);
  #cpu = byId("error-cpu", HTMLButtonElement);
  #dismiss = byId("error-dismiss", HTMLButtonElement);

  /** @param {Session} session @param {() => void} useCpu */
  constructor(session, useCpu) {
    session.addEventListener("change", () => this.#render(session));
    byId("error-retry", HTMLButtonElement).addEventListener("click", () => session.trouble?.retry());
    this.#dismiss.addEventListener("click", () => session.dismiss());
    this.#cpu.addEventListener("click", useCpu);
  }

  /** @param {Session} session */
  #render({ trouble, report, loaded }) {
    this.#box.hidden = !trouble;
    if (!trouble) return;
    const { kind, place, message, hint } = trouble.failure;
    this.#box.dataset.kind = kind;
    this.#title.textContent = TITLES[kind] ?? "Something went wrong.";
    this.#message.textContent = `${place}: ${message}`;
    this.#hint.textContent = hint;
    // Without a model there is nothing to go back to, unless it is on its way.
    this.#dismiss.hidden = !loaded && kind !== "picture";
    this.#cpu.hidden = !GPU_KINDS.includes(kind) || report?.backend === "cpu";
  }
}
