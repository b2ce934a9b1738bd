// Before a large download: what it is, what it needs, how it would run here, and what would do better.

import { byId, inBytes, inRate, inTime, make } from "./dom.js";
import { WeightsChoice } from "./weights-choice.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./types.js").Offer} Offer */

/** Fewer tokens per second than this, and a word takes longer than anybody waits. */
const SLOW = 0.5;
/** Rows of one picture in LLaVA-1.5: 24 × 24 patches. */
const PICTURE_ROWS = 576;
/** The shortest conversation worth having about one picture, rows. */
const SHORTEST = 1024;
/** Above this many bits for each weight a smaller file of the same model is worth looking for. */
const MANY_BITS = 5.5;

export class ModelCard {
  #card = byId("offer", HTMLElement);
  #title = byId("offer-title", HTMLElement);
  #facts = byId("offer-facts", HTMLElement);
  #verdict = byId("offer-verdict", HTMLElement);
  #context = byId("offer-context", HTMLSelectElement);
  #keep = byId("offer-keep", HTMLInputElement);
  #load = byId("offer-load", HTMLButtonElement);
  /** What the fields were filled for: they are the person's from then on. @type {Offer | null} */
  #filled = null;
  #weights = new WeightsChoice((quant) => this.session.hold(quant));

  /** @param {Session} session @param {() => void} onCancel */
  constructor(session, onCancel) {
    this.session = session;
    session.addEventListener("change", () => this.#render());
    this.#context.addEventListener("change", () => this.#render());
    byId("offer-cancel", HTMLButtonElement).addEventListener("click", onCancel);
    this.#load.addEventListener("click", () => {
      const context = this.#context.value ? Number(this.#context.value) : null;
      session.accept({ keep: this.#keep.checked && !this.#keep.disabled, context });
    });
  }

  #render() {
    const { offer, plan, storage, report, model, weights } = this.session;
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
      // On a narrow screen it may lie below the fold.
      this.#card.scrollIntoView({ block: "nearest" });
    }
    this.#keep.disabled = cannotKeep;
    const missing = plan.total_bytes - (storage?.bytes ?? 0);
    this.#title.textContent = plan.name;
    this.#load.textContent = local || missing <= 0 ? "Load it" : storage?.bytes ? "Download the rest and load" : "Download and load";
    const memory = this.#memory(plan, plan.memory?.total ?? 0);
    const where = report?.backend === "cpu" ? "memory" : "graphics memory";
    const toFetch = missing > 0 ? `${inBytes(missing)} to ${local ? "read" : "download"}` : "nothing to download";
    this.#weights.render(plan, weights, toFetch, (bytes) => `${inBytes(this.#memory(plan, bytes))} of ${where}`);
    /** @type {[string, string | false | null | undefined][]} */
    const rows = [
      [local ? "To read" : "To download", storage?.bytes ? `${inBytes(missing)}; ${inBytes(storage.bytes)} is here already` : inBytes(missing)],
      ...(plan.file_bytes ?? []).map(({ file, bytes }) => /** @type {[string, string]} */ ([file, inBytes(bytes)])),
      ["Needs", memory ? `${inBytes(memory)} of ${where}` : `about as much ${where} while it runs`],
      ["Runs on", report && (report.adapter || report.backend)],
      ["Room to keep it", cannotKeep ? "none: this browser offers no storage here" : offer.room !== null && inBytes(offer.room)],
      ["Speed here", this.#speed(offer.probe, offer.probing)],
      ["Noted", plan.notes?.join("; ")],
    ];
    const known = rows.filter(([, value]) => value);
    this.#facts.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: String(value) })]));
    const words = this.#advice(plan, offer.probe, offer.room, missing, local).join(" ");
    if (this.#verdict.textContent !== words) this.#verdict.textContent = words;
    this.#verdict.dataset.fits = String(offer.probe?.fits ?? "");
  }

  /** @param {Plan} plan */
  #fillContext({ context, longest_context: longest }) {
    const choices = new Set(context ? [context] : []);
    for (let rows = SHORTEST; context && longest && rows <= longest; rows *= 2) choices.add(rows);
    const options = [...choices].sort((a, b) => a - b).map((rows) => {
      const option = make("option", { text: `${rows.toLocaleString("en")} rows${rows === context ? " (proposed)" : ""}` });
      option.value = String(rows);
      option.selected = rows === context;
      return option;
    });
    this.#context.replaceChildren(...options);
    byId("offer-context-label", HTMLElement).hidden = options.length < 2;
  }

  /** Bytes for the chosen context, of `total` for the proposed one. @param {Plan} plan @param {number} total */
  #memory({ memory, context }, total) {
    if (!memory) return 0;
    return total + ((Number(this.#context.value) || context || 0) - (context ?? 0)) * memory.cache_per_token;
  }

  /** @param {Probe | null} probe @param {boolean} probing */
  #speed(probe, probing) {
    if (probing) return "trying it out…";
    if (!probe?.decode_tokens_per_second) return "";
    const picture = probe.prefill_rows_per_second ? `, a picture read in ${inTime((PICTURE_ROWS / probe.prefill_rows_per_second) * 1000)}` : "";
    return `about ${inRate(probe.decode_tokens_per_second)} tokens/s${picture}`;
  }

  /** @param {Plan} plan @param {Probe | null} probe @param {number | null} room @param {number} missing @param {boolean} local */
  #advice({ memory, context, parameters, total_bytes, quant, choices }, probe, room, missing, local) {
    const words = [];
    if (probe?.message) words.push(probe.message);
    if (probe && !probe.fits) {
      const cache = memory && context ? memory.cache_per_token * context : 0;
      if (memory && cache > memory.total / 4) words.push("A shorter context needs less.");
      const bits = parameters ? (total_bytes * 8) / parameters : 0;
      if (choices?.length && quant !== "q4") words.push("A narrower type for its weights needs less.");
      else if (parameters && bits > MANY_BITS) words.push(`This file has ${bits.toFixed(1)} bits for each weight: one with 4 (Q4_0, Q4_K_M) is about ${inBytes(parameters * 0.57)}.`);
      else words.push("A model with fewer parameters may fit.");
    }
    if (probe?.fits && probe.decode_tokens_per_second < SLOW) words.push("That is too slow for a conversation: this machine offers the page no real GPU, or a small one.");
    if (this.#keep.checked && !local && room !== null && room < missing) words.push(`There is room to keep only ${inBytes(room)}: the rest would be downloaded again on the next visit.`);
    return words;
  }
}
