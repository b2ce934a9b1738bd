// The choice, for a model that cuts pictures into tiles, of the longest side that a picture is scaled to, with the time
// that a picture then takes: on the model card, and in the settings.

import { byId, make } from "./dom.js";
import { formatDuration } from "./format.js";
import { changeSize } from "./picture-size.js";

/** @typedef {import("./session.js").Session} Session */

/** Returns the words for a size and its cost. @param {Session["loading"]["pictureSizes"][number]} size */
function describe({ longest_edge: edge, tiles, seconds }) {
  if (seconds !== null) return `${edge} pixels: about ${formatDuration(seconds * 1000)} a picture`;
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
    const { plan, pictureSizes: sizes, pictureSizeWhy: reason } = this.session.loading;
    this.box.hidden = !sizes.length || !this.isUsable();
    if (!plan || this.box.hidden) return;
    const { longest_edge } = plan;
    const texts = sizes.map(describe);
    // Replacing the options would close an open list.
    if (texts.join() !== Array.from(this.select.options, ({ text }) => text).join()) {
      this.select.replaceChildren(...texts.map((text, i) => Object.assign(make("option", { text }), { value: String(sizes[i]?.longest_edge) })));
    }
    this.select.value = String(longest_edge);
    this.note.textContent = [reason && `${longest_edge} pixels: ${reason}.`, "In a larger size the model sees smaller details."].filter(Boolean).join(" ");
  }
}
