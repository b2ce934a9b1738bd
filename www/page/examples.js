// Pictures to try, with questions that suit them. They are held-out scenes, scenes 63, 31, 57 and 12 of
// `train data --seed 7`: the shipped model has not seen them.

import { byId, make } from "./dom.js";

/** @typedef {{ file: string, alt: string, questions: string[] }} Example */

/** @type {Example[]} */
const EXAMPLES = [
  { file: "shapes.png", alt: "A green star, a green circle and two yellow triangles", questions: ["What color is the star?", "How many triangles are there?", "Which shape is at the top?"] },
  { file: "by-hand.png", alt: "Three squares drawn by hand: red, green and orange", questions: ["What color is the large square?", "How many squares are there?", "Where is the orange square?"] },
  { file: "word.png", alt: "The word bird in red, a blue cross and a green circle", questions: ["Is there any text in the image?", "What color is the word?", "What color is the cross?"] },
  { file: "outlines.png", alt: "A green square, and the outlines of a star, a triangle and a cross", questions: ["What shape is blue?", "What color is the star?", "Is there a heart in the image?"] },
];

/** For pictures of the person's own. */
const GENERAL = ["How many shapes are there?", "What color is the circle?", "What do you see?"];

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
