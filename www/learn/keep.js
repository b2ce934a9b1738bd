// What was trained: saved in this browser for the main page, or as a file.

import { byId } from "../page/dom.js";
import { zip } from "./zip.js";

/** @typedef {import("./run.js").LearnRun} LearnRun */
/** @typedef {import("./protocol.js").ModelFile} ModelFile */

/** Files of the shipped model that training does not change. */
const UNCHANGED = ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"];

export class Keep {
  #use = byId("use", HTMLButtonElement);
  #save = byId("save", HTMLButtonElement);
  #note = byId("keep-note", HTMLElement);
  #link = byId("keep-link", HTMLAnchorElement);

  /** @param {LearnRun} run */
  constructor(run) {
    this.run = run;
    this.#use.addEventListener("click", () => this.#doing(() => this.#hand()));
    this.#save.addEventListener("click", () => this.#doing(() => this.#download()));
    run.addEventListener("change", () => this.#show());
  }

  #show() {
    const able = ["training", "paused", "done"].includes(this.run.phase) && this.run.points.length > 0;
    this.#use.disabled = this.#save.disabled = !able;
  }

  /** @param {() => Promise<void>} work */
  async #doing(work) {
    this.#link.hidden = true;
    this.#note.textContent = "Writing the model…";
    try {
      await work();
    } catch (thrown) {
      const { message, hint = "" } = /** @type {Error & { hint?: string }} */ (thrown);
      this.#note.textContent = `${message} ${hint}`.trim();
    }
  }

  /** Returns the whole model. @returns {Promise<{ name: string, files: ModelFile[] }>} */
  async #files() {
    const name = `scenes, trained here at ${new Date().toTimeString().slice(0, 5)}`;
    const fetched = UNCHANGED.map(async (name) => {
      const response = await fetch(new URL(`models/scenes/${name}`, document.baseURI));
      if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
      return { name, bytes: new Uint8Array(await response.arrayBuffer()) };
    });
    return { name, files: [...(await this.run.write(name)), ...(await Promise.all(fetched))] };
  }

  /** Loads the model into the engine once, which verifies it and saves it in this browser. */
  async #hand() {
    const { name, files } = await this.#files();
    const list = files.map((file) => new File([file.bytes], file.name));
    // The engine is needed here only.
    const { LLaVA } = await import("../llava/index.js");
    const model = await LLaVA.load(list, { keep: true, backend: "cpu" });
    const { kind, key } = model.storage;
    model.close();
    if (kind === "none") throw new Error("This browser gives the page no storage. Save the model as a file.");
    this.#link.href = `index.html?model=${key}`;
    this.#link.hidden = false;
    this.#note.textContent = `“${name}” is saved in this browser.`;
  }

  async #download() {
    const { name, files } = await this.#files();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(zip(files));
    link.download = "llava-trained-here.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.#note.textContent = `“${name}” is saved as a ZIP archive: unpack it, and open its folder under “Another model…”.`;
  }
}
