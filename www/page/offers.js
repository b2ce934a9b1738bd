// The models that the first screen offers beside the shipped one: those that know photographs and suit this machine.

import { LLaVA } from "../llava/index.js";
import { byId, make } from "./dom.js";
import { engineOptions } from "./engine-options.js";
import { formatBytes, formatRate } from "./format.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {Awaited<ReturnType<typeof LLaVA.suitable>>[number]} Suitable */

/** Idle time after loading before the speed is measured, ms: a person who asks at once is not disturbed. */
const IDLE = 1500;
/** Tokens per second below which a model is not loaded without a question. */
const TOO_SLOW = 1;

export class Offers {
  #box = byId("offers", HTMLElement);
  #list = byId("offers-list", HTMLElement);
  #note = byId("offers-note", HTMLElement);
  #intro = byId("intro", HTMLElement);
  /** What suits this machine, the smallest first. @type {Suitable[]} */
  suitable = [];
  #started = false;
  #timer = 0;
  /** Ends the measurement. */
  #stop = new AbortController();
  #measured = false;

  /** @param {Session} session @param {() => boolean} isShipped whether the shipped model is the current one
   * @param {(offer: Suitable) => void} onOffer */
  constructor(session, isShipped, onOffer) {
    this.session = session;
    this.isShipped = isShipped;
    this.onOffer = onOffer;
    session.activity.addEventListener("change", () => this.#render());
  }

  #render() {
    const { activity } = this.session;
    const first = this.isShipped() && !this.#intro.hidden && activity.phase !== "waiting";
    this.#box.hidden = !first || !this.suitable.length;
    if (!activity.loaded || !this.isShipped()) return this.#pause();
    if (!this.#started) {
      this.#started = true;
      this.#show();
    }
    if (activity.phase !== "ready" || this.#measured) this.#pause();
    else if (!this.#timer) this.#timer = setTimeout(() => this.#measure(), IDLE);
  }

  /** Ends a measurement that waits or runs: it would slow down what the person asked for, and be slowed down by it. */
  #pause() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#stop.abort();
  }

  async #measure() {
    if (!this.suitable.length) return;
    this.#stop = new AbortController();
    try {
      await this.#show({ measure: true, signal: this.#stop.signal });
      this.#measured = true;
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.#measured = true;
      console.info("The speed of this machine was not measured:", thrown);
    }
  }

  /** @param {{ measure?: boolean, signal?: AbortSignal }} [how] */
  async #show(how = {}) {
    const { backend } = this.session.settings();
    this.suitable = await LLaVA.suitable({ ...engineOptions, ...how, backend });
    const machine = await LLaVA.machine({ backend });
    this.#note.textContent = [
      machine.gpu ? "" : "This browser gives the page no GPU: these models run on the CPU.",
      "A model is saved in this browser after its download. Pictures and questions are not sent anywhere.",
    ].join(" ").trim();
    this.#list.replaceChildren(...this.suitable.map((offer) => this.#item(offer)));
    this.#render();
  }

  /** @param {Suitable} offer */
  #item(offer) {
    const { model, bytes, rate, variant } = offer;
    const size = formatBytes(bytes);
    const about = variant.files.every(({ exact }) => exact) ? "" : "about ";
    const speed = rate ? `about ${formatRate(rate < 10 ? rate : Math.round(rate))} tokens/s here` : "";
    const facts = [`${about}${size} to download`, speed, `licence: ${model.licence}`].filter(Boolean).join(" · ");
    const button = make("button", { text: `Get it (${size})`, "aria-label": `Get ${model.name}, ${size}`, "data-model": model.id });
    button.type = "button";
    button.addEventListener("click", () => this.onOffer(offer));
    return make("li", {}, make("div", {}, make("strong", { text: model.name }), make("p", { text: model.sentence }), make("p", { class: "hint", text: facts })), button);
  }
}

/** Loads an opened model without a further question, where the person has seen its bytes and there is no doubt that it
 * fits. @param {Session} session @param {Suitable} offer */
export async function acceptIfClear({ activity, loading }, { clear, bytes }) {
  const { offer, plan } = loading;
  if (!clear || activity.phase !== "waiting" || !plan || !offer?.probe?.fits || offer.probe.decode_tokens_per_second < TOO_SLOW) return;
  if (plan.total_bytes <= bytes) await loading.accept({ keep: true, context: null });
}
