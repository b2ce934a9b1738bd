// Example pictures with questions that suit them: held-out scenes 63, 31, 57 and 12 and drawing 13 of `train data --seed
// 7`, which the shipped model was not trained on.

import { timeLimit } from "../shared/async.js";
import { LlavaError } from "../llava/index.js";
import { byId, make } from "./dom.js";

/** @typedef {{ file: string, alt: string, questions: string[] }} Example */

/** @type {Example[]} */
const EXAMPLES = [
  { file: "shapes.png", alt: "A green star, a green circle and two yellow triangles", questions: ["What color is the star?", "How many triangles are there?", "Which shape is at the top?"] },
  { file: "by-hand.png", alt: "Three squares drawn by hand: red, green and orange", questions: ["What color is the large square?", "How many squares are there?", "Where is the orange square?"] },
  { file: "word.png", alt: "The word bird in red, a blue cross and a green circle", questions: ["Is there any text in the image?", "What color is the word?", "What shape is green?"] },
  { file: "outlines.png", alt: "A green square, and the outlines of a star, a triangle and a cross", questions: ["What shape is blue?", "How many shapes are there?", "Is there a heart in the image?"] },
  { file: "things.png", alt: "Drawn with a pen: a red fish and a yellow snowman", questions: ["What do you see?", "What color is the fish?", "Where is the snowman?"] },
];

/** Time after which the request of a picture is abandoned and repeated once, ms. */
const FETCH_TIMEOUT = 10_000;

/** Suggested for the person's own pictures. */
const GENERAL_QUESTIONS = ["How many shapes are there?", "What color is the circle?", "What do you see?"];

/**
 * Fetches an example, in two attempts at most: browsers have let a request wait for a minute and then fail.
 * @param {string} address @returns {Promise<Blob>}
 */
async function fetchPicture(address) {
  /** @type {unknown} */
  let why;
  for (const cache of /** @type {const} */ (["default", "reload"])) {
    const limit = timeLimit(FETCH_TIMEOUT);
    try {
      const response = await fetch(address, { cache, signal: limit.signal });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      return await response.blob();
    } catch (thrown) {
      why = thrown;
    } finally {
      limit.clear();
    }
  }
  const { pathname } = new URL(address);
  throw new LlavaError({ kind: "picture", place: pathname, message: `could not be downloaded (${why instanceof Error ? why.message : why})`, hint: "Check the connection, then retry; or choose a picture of your own." });
}

export class Examples {
  #row = byId("examples", HTMLElement);

  /**
   * @param {(file: Blob, name: string, questions: string[]) => void} onPicture
   * @param {(thrown: unknown, retry: () => void) => void} onError
   */
  constructor(onPicture, onError) {
    const buttons = EXAMPLES.map(({ file, alt, questions }) => {
      const image = make("img");
      image.src = new URL(`../examples/${file}`, import.meta.url).href;
      image.alt = alt;
      image.width = image.height = 64;
      const button = make("button", { class: "example", "data-example": file }, image);
      button.type = "button";
      const show = async () => {
        try {
          onPicture(await fetchPicture(image.src), alt, questions);
        } catch (thrown) {
          onError(thrown, show);
        }
      };
      button.addEventListener("click", show);
      return button;
    });
    this.#row.replaceChildren(...buttons);
  }

  static get general() {
    return GENERAL_QUESTIONS;
  }
}
