// On the model card: what the weights of a float checkpoint may be held as, with what each choice costs.

import { byId, make } from "./dom.js";

/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Quant} Quant */
/** @typedef {import("./types.js").Weights} Weights */

/** @param {Quant} quant */
const nameOf = (quant) => quant ?? "exact";
const WORDS = { exact: "as they are", q8: "q8, 8.5 bits each: nearly exact", q4: "q4, 4.5 bits each: lossy, answers may differ" };

export class WeightsChoice {
  #box = byId("offer-weights", HTMLFieldSetElement);
  #note = byId("offer-weights-note", HTMLElement);
  /** What the buttons were made for, with their words. @type {Map<Quant, { button: HTMLInputElement, words: HTMLElement }>} */
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
      option.words.textContent = `${WORDS[nameOf(choice.quant)]}${proposed}: ${toFetch}, needs ${needs(choice.memory)}`;
    }
    this.#note.textContent = weights.why && `${WORDS[nameOf(quant)].split(/[,:]/)[0]}: ${weights.why}.`;
  }

  /** @param {import("../shared/protocol.js").WeightsOption[]} choices */
  #fill(choices) {
    this.#options.clear();
    const labels = choices.map(({ quant }) => {
      const button = make("input", {});
      Object.assign(button, { type: "radio", name: "offer-weights", value: nameOf(quant) });
      button.addEventListener("change", () => this.onChoice(quant));
      const words = make("span", {});
      this.#options.set(quant, { button, words });
      const label = make("label", {});
      label.append(button, words);
      return label;
    });
    this.#box.querySelectorAll("label").forEach((label) => label.remove());
    this.#note.before(...labels);
  }
}
