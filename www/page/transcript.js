// The list of questions and answers. The model's text enters the page as text nodes only.

import { byId, make } from "./dom.js";
import { formatDuration, formatRate } from "./format.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Turn} Turn */

/** Distance from the end of the list up to which it scrolls along, px. */
const END_MARGIN = 60;

export class Transcript {
  #list = byId("transcript", HTMLElement);
  #intro = byId("intro", HTMLElement);
  /** Whether the list is scrolled to its end, and so follows new text. */
  #atEnd = true;
  /** @type {Map<Turn | Note, { item: HTMLElement, answer?: HTMLElement, text?: HTMLElement, facts?: HTMLElement }>} */
  #items = new Map();

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#render());
    session.activity.addEventListener("progress", () => this.#render());
    this.#list.addEventListener("scroll", () => {
      this.#atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < END_MARGIN;
    });
    // The list shrinks when an error appears below it: its end stays visible.
    new ResizeObserver(() => this.#scrollToEnd()).observe(this.#list);
  }

  #render() {
    const { entries } = this.session.conversation;
    for (const [entry, { item }] of this.#items) {
      if (entries.includes(entry)) continue;
      item.remove();
      this.#items.delete(entry);
    }
    for (const entry of entries) {
      if ("question" in entry) this.#turn(entry);
      else this.#note(entry);
    }
    this.#intro.hidden = entries.length > 0;
    this.#scrollToEnd();
  }

  #scrollToEnd() {
    if (this.#atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {Note} note */
  #note(note) {
    if (this.#items.has(note)) return;
    const item = make("li", { class: "note", text: note.note });
    this.#items.set(note, { item });
    this.#list.append(item);
  }

  /** @param {Turn} turn */
  #turn(turn) {
    const shown = this.#items.get(turn) ?? this.#build(turn);
    const { answer, text, facts } = shown;
    if (!answer || !text || !facts) return;
    // Screen readers announce the answer when it is complete.
    answer.setAttribute("aria-busy", String(turn.state === "streaming"));
    answer.dataset.state = turn.state;
    if (text.textContent !== turn.answer) text.textContent = turn.answer;
    facts.textContent = this.#facts(turn);
  }

  /** @param {Turn} turn */
  #build(turn) {
    const text = make("span", { class: "words" });
    const answer = make("div", { class: "answer", "data-testid": "answer", "aria-live": "polite" }, text);
    const facts = make("p", { class: "facts" });
    const question = make("p", { class: "asked" }, make("span", { class: "visually-hidden", text: "You asked: " }), turn.question);
    const item = make("li", { class: "turn" }, question, answer, facts);
    this.#list.append(item);
    // On narrow screens the whole page scrolls: a new turn must not begin below the visible part.
    item.scrollIntoView({ block: "nearest" });
    const shown = { item, answer, text, facts };
    this.#items.set(turn, shown);
    return shown;
  }

  /** @param {Turn} turn */
  #facts({ state, result }) {
    if (!result) return state === "error" ? "No answer." : state === "stopped" ? "Stopped." : "";
    const { answer, timing } = result;
    const facts = [
      `${answer.ids.length} ${answer.ids.length === 1 ? "token" : "tokens"}`,
      timing.tokens_per_second ? `${formatRate(timing.tokens_per_second)} tokens/s` : "",
      `first after ${formatDuration(timing.first_token_ms)}`,
      answer.reused_rows ? `${answer.reused_rows} of ${answer.prompt_ids.length} prompt tokens already computed` : "",
      { cancelled: "stopped by you", length: "cut at the longest answer in the settings", context: "the context is full", eos: "" }[answer.stop],
    ];
    return facts.filter(Boolean).join(" · ");
  }
}
