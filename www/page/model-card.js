// The card shown before a large download: what the model needs, how fast it would run, and what would suit this machine
// better.

import { byId, make } from "./dom.js";
import { formatBytes, formatDuration, formatRate } from "./format.js";
import { PictureSizeChoice } from "./picture-size-choice.js";
import { VariantChoice } from "./variant-choice.js";
import { WeightsChoice } from "./weights-choice.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./types.js").Offer} Offer */

/** Tokens per second below which the card advises against the model. */
const TOO_SLOW = 0.5;
/** Shortest context that is offered, rows: a picture and a short conversation. */
const MIN_CONTEXT = 1024;
/** Bits per weight above which a smaller file of the same model is suggested. */
const MANY_BITS_PER_WEIGHT = 5.5;

export class ModelCard {
  #card = byId("offer", HTMLElement);
  #title = byId("offer-title", HTMLElement);
  #facts = byId("offer-facts", HTMLElement);
  #verdict = byId("offer-verdict", HTMLElement);
  #context = byId("offer-context", HTMLSelectElement);
  #keep = byId("offer-keep", HTMLInputElement);
  #load = byId("offer-load", HTMLButtonElement);
  /** The offer that the fields were filled for; from then on the person edits them. @type {Offer | null} */
  #filled = null;
  #weights = new WeightsChoice((quant) => this.session.loading.planAgain({ quant }));

