// The choice on the model card among the files of one model that differ in the type of their weights.

import { byId, make } from "./dom.js";
import { formatBytes } from "./format.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

export class VariantChoice {
  #label = byId("offer-variant-label", HTMLElement);
  #select = byId("offer-variant", HTMLSelectElement);
  /** @type {ModelRef | null} */
  #model = null;

  /** @param {(model: ModelRef) => void} onModel opens another */
  constructor(onModel) {
    this.#select.addEventListener("change", () => {
      const model = this.#model;
      if (!model || !("addresses" in model)) return;
      const variant = model.variants?.[Number(this.#select.value)];
      if (variant) onModel({ ...model, addresses: variant.addresses });
    });
  }

  /** @param {ModelRef} model */
  render(model) {
    const { variants = [], addresses } = "addresses" in model ? model : { addresses: [] };
    this.#label.hidden = variants.length < 2;
    if (this.#model === model) return;
    this.#model = model;
    const options = variants.map(({ name, bytes, addresses: own }, i) => {
      const option = make("option", { text: `${name}: ${formatBytes(bytes)}` });
      option.value = String(i);
      option.selected = own.join("\n") === addresses.join("\n");
      return option;
    });
    this.#select.replaceChildren(...options);
  }
}
