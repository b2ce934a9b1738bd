// The conversation. The model's words enter the page as text nodes only.

import { byId, inRate, inTime, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Turn} Turn */

/** Closer to the end than this counts as reading along, px. */
const AT_END = 60;

export class Transcript {
  #list = byId("transcript", HTMLElement);
  #intro = byId("intro", HTMLElement);
  /** The reader is at the end and wants to stay there. */
  #follows = true;
  /** @type {Map<Turn | Note, { item: HTMLElement, answer?: HTMLElement, words?: HTMLElement, facts?: HTMLElement }>} */
  #items = new Map();

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.addEventListener("change", () => this.#render());
    session.addEventListener("progress", () => this.#render());
    this.#list.addEventListener("scroll", () => {
      this.#follows = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < AT_END;
    });
    // An error below takes room from the list: the end stays in sight.
    new ResizeObserver(() => this.#follow()).observe(this.#list);
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
    this.#follow();
  }

  #follow() {
    if (this.#follows) this.#list.scrollTop = this.#list.scrollHeight;
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
    const { answer, words, facts } = shown;
    if (!answer || !words || !facts) return;
    // Screen readers speak the answer once it is whole.
    answer.setAttribute("aria-busy", String(turn.state === "streaming"));
    answer.dataset.state = turn.state;
    if (words.textContent !== turn.answer) words.textContent = turn.answer;
    facts.textContent = this.#facts(turn);
  }

  /** @param {Turn} turn */
  #build(turn) {
    const words = make("span", { class: "words" });
    const answer = make("div", { class: "answer", "data-testid": "answer", "aria-live": "polite" }, words);
    const facts = make("p", { class: "facts" });
    const question = make("p", { class: "asked" }, make("span", { class: "visually-hidden", text: "You asked: " }), turn.question);
    const item = make("li", { class: "turn" }, question, answer, facts);
    this.#list.append(item);
    // Where the whole page scrolls, on narrow screens, a new turn must not begin below the fold.
    item.scrollIntoView({ block: "nearest" });
    const shown = { item, answer, words, facts };
    this.#items.set(turn, shown);
    return shown;
  }

  /** @param {Turn} turn */
  #facts({ state, result }) {
    if (!result) return state === "error" ? "No answer." : state === "stopped" ? "Stopped." : "";
    const { answer, timing } = result;
    const facts = [
      `${answer.ids.length} ${answer.ids.length === 1 ? "token" : "tokens"}`,
      timing.tokens_per_second ? `${inRate(timing.tokens_per_second)} tokens/s` : "",
      `first after ${inTime(timing.first_token_ms)}`,
      answer.reused_rows ? `${answer.reused_rows} of ${answer.prompt_ids.length} prompt rows already read` : "",
      { cancelled: "stopped by you", length: "cut at the longest answer set", context: "the context is full", eos: "" }[answer.stop],
    ];
    return facts.filter(Boolean).join(" · ");
  }
}