  /** @param {Session} session @param {() => void} onCancel
   * @param {(model: import("../shared/protocol.js").ModelRef) => void} onModel */
  constructor(session, onCancel, onModel) {
    this.session = session;
    this.variants = new VariantChoice(onModel);
    new PictureSizeChoice("offer-picture", session, () => session.loading.offer !== null);
    session.activity.addEventListener("change", () => this.#render());
    this.#context.addEventListener("change", () => this.#render());
    byId("offer-cancel", HTMLButtonElement).addEventListener("click", onCancel);
    this.#load.addEventListener("click", () => {
      const context = this.#context.value ? Number(this.#context.value) : null;
      session.loading.accept({ keep: this.#keep.checked && !this.#keep.disabled, context });
    });
  }

  #render() {
    const { offer, plan, storage, report, model, weights } = this.session.loading;
    this.#card.hidden = !offer || !plan;
    if (!offer || !plan) {
      this.#filled = offer ? this.#filled : null;
      return;
    }
    const local = "files" in model;
    const cannotKeep = storage?.kind === "none";
    if (this.#filled !== offer) {
      this.#filled = offer;
      this.#keep.checked = !local;
      this.#fillContext(plan);
      // On a narrow screen the card may lie below the visible part.
      this.#card.scrollIntoView({ block: "nearest" });
    }
    this.#keep.disabled = cannotKeep;
    const missing = plan.total_bytes - (storage?.bytes ?? 0);
    this.#title.textContent = plan.name;
    this.#load.textContent = local || missing <= 0 ? "Load it" : storage?.bytes ? "Download the rest and load" : "Download and load";
    const memory = this.#memory(plan, plan.memory?.total ?? 0);
    const where = report?.backend === "cpu" ? "memory" : "graphics memory";
    const toFetch = missing > 0 ? `${formatBytes(missing)} to ${local ? "read" : "download"}` : "nothing to download";
    this.variants.render(model);
    this.#weights.render(plan, weights, toFetch, (bytes) => `${formatBytes(this.#memory(plan, bytes))} of ${where}`);
    /** @type {[string, string | false | null | undefined][]} */
    const rows = [
      [local ? "To read" : "To download", storage?.bytes ? `${formatBytes(missing)}; ${formatBytes(storage.bytes)} is already saved` : formatBytes(missing)],
      ...(plan.file_bytes ?? []).map(({ file, bytes }) => /** @type {[string, string]} */ ([file, formatBytes(bytes)])),
      ["Needs", memory ? `${formatBytes(memory)} of ${where}` : `about as much ${where} while it runs`],
      ["For other conversations", plan.memory && `up to ${formatBytes(plan.memory.conversations)} more, where there is room`],
      ["Runs on", report && (report.adapter || report.backend)],
      ["Space to save it", cannotKeep ? "none: this browser gives the page no storage" : offer.room !== null && formatBytes(offer.room)],
      ["Speed on this machine", this.#speedText(offer.probe, offer.probing)],
      ["Notes", [...(plan.notes ?? []), ...(("addresses" in model && model.traps) || [])].join("; ")],
    ];
    const known = rows.filter(([, value]) => value);
    this.#facts.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: String(value) })]));
    const sentences = this.#advice(plan, offer.probe, offer.room, missing, local).join(" ");
    if (this.#verdict.textContent !== sentences) this.#verdict.textContent = sentences;
    this.#verdict.dataset.fits = String(offer.probe?.fits ?? "");
  }

  /** @param {Plan} plan */
  #fillContext({ context, longest_context: longest }) {
    const choices = new Set(context ? [context] : []);
    for (let rows = MIN_CONTEXT; context && longest && rows <= longest; rows *= 2) choices.add(rows);
    const options = [...choices].sort((a, b) => a - b).map((rows) => {
      const option = make("option", { text: `${rows.toLocaleString("en")} tokens${rows === context ? " (proposed)" : ""}` });
      option.value = String(rows);
      option.selected = rows === context;
      return option;
    });
    this.#context.replaceChildren(...options);
    byId("offer-context-label", HTMLElement).hidden = options.length < 2;
  }

  /** Returns the bytes for the chosen context, given `total` for the proposed one.
   * @param {Plan} plan @param {number} total */
  #memory({ memory, context }, total) {
    if (!memory) return 0;
    return total + ((Number(this.#context.value) || context || 0) - (context ?? 0)) * memory.cache_per_token;
  }

  /** @param {Probe | null} probe @param {boolean} probing */
  #speedText(probe, probing) {
    if (probing) return "measuring…";
    if (!probe?.decode_tokens_per_second) return "";
    // A model of several sizes of pictures states the time of each beside its choice.
    const { plan, pictureSizes } = this.session.loading;
    const { tiles, rows } = plan?.picture ?? { tiles: 0, rows: 0 };
    const seconds = rows / probe.prefill_rows_per_second + tiles * (probe.tile_seconds ?? 0);
    const picture = probe.prefill_rows_per_second && tiles && !pictureSizes.length ? `, a picture encoded in ${formatDuration(seconds * 1000)}` : "";
    return `about ${formatRate(probe.decode_tokens_per_second)} tokens/s${picture}`;
  }

  /** @param {Plan} plan @param {Probe | null} probe @param {number | null} room @param {number} missing
   * @param {boolean} local */
  #advice({ memory, context, parameters, total_bytes, quant, choices }, probe, room, missing, local) {
    const sentences = [];
    if (probe?.message) sentences.push(probe.message);
    if (probe && !probe.fits) {
      const cache = memory && context ? memory.cache_per_token * context : 0;
      if (memory && cache > memory.total / 4) sentences.push("A shorter context needs less.");
      const bits = parameters ? (total_bytes * 8) / parameters : 0;
      if (choices?.length && quant !== "q4") sentences.push("A smaller type for its weights needs less.");
      else if (parameters && bits > MANY_BITS_PER_WEIGHT) sentences.push(`This file has ${bits.toFixed(1)} bits per weight; one with 4 (Q4_0, Q4_K_M) has about ${formatBytes(parameters * 0.57)}.`);
      else sentences.push("A model with fewer parameters may fit.");
    }
    if (probe?.fits && probe.decode_tokens_per_second < TOO_SLOW) sentences.push("That is too slow for a conversation: the page has no GPU on this machine, or a small one.");
    if (this.#keep.checked && !local && room !== null && room < missing) sentences.push(`There is space to save only ${formatBytes(room)}: the rest would be downloaded again on the next visit.`);
    return sentences;
  }
}
