// The choice, for a model that cuts pictures into tiles, of the longest side that a picture is scaled to, with the time
// that a picture then takes: on the model card, and in the settings.

import { byId, make } from "./dom.js";
import { formatDuration } from "./format.js";
import { changeSize, hasSizes, reasonFor, secondsOf } from "../llava/picture-size.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Pace} Pace */

/** Returns the words for a size and its cost.
 * @param {import("../shared/protocol.js").PictureSize} size @param {Pace | null} pace */
function describe(size, pace) {
  const { longest_edge: edge, tiles } = size;
  if (pace) return `${edge} pixels: about ${formatDuration(secondsOf(size, pace) * 1000)} a picture`;
  return `${edge} pixels, ${tiles} ${tiles === 1 ? "tile" : "tiles"}`;
}

export class PictureSizeChoice {
  /** @param {string} id of the box in index.html; its select and its note have longer ones
   * @param {Session} session @param {() => boolean} isUsable whether a size can be chosen here now */
  constructor(id, session, isUsable) {
    this.session = session;
    this.isUsable = isUsable;
    this.box = byId(id, HTMLElement);
    this.select = byId(`${id}-size`, HTMLSelectElement);
    this.note = byId(`${id}-note`, HTMLElement);
    this.select.addEventListener("change", () => changeSize(session, Number(this.select.value)));
    session.activity.addEventListener("change", () => this.#render());
  }

  #render() {
    const { plan, size } = this.session.loading;
    this.box.hidden = !hasSizes(plan) || !this.isUsable();
    if (!plan || this.box.hidden) return;
    const { picture_sizes: sizes = [], longest_edge } = plan;
    const texts = sizes.map((each) => describe(each, size.pace));
    // Replacing the options would close an open list.
    if (texts.join() !== Array.from(this.select.options, ({ text }) => text).join()) {
      this.select.replaceChildren(...texts.map((text, i) => Object.assign(make("option", { text }), { value: String(sizes[i]?.longest_edge) })));
    }
    this.select.value = String(longest_edge);
    const reason = reasonFor(plan, size);
    this.note.textContent = [reason && `${longest_edge} pixels: ${reason}.`, "In a larger size the model sees smaller details."].filter(Boolean).join(" ");
  }
}
