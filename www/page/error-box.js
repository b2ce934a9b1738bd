// The error box: what went wrong, what to do, and the buttons for it.

import { byId } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** Headings by kind of failure; the failure's own message and hint follow. @type {Record<string, string>} */
const TITLES = {
  image: "This picture cannot be read.",
  picture: "This picture could not be downloaded.",
  config: "This page does not support this kind of model.",
  manifest: "The model's manifest is not valid.",
  shard: "A part of the model is damaged.",
  tensor: "The model's weights do not match its description.",
  tokenizer: "The model's tokenizer is not valid.",
  prompt: "The model cannot be asked this question.",
  "context-full": "The conversation is longer than the model's context.",
  "no-gpu": "This browser has no usable GPU.",
  gpu: "The GPU reported an error.",
  "gpu-lost": "The GPU was lost, again.",
  "out-of-memory": "There is not enough memory.",
  network: "The model could not be downloaded.",
  changed: "The model changed during the download.",
  file: "A file of the model could not be read.",
  storage: "The model is no longer saved in this browser.",
  gguf: "This GGUF file is not valid.",
  crash: "The program that runs the model stopped.",
  engine: "The program that runs the model could not be downloaded.",
};

/** Kinds of failure that may not occur on the CPU. */
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
    session.activity.addEventListener("change", () => this.#render(session));
    byId("error-retry", HTMLButtonElement).addEventListener("click", () => session.activity.error?.retry());
    this.#dismiss.addEventListener("click", () => session.activity.dismissError());
    this.#cpu.addEventListener("click", useCpu);
  }

  /** @param {Session} session */
  #render({ activity, loading }) {
    const { error, loaded } = activity;
    this.#box.hidden = !error;
    if (!error) return;
    const { kind, where, message, hint } = error.failure;
    this.#box.dataset.kind = kind;
    this.#title.textContent = TITLES[kind] ?? "Something went wrong.";
    this.#message.textContent = `${where}: ${message}`;
    this.#hint.textContent = hint;
    // Without a model the box stays: the page is of no use before the error is resolved.
    this.#dismiss.hidden = !loaded && kind !== "picture";
    this.#cpu.hidden = !GPU_KINDS.includes(kind) || loading.report?.backend === "cpu";
  }
}
