// Pictures to try, with questions that suit them. They are files of this page like any other.

import { byId, make } from "./dom.js";

/** @typedef {{ file: string, alt: string, questions: string[] }} Example */

/** @type {Example[]} */
const EXAMPLES = [
  { file: "shapes.png", alt: "A red circle, a blue square and a green triangle", questions: ["What colour is the circle?", "How many shapes are there?", "Where is the square?"] },
  { file: "count.png", alt: "Four yellow stars", questions: ["How many stars are there?", "What colour are they?", "Is there a heart in the image?"] },
  { file: "word.png", alt: "The word cat above an orange heart", questions: ["What word is written?", "What shape is orange?", "Is there any text in the image?"] },
  { file: "by-hand.png", alt: "A purple diamond and a black cross, drawn by hand", questions: ["What shapes do you see?", "Which colour is the diamond?", "Describe the image."] },
];

/** For pictures of the person's own. */
const GENERAL = ["Describe the image.", "How many shapes are there?", "What colours do you see?"];

export class Examples {
  #row = byId("examples", HTMLElement);

  /**
   * @param {(file: Blob, name: string, questions: string[]) => void} onPicture
   * @param {(thrown: unknown) => void} onTrouble
   */
  constructor(onPicture, onTrouble) {
    const buttons = EXAMPLES.map(({ file, alt, questions }) => {
      const image = make("img");
      image.src = `examples/${file}`;
      image.alt = alt;
      image.width = image.height = 64;
      const button = make("button", { class: "example", "data-example": file }, image);
      button.type = "button";
      button.addEventListener("click", async () => {
        try {
          onPicture(await (await fetch(image.src)).blob(), alt, questions);
        } catch (thrown) {
          onTrouble(thrown);
        }
      });
      return button;
    });
    this.#row.replaceChildren(...buttons);
  }

  static get general() {
    return GENERAL;
  }
}
