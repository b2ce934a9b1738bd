// The tables of a run: scores so far, and the last answers with their pictures.

import { make } from "../page/dom.js";

/** @typedef {import("./asking.js").Answered} Answered */
/** @typedef {ReturnType<import("./formats.js").BenchmarkRun["scores"]>} Scores */
/** @typedef {ReturnType<import("./formats.js").BenchmarkRun["mark"]>} Mark */

/** Number of answers that are shown. */
const SHOWN = 12;

/** Returns the row of a score. @param {Scores["scores"][number]} score */
const scoreRow = ({ name, value, questions }) =>
  make("tr", {}, Object.assign(make("th", { text: name }), { scope: "row" }), make("td", { text: value.toFixed(2) }), make("td", { text: String(questions) }));

/** Shows scores. @param {Scores} scores @param {{ rows: HTMLElement, details: HTMLElement, more: HTMLElement, notes: HTMLElement }} to */
export function showScores({ scores, notes }, to) {
  to.rows.replaceChildren(...scores.filter(({ detail }) => !detail).map(scoreRow));
  const details = scores.filter(({ detail }) => detail);
  to.details.replaceChildren(...details.map(scoreRow));
  to.more.hidden = details.length === 0;
  to.notes.replaceChildren(...notes.map((text) => make("li", { text })));
}

/** Returns the words of a mark. @param {Mark} mark */
export function wordsOf(mark) {
  if (!mark) return "not scored here";
  if (mark.score >= 1) return "right";
  return mark.score > 0 ? `${Math.round(100 * mark.score)} %` : "wrong";
}

/** The last answers, the newest first. */
export class LastAnswers {
  /** @param {HTMLElement} rows */
  constructor(rows) {
    this.rows = rows;
  }

  /** @param {Answered} answered @param {Mark} mark */
  add({ question, picture, text }, mark) {
    const image = Object.assign(make("img"), { alt: "" });
    if (picture) image.src = URL.createObjectURL(picture);
    else image.hidden = true;
    const state = !mark ? "unknown" : mark.score >= 1 ? "right" : mark.score > 0 ? "partly" : "wrong";
    this.rows.prepend(
      make(
        "tr",
        { "data-mark": state },
        make("td", {}, image),
        make("td", { text: String(question.id) }),
        make("td", { class: "asked", text: [...question.earlier, question.text].join("\n") }),
        make("td", { text }),
        make("td", { text: mark?.expected ?? "" }),
        make("td", { text: wordsOf(mark) }),
      ),
    );
    while (this.rows.children.length > SHOWN) this.#remove(/** @type {Element} */ (this.rows.lastElementChild));
  }

  clear() {
    for (const row of [...this.rows.children]) this.#remove(row);
  }

  /** @param {Element} row */
  #remove(row) {
    const image = row.querySelector("img");
    if (image?.src) URL.revokeObjectURL(image.src);
    row.remove();
  }
}
