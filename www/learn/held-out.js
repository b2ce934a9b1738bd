// The held-out scene, and what the model answers about it now.

import { byId, make } from "../page/dom.js";

/** @typedef {import("./run.js").LearnRun} LearnRun */

export class HeldOut {
  #picture = byId("scene", HTMLImageElement);
  #answers = byId("answers", HTMLElement);
  #address = "";
  /** @type {Uint8Array | null} */
  #shown = null;

  /** @param {LearnRun} run */
  constructor(run) {
    this.run = run;
    run.addEventListener("change", () => this.#show());
  }

  #show() {
    const { picture, answers, answeredAt } = this.run;
    if (picture && picture !== this.#shown) {
      URL.revokeObjectURL(this.#address);
      this.#address = URL.createObjectURL(new Blob([picture], { type: "image/png" }));
      this.#picture.src = this.#address;
      this.#shown = picture;
    }
    if (this.#answers.dataset.step === String(answeredAt) && this.#answers.childElementCount === answers.length) return;
    this.#answers.dataset.step = String(answeredAt);
    this.#answers.replaceChildren(
      ...answers.map(({ question, expected, given, right }) =>
        make(
          "li",
          { "data-right": String(right) },
          make("p", { class: "question", text: question.split("\n")[0] ?? "" }),
          make("p", { class: "given", text: given || "…" }),
          make("p", { class: "hint", text: right ? "right" : `expected: ${expected}` }),
        ),
      ),
    );
  }
}
