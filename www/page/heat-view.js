// The view "Where it looks": words of answers that can be chosen, and the picture with the attention of the chosen one.

import { tokensOf, unwrapWords, wrapWords } from "./answer-words.js";
import { byId, make } from "./dom.js";
import { drawHeat, heatMap, strongestPlace } from "./heat-picture.js";

/** @typedef {import("./answer-words.js").Word} Word */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./transcript.js").Transcript} Transcript */
/** @typedef {import("./types.js").Turn} Turn */

/** Keys that walk the words, and by how many. */
const STEPS = new Map([["ArrowRight", 1], ["ArrowDown", 1], ["ArrowLeft", -1], ["ArrowUp", -1], ["Home", -Infinity], ["End", Infinity]]);

export class HeatView {
  #on = byId("heat-on", HTMLInputElement);
  #panel = byId("heat-panel", HTMLElement);
  #note = byId("heat-note", HTMLElement);
  #canvas = byId("heat-canvas", HTMLCanvasElement);
  #layer = byId("heat-layer", HTMLInputElement);
  #layerName = byId("heat-layer-name", HTMLOutputElement);
  #picture = byId("heat-picture", HTMLSelectElement);
  #again = byId("heat-again", HTMLButtonElement);
  #save = byId("heat-save", HTMLButtonElement);
  /** Words of the turns that show them. @type {Map<Turn, Word[]>} */
  #words = new Map();
  /** @type {{ turn: Turn, word: Word } | null} */
  #chosen = null;

  /** @param {Session} session @param {Transcript} transcript */
  constructor(session, transcript) {
    this.session = session;
    this.transcript = transcript;
    session.activity.addEventListener("change", () => this.#render());
    this.#on.addEventListener("change", () => this.#switch());
    for (const control of [this.#layer, this.#picture]) control.addEventListener("input", () => this.#draw());
    this.#again.addEventListener("click", () => this.#chosen && this.session.looking.again(this.#chosen.turn).then(() => this.#draw()));
    this.#save.addEventListener("click", () => this.#export());
  }

  #switch() {
    this.session.looking.on = this.#on.checked;
    this.#chosen = null;
    this.#render();
    this.#draw();
  }

  #render() {
    const on = this.#on.checked;
    const turns = on ? this.session.conversation.answered.filter(({ state }) => state !== "streaming") : [];
    for (const turn of this.#words.keys()) if (!turns.includes(turn)) this.#release(turn);
    for (const turn of turns) if (!this.#words.has(turn)) this.#offer(turn);
    this.#panel.hidden = !on;
    this.#again.disabled = this.session.activity.phase !== "ready";
    if (!this.#chosen) this.#draw();
  }

  /** Lets the words of an answer be chosen. @param {Turn} turn */
  #offer(turn) {
    const shown = this.transcript.answerOf(turn);
    if (!shown) return;
    const words = wrapWords(shown, turn.answer);
    this.#words.set(turn, words);
    shown.setAttribute("role", "group");
    shown.setAttribute("aria-label", "Words of the answer. Choose one to see where the model looked; arrow keys walk.");
    for (const word of words) {
      word.element.addEventListener("click", () => this.#choose(turn, word));
      word.element.addEventListener("focus", () => this.#choose(turn, word));
      word.element.addEventListener("keydown", (event) => this.#walk(event, words, word));
    }
  }

  /** @param {Turn} turn */
  #release(turn) {
    const shown = this.transcript.answerOf(turn);
    if (shown) {
      unwrapWords(shown);
      shown.removeAttribute("role");
      shown.removeAttribute("aria-label");
    }
    this.#words.delete(turn);
    if (this.#chosen?.turn === turn) this.#chosen = null;
  }

  /** @param {KeyboardEvent} event @param {Word[]} words @param {Word} word */
  #walk(event, words, word) {
    const step = STEPS.get(event.key);
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    words[Math.max(0, Math.min(words.length - 1, words.indexOf(word) + step))]?.element.focus();
  }

  /** @param {Turn} turn @param {Word} word */
  #choose(turn, word) {
    if (this.#chosen?.word === word) return;
    for (const other of this.#words.get(turn) ?? []) other.element.tabIndex = other === word ? 0 : -1;
    this.#chosen?.word.element.setAttribute("aria-pressed", "false");
    word.element.setAttribute("aria-pressed", "true");
    const changed = this.#chosen?.turn !== turn;
    this.#chosen = { turn, word };
    if (changed) this.#picture.value = "";
    this.#draw();
  }

  /** Shows the attention of the chosen word, or says why there is none. */
  async #draw() {
    const { session } = this;
    const chosen = this.#chosen;
    const looks = chosen && session.looking.of(chosen.turn);
    const tokens = chosen && looks ? tokensOf(looks.attention, chosen.word) : [];
    const shown = Boolean(looks?.pictures.length && tokens.length);
    this.#canvas.hidden = this.#save.disabled = !shown;
    this.#again.hidden = !chosen || Boolean(looks);
    if (!chosen) this.#note.textContent = session.conversation.answered.length ? "Choose a word of an answer." : "Ask a question, then choose a word of the answer.";
    else if (!looks) this.#note.textContent = "This answer was made without this view. The model can read it again, which takes about as long as the answer did.";
    else if (!looks.pictures.length) this.#note.textContent = "There was no picture to look at.";
    else if (!tokens.length) this.#note.textContent = `Nothing is known of “${chosen.word.text}”.`;
    if (!shown || !looks || !chosen) return;
    this.#fillControls(looks);
    const at = Number(this.#picture.value);
    const layer = Number(this.#layer.value) - 1;
    const map = heatMap(looks.attention, tokens, at, layer < 0 ? null : layer);
    const image = new Image();
    image.src = looks.pictures[at]?.url ?? "";
    const place = `${strongestPlace(map)}`;
    this.#note.textContent = `“${chosen.word.text}”: ${(100 * map.share).toFixed(0)} % of the attention went to this picture, most of it ${place === "middle" ? "to its middle" : `to its ${place}`}.`;
    this.#canvas.setAttribute("aria-label", `Where the model looked for “${chosen.word.text}”, strongest: ${place}`);
    await image.decode().catch(() => {});
    if (this.#chosen === chosen && image.naturalWidth) drawHeat(this.#canvas, image, map);
  }

  /** @param {import("./looking.js").Looks} looks */
  #fillControls({ attention, pictures }) {
    this.#layer.max = String(attention.layers);
    const layer = Number(this.#layer.value);
    this.#layerName.value = layer ? `layer ${layer} of ${attention.layers}` : "all layers";
    this.#layer.setAttribute("aria-valuetext", this.#layerName.value);
    const wanted = this.#picture.value;
    this.#picture.replaceChildren(...pictures.map(({ name }, i) => Object.assign(make("option", { text: `${i + 1}. ${name}` }), { value: String(i) })));
    this.#picture.value = pictures[Number(wanted)] && wanted !== "" ? wanted : String(pictures.length - 1);
    byId("heat-picture-label", HTMLElement).hidden = pictures.length < 2;
  }

  /** Saves the drawing as a file. */
  #export() {
    const word = (this.#chosen?.word.text ?? "word").replace(/[^\p{L}\p{N}]+/gu, "-");
    this.#canvas.toBlob((blob) => {
      if (!blob) return;
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `looks-at-${word}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }, "image/png");
  }
}
