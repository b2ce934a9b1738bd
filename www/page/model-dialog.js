// "Another model…": by address, from the disk, or out of what is kept in this browser.

import { fileAddress, fromFiles } from "../shared/address.js";
import { Failure } from "../shared/failure.js";
import { Caller } from "../shared/messenger.js";
import { byId, inBytes, make } from "./dom.js";
import { ownScripts } from "../shared/own-scripts.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

export class ModelDialog {
  #dialog = byId("models", HTMLDialogElement);
  #model = byId("model-address", HTMLInputElement);
  #mmproj = byId("mmproj-address", HTMLInputElement);
  #trouble = byId("models-trouble", HTMLElement);
  #list = byId("stored", HTMLElement);
  #note = byId("stored-note", HTMLElement);
  /** @type {Caller | null} */
  #store = null;

  /** @param {(model: ModelRef) => void} onModel @param {() => void} onShipped */
  constructor(onModel, onShipped) {
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
      if (texts.length) this.#choose(() => ({ addresses: texts.map((text) => fileAddress(text, document.baseURI)) }));
      else this.#model.focus();
    });
    for (const id of ["model-files", "model-folder"]) {
      const input = byId(id, HTMLInputElement);
      input.addEventListener("change", () => {
        const files = [...(input.files ?? [])];
        // The same files may be chosen again.
        input.value = "";
        if (files.length) this.#choose(() => fromFiles(files.map((file) => ({ path: file.webkitRelativePath || file.name, file }))));
      });
    }
    this.#dialog.addEventListener("close", () => {
      this.#store?.close(new Failure({ kind: "cancelled", place: "storage", message: "the list was closed" }));
      this.#store = null;
    });
  }

  #open() {
    this.#trouble.textContent = "";
    this.#dialog.showModal();
    const worker = new Worker(ownScripts.createScriptURL("worker/storage.js"), { type: "module", name: "storage" });
    this.#store = new Caller(worker, (failure) => this.#say(failure));
    this.#refresh();
  }

  /** @param {() => ModelRef} make */
  #choose(make) {
    try {
      const model = make();
      this.#dialog.close();
      this.onModel(model);
    } catch (thrown) {
      this.#say(thrown);
    }
  }

  /** @param {unknown} thrown */
  #say(thrown) {
    const { kind, place, message, hint } = Failure.from(thrown, "model");
    if (kind !== "cancelled") this.#trouble.textContent = `${place}: ${message}. ${hint}`;
  }

  async #refresh() {
    try {
      const stored = await this.#store?.call("stored", null);
      if (!stored) return;
      const { kind, models } = stored;
      this.#list.replaceChildren(...models.map((model) => this.#row(model)));
      const sum = models.reduce((sum, { bytes }) => sum + bytes, 0);
      const estimate = await navigator.storage?.estimate?.().catch(() => null);
      const room = estimate?.quota ? `, room for ${inBytes(Math.max(0, estimate.quota - (estimate.usage ?? 0)))} more` : "";
      this.#note.textContent = kind === "none" ? "This browser offers no storage here: models last as long as the tab." : `${models.length ? inBytes(sum) : "Nothing"} is kept${room}.`;
    } catch (thrown) {
      this.#say(thrown);
    }
  }

  /** @param {Stored} model */
  #row({ key, name, addresses, bytes, total_bytes, complete, date }) {
    const open = make("button", { text: "Open", "aria-label": `Open ${name}` });
    const remove = make("button", { class: "quiet", text: "Delete", "aria-label": `Delete ${name}` });
    open.type = remove.type = "button";
    // Copies of local files that are not whole can only be completed from those files.
    open.hidden = !complete && !addresses.length;
    open.addEventListener("click", () => this.#choose(() => (addresses.length ? { addresses } : { stored: key })));
    remove.addEventListener("click", async () => {
      remove.disabled = true;
      await this.#store?.call("forget", { key }).catch((thrown) => this.#say(thrown));
      await this.#refresh();
      byId("models-close", HTMLButtonElement).focus();
    });
    const size = complete || !total_bytes ? inBytes(bytes) : `${inBytes(bytes)} of ${inBytes(total_bytes)}`;
    const facts = make("span", { class: "hint", text: [size, date.slice(0, 10), addresses[0] ? new URL(addresses[0]).host : "from your disk"].filter(Boolean).join(" · ") });
    return make("li", { "data-key": key }, make("span", {}, make("strong", { text: name }), " ", facts), open, remove);
  }
}
