// The choice, for a model that cuts pictures into tiles, of the longest side that a picture is scaled to, with the time
// that a picture then takes.

import { byId, make } from "./dom.js";
import { formatDuration } from "./format.js";

/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */

/** Returns the words for the time that a picture takes: its rows through the decoder, and its tiles through the tower where
 * that time is known. @param {{ tiles: number, rows: number }} size @param {Probe | null} probe */
function timeOf({ tiles, rows }, probe) {
  if (!probe?.prefill_rows_per_second) return "";
  const ms = (rows / probe.prefill_rows_per_second + tiles * (probe.tile_seconds ?? 0)) * 1000;
  return `: a picture takes ${probe.tile_seconds === undefined ? "at least" : "about"} ${formatDuration(ms)} here`;
}

export class PictureSizeChoice {
  #label = byId("offer-picture-label", HTMLElement);
  #select = byId("offer-picture", HTMLSelectElement);

  /** @param {(longest_edge: number) => void} onChoice */
  constructor(onChoice) {
    this.#select.addEventListener("change", () => onChoice(Number(this.#select.value)));
  }

  /** @param {Plan} plan @param {Probe | null} probe */
  render({ picture_sizes: sizes = [], longest_edge }, probe) {
    this.#label.hidden = sizes.length < 2;
    const options = sizes.map((size) => {
      const { longest_edge: edge, tiles } = size;
      const option = make("option", { text: `${edge} pixels, ${tiles} ${tiles === 1 ? "tile" : "tiles"}${timeOf(size, probe)}` });
      option.value = String(edge);
      option.selected = edge === longest_edge;
      return option;
    });
    const same = options.length === this.#select.length && options.every((option, i) => option.text === this.#select.options[i]?.text && option.selected === this.#select.options[i]?.selected);
    // Replacing the options would close an open list.
    if (!same) this.#select.replaceChildren(...options);
  }
}
