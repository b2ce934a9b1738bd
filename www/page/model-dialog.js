// The dialog "Another model…": opens a model by address, from the disk, or from this browser's storage.

import { LLaVA, LlavaError } from "../llava/index.js";
import { byId, make } from "./dom.js";
import { formatBytes } from "./format.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

export class ModelDialog {
  #dialog = byId("models", HTMLDialogElement);
  #model = byId("model-address", HTMLInputElement);
  #mmproj = byId("mmproj-address", HTMLInputElement);
  #error = byId("models-error", HTMLElement);
  #list = byId("stored", HTMLElement);
  #note = byId("stored-note", HTMLElement);

  /** @param {(model: ModelRef) => void} onModel @param {() => void} onShipped
   * @param {(texts: string[]) => Promise<ModelRef>} resolve finds the model that names or addresses mean */
  constructor(onModel, onShipped, resolve) {
    this.onModel = onModel;
    byId("open-models", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("models-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    byId("models-shipped", HTMLButtonElement).addEventListener("click", () => {
      this.#dialog.close();
      onShipped();
    });
    byId("models-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const texts = [this.#model.value, this.#mmproj.value].map((text) => text.trim()).filter(Boolean);
      if (texts.length) this.#choose(() => resolve(texts));
      else this.#model.focus();
    });
    for (const id of ["model-files", "model-folder"]) {
      const input = byId(id, HTMLInputElement);
      input.addEventListener("change", () => {
        const files = [...(input.files ?? [])];
        // Clears the field, so that the same files may be chosen again.
        input.value = "";
        if (files.length) this.#choose(() => LLaVA.resolve(files));
      });
    }
  }

  #open() {
    this.#error.textContent = "";
    this.#dialog.showModal();
    this.#refresh();
    this.#suggest();
  }

  /** Fills the suggestions of the address field with the models of the catalogue. */
  async #suggest() {
    const known = (await LLaVA.catalogue()).flatMap(({ name, variants }) =>
      variants.flatMap((variant) => {
        const { repository, files } = variant;
        if (!repository) return [];
        const option = make("option", { text: `${name}, ${variant.name}: ${formatBytes(files.reduce((sum, { bytes }) => sum + bytes, 0))}` });
        // Files whose names are not known are found by their repository.
        option.value = files.every(({ path }) => path) ? `${repository}:${variant.name}` : repository;
        return [option];
      }),
    );
    byId("known-models", HTMLDataListElement).replaceChildren(...known);
  }

  /** @param {() => ModelRef | Promise<ModelRef>} make */
  async #choose(make) {
    this.#error.textContent = "";
    try {
      const model = await make();
      // The person may have closed the dialog while the hub was asked.
      if (!this.#dialog.open) return;
      this.#dialog.close();
      this.onModel(model);
    } catch (thrown) {
      this.#showError(thrown);
    }
  }

  /** @param {unknown} thrown */
  #showError(thrown) {
    const { kind, where, message, hint } = LlavaError.from(thrown, "model");
    if (kind !== "cancelled") this.#error.textContent = `${where}: ${message}. ${hint}`;
  }

  async #refresh() {
    try {
      const { kind, models, room } = await LLaVA.storage();
      this.#list.replaceChildren(...models.map((model) => this.#row(model)));
      const sum = models.reduce((sum, { bytes }) => sum + bytes, 0);
      const space = room ? `, space for ${formatBytes(room)} more` : "";
      this.#note.textContent = kind === "none" ? "This browser gives the page no storage: models last as long as the tab." : `${models.length ? formatBytes(sum) : "Nothing"} is saved${space}.`;
    } catch (thrown) {
      this.#showError(thrown);
    }
  }

  /** @param {Stored} model */
  #row(model) {
    const { key, name, addresses, bytes, total_bytes, complete, date } = model;
    const open = make("button", { text: "Open", "aria-label": `Open ${name}` });
    const remove = make("button", { class: "quiet", text: "Delete", "aria-label": `Delete ${name}` });
    open.type = remove.type = "button";
    // An incomplete copy of local files can be completed only from those files.
    open.hidden = !complete && !addresses.length;
    open.addEventListener("click", () => this.#choose(() => (addresses.length ? { addresses } : { stored: key })));
    remove.addEventListener("click", async () => {
      remove.disabled = true;
      await LLaVA.delete(model).catch((thrown) => this.#showError(thrown));
      await this.#refresh();
      byId("models-close", HTMLButtonElement).focus();
    });
    const size = complete || !total_bytes ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(total_bytes)}`;
    const facts = make("span", { class: "hint", text: [size, date.slice(0, 10), addresses[0] ? new URL(addresses[0]).host : "from your disk"].filter(Boolean).join(" · ") });
    return make("li", { "data-key": key }, make("span", {}, make("strong", { text: name }), " ", facts), open, remove);
  }
}
