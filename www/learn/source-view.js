// The source of what runs: the module brings its own text.

import { byId, make } from "../page/dom.js";

/** @typedef {import("./run.js").LearnRun} LearnRun */

export class SourceView {
  #files = byId("source-files", HTMLElement);
  #text = byId("source-text", HTMLElement);

  /** @param {LearnRun} run */
  constructor(run) {
    this.run = run;
    run.addEventListener("change", () => this.#show());
  }

  #show() {
    const { source } = this.run;
    const names = Object.keys(source);
    if (this.#files.childElementCount === names.length) return;
    const buttons = names.map((name) => {
      const button = make("button", { text: name });
      button.type = "button";
      button.addEventListener("click", () => (this.#text.textContent = source[name] ?? ""));
      return button;
    });
    this.#files.replaceChildren(...buttons);
    this.#text.textContent = source[names[0] ?? ""] ?? "";
  }
}
