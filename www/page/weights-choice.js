// The choice of the weights' type on the model card, with the cost of each type.

import { byId, make } from "./dom.js";
import { nameOfQuant } from "./remembered-choices.js";

/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Quant} Quant */
/** @typedef {import("./session.js").Session["loading"]["weights"]} Weights */

const LABELS = { exact: "as they are", q8: "q8, 8.5 bits each: nearly exact", q4: "q4, 4.5 bits each: lossy, answers may differ" };

export class WeightsChoice {
  #box = byId("offer-weights", HTMLFieldSetElement);
  #note = byId("offer-weights-note", HTMLElement);
  /** Buttons by the type that they choose. @type {Map<Quant, { button: HTMLInputElement, text: HTMLElement }>} */
  #options = new Map();

  /** @param {(quant: Quant) => void} onChoice */
  constructor(onChoice) {
    this.onChoice = onChoice;
  }

  /** @param {Plan} plan @param {Weights} weights @param {string} toFetch @param {(memory: number) => string} needs */
  render({ choices = [], quant = null }, weights, toFetch, needs) {
    this.#box.hidden = !choices.length;
    if (!choices.length) return;
    if (choices.some((choice) => !this.#options.has(choice.quant))) this.#fill(choices);
    for (const choice of choices) {
      const option = this.#options.get(choice.quant);
      if (!option) continue;
      option.button.checked = choice.quant === quant;
      const proposed = weights.proposed === choice.quant ? " (proposed)" : "";
      option.text.textContent = `${LABELS[nameOfQuant(choice.quant)]}${proposed}: ${toFetch}, needs ${needs(choice.memory)}`;
    }
    this.#note.textContent = weights.why && `${LABELS[nameOfQuant(quant)].split(/[,:]/)[0]}: ${weights.why}.`;
  }

  /** @param {import("../shared/protocol.js").WeightsOption[]} choices */
  #fill(choices) {
    this.#options.clear();
    const labels = choices.map(({ quant }) => {
      const button = make("input", {});
      Object.assign(button, { type: "radio", name: "offer-weights", value: nameOfQuant(quant) });
      button.addEventListener("change", () => this.onChoice(quant));
      const text = make("span", {});
      this.#options.set(quant, { button, text });
      const label = make("label", {});
      label.append(button, text);
      return label;
    });
    this.#box.querySelectorAll("label").forEach((label) => label.remove());
    this.#note.before(...labels);
  }
}
