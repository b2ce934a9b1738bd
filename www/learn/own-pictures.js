// A person's pictures with a word each: the list, teaching with it, and a question about another drawing.

import { DrawingPad } from "../page/drawing-pad.js";
import { byId, make } from "../page/dom.js";

/** @typedef {import("./run.js").LearnRun} LearnRun */

/** Fewest pictures to teach with; ten teach better. */
const FEWEST = 3;

export class OwnPictures {
  #word = byId("own-word", HTMLInputElement);
  #files = byId("own-files", HTMLInputElement);
  #list = byId("own-list", HTMLElement);
  #teach = byId("teach", HTMLButtonElement);
  #whole = byId("whole", HTMLButtonElement);
  #ask = byId("own-ask", HTMLButtonElement);
  #question = byId("own-question", HTMLInputElement);
  #answer = byId("own-answer", HTMLElement);
  #canvas = byId("canvas", HTMLCanvasElement);
  /** @type {{ picture: Uint8Array<ArrayBuffer>, word: string }[]} */
  #pictures = [];

  /** @param {LearnRun} run @param {() => void} startWhole starts with the trained model in place of a fresh connector */
  constructor(run, startWhole) {
    this.run = run;
    new DrawingPad((drawing) => this.#add([drawing]));
    this.#files.addEventListener("change", () => this.#add([...(this.#files.files ?? [])]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.#add([...(event.dataTransfer?.files ?? [])]);
    });
    this.#whole.addEventListener("click", startWhole);
    this.#teach.addEventListener("click", () => {
      run.setOwn(this.#pictures.map(({ picture }) => picture), this.#pictures.map(({ word }) => word));
      run.begin(3);
    });
    this.#ask.addEventListener("click", () => this.#askAbout());
    run.addEventListener("change", () => this.#show());
    this.#word.addEventListener("input", () => this.#show());
    this.#show();
  }

  /** Adds pictures with the word that is written now. @param {Blob[]} blobs */
  async #add(blobs) {
    const word = this.#word.value.trim();
    if (!word) return this.#word.focus();
    for (const blob of blobs) {
      const entry = { picture: new Uint8Array(await blob.arrayBuffer()), word };
      this.#pictures.push(entry);
      const image = make("img", {});
      image.src = URL.createObjectURL(blob);
      image.alt = word;
      const remove = make("button", { text: "Remove", "aria-label": `Remove this ${word}` });
      remove.type = "button";
      const item = make("li", {}, image, make("span", { text: word }), remove);
      remove.addEventListener("click", () => {
        this.#pictures = this.#pictures.filter((other) => other !== entry);
        URL.revokeObjectURL(image.src);
        item.remove();
        this.#show();
      });
      this.#list.append(item);
    }
    this.#files.value = "";
    this.#show();
  }

  /** Asks about what is on the drawing pad. */
  async #askAbout() {
    this.#answer.textContent = "…";
    /** @type {Blob | null} */
    const blob = await new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
    const picture = new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0));
    const answer = await this.run.ask(picture, this.#question.value).catch((thrown) => String(thrown));
    this.#answer.textContent = answer;
  }

  #show() {
    const { phase } = this.run;
    const able = ["ready", "paused", "done"].includes(phase);
    this.#teach.disabled = !able || this.#pictures.length < FEWEST;
    this.#teach.textContent = `Teach with ${this.#pictures.length} ${this.#pictures.length === 1 ? "picture" : "pictures"}`;
    this.#whole.disabled = phase === "loading";
    this.#ask.disabled = !(able || phase === "training");
  }
}
