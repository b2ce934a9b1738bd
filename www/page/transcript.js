// The list of questions, with their pictures, and answers. The model's text enters the page as text nodes only.

import { copyButton } from "./copy-button.js";
import { byId, make } from "./dom.js";
import { formatDuration, formatRate } from "./format.js";
import { MarkdownView } from "./markdown-view.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Turn} Turn */
/** @typedef {{ item: HTMLElement, answer: HTMLElement, view: MarkdownView, facts: HTMLElement, copy: HTMLButtonElement,
 *   pictures: HTMLElement }} ShownTurn */

/** Distance from the end of the list up to which it scrolls along, px. */
const END_MARGIN = 60;

export class Transcript {
  #list = byId("transcript", HTMLElement);
  #intro = byId("intro", HTMLElement);
  /** Whether the list is scrolled to its end, and so follows new text. */
  #atEnd = true;
  /** @type {Map<Turn | Note, HTMLElement>} */
  #items = new Map();
  /** @type {Map<Turn, ShownTurn>} */
  #turns = new Map();

  /** @param {Session} session @param {(turn: Turn, from: HTMLElement) => void} onEdit `from` is the button */
  constructor(session, onEdit) {
    this.session = session;
    this.onEdit = onEdit;
    session.activity.addEventListener("change", () => this.#render());
    session.activity.addEventListener("progress", () => this.#renderLast());
    this.#list.addEventListener("scroll", () => {
      this.#atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < END_MARGIN;
    });
    // The list shrinks when an error appears below it: its end stays visible.
    new ResizeObserver(() => this.#scrollToEnd()).observe(this.#list);
  }

  /** The element with the words of a turn's answer. @param {Turn} turn */
  answerOf(turn) {
    return this.#turns.get(turn)?.view.element ?? null;
  }

  #render() {
    const { entries } = this.session.conversation;
    const wanted = new Set(entries);
    for (const [entry, item] of this.#items) {
      if (wanted.has(entry)) continue;
      item.remove();
      this.#items.delete(entry);
      if ("question" in entry) this.#turns.delete(entry);
    }
    for (const [i, entry] of entries.entries()) {
      const item = this.#items.get(entry) ?? this.#build(entry);
      if (this.#list.children[i] !== item) this.#place(item, i);
      if ("question" in entry) this.#renderTurn(entry);
    }
    this.#intro.hidden = entries.length > 0;
    this.#scrollToEnd();
  }

  #renderLast() {
    const { last } = this.session.conversation;
    if (last && this.#turns.has(last)) this.#renderTurn(last);
    this.#scrollToEnd();
  }

  #scrollToEnd() {
    if (this.#atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {HTMLElement} item @param {number} i */
  #place(item, i) {
    this.#list.insertBefore(item, this.#list.children[i] ?? null);
    // On narrow screens the whole page scrolls: a new turn must not begin below the visible part.
    item.scrollIntoView({ block: "nearest" });
  }

  /** @param {Turn | Note} entry @returns {HTMLElement} */
  #build(entry) {
    const item = "question" in entry ? this.#buildTurn(entry) : make("li", { class: "note", text: entry.note });
    this.#items.set(entry, item);
    return item;
  }

  /** @param {Turn} turn */
  #buildTurn(turn) {
    const words = make("div", { class: "words" });
    const answer = make("div", { class: "answer", "data-testid": "answer", "aria-live": "polite" }, words);
    const facts = make("span", {});
    const copy = copyButton("Copy the answer", () => turn.answer);
    const edit = make("button", { class: "edit quiet small", text: "Edit", "aria-label": `Edit the question: ${turn.question}` });
    edit.type = "button";
    edit.addEventListener("click", () => this.onEdit(turn, edit));
    const pictures = make("div", { class: "asked-pictures" });
    const asked = make("p", { class: "asked" }, make("span", { class: "visually-hidden", text: "You asked: " }), turn.question);
    const item = make("li", { class: "turn" }, pictures, make("div", { class: "asked-row" }, asked, edit), answer, make("p", { class: "facts" }, facts, copy));
    this.#turns.set(turn, { item, answer, view: new MarkdownView(words), facts, copy, pictures });
    return item;
  }

  /** @param {Turn} turn */
  #renderTurn(turn) {
    const shown = /** @type {ShownTurn} */ (this.#turns.get(turn));
    // Screen readers announce the answer when it is complete.
    shown.answer.setAttribute("aria-busy", String(turn.state === "streaming"));
    shown.answer.dataset.state = turn.state;
    shown.view.show(turn.answer);
    if (turn.answer && turn.state === "streaming" && !performance.getEntriesByName("first word").length) performance.mark("first word");
    shown.facts.textContent = this.#facts(turn);
    shown.copy.hidden = !navigator.clipboard || !turn.result;
    this.#renderPictures(turn, shown.pictures);
  }

  /** Shows the pictures of a question. The browser's drawing may have replaced one.
   * @param {Turn} turn @param {HTMLElement} row */
  #renderPictures({ pictures }, row) {
    const addresses = pictures.map(({ url }) => url);
    if ([...row.querySelectorAll("img")].map(({ src }) => src).join() === addresses.join()) return;
    const images = pictures.map(({ url, name }) => Object.assign(make("img"), { src: url, alt: `Picture: ${name}`, title: name }));
    row.replaceChildren(...images);
  }

  /** @param {Turn} turn */
  #facts({ state, result }) {
    if (!result) return state === "error" ? "No answer." : state === "stopped" ? "Stopped." : "";
    const { usage, timings, stop_reason } = result;
    const { completion_tokens: tokens, prompt_tokens, prompt_tokens_details: { cached_tokens } } = usage;
    const facts = [
      `${tokens} ${tokens === 1 ? "token" : "tokens"}`,
      timings.tokens_per_second ? `${formatRate(timings.tokens_per_second)} tokens/s` : "",
      `first after ${formatDuration(timings.first_token_ms)}`,
      cached_tokens ? `${cached_tokens} of ${prompt_tokens} prompt tokens already computed` : "",
      { cancelled: "stopped by you", length: "cut at the longest answer in the settings", context: "the context is full", eos: "", stop: "" }[stop_reason],
    ];
    return facts.filter(Boolean).join(" · ");
  }
}
