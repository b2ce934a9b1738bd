// Draws a picture with the attention of a word over it, and says in words where that is strongest.

import { attentionRaster } from "../llava/index.js";

/** @typedef {import("../llava/attention-raster.js").AttentionRaster} AttentionRaster */

/** Width of the map and of the drawing, px. */
const MAP_WIDTH = 224;
const SHOWN_WIDTH = 672;
/** From nothing to most: dark violet, red, orange, pale yellow. They differ in lightness, too. */
const COLOURS = [[40, 11, 84], [159, 42, 99], [245, 125, 21], [252, 255, 164]];

/** @param {number} value 0 to 1 */
function colour(value) {
  const at = value * (COLOURS.length - 1);
  const i = Math.min(Math.floor(at), COLOURS.length - 2);
  const [low = [], high = []] = COLOURS.slice(i, i + 2);
  return low.map((from, channel) => from + ((high[channel] ?? 0) - from) * (at - i));
}

/** Draws the picture, and over it the map, scaled to its largest value.
 * @param {HTMLCanvasElement} canvas @param {CanvasImageSource} image @param {AttentionRaster} map */
export function drawHeat(canvas, image, { width, height, values }) {
  canvas.width = SHOWN_WIDTH;
  canvas.height = Math.max(1, Math.round((SHOWN_WIDTH * height) / width));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const pixels = new ImageData(width, height);
  const most = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  values.forEach((value, i) => {
    const share = value / most;
    pixels.data.set([...colour(share), 255 * (0.35 + 0.45 * share)], 4 * i);
  });
  const small = document.createElement("canvas");
  Object.assign(small, { width, height });
  small.getContext("2d")?.putImageData(pixels, 0, 0);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** @param {import("../llava/chat/types.js").AnswerAttention} attention @param {number[]} tokens @param {number} picture
 * @param {number | null} layer */
export const heatMap = (attention, tokens, picture, layer) => attentionRaster(attention, { tokens, picture, layer, width: MAP_WIDTH });

/** Says where a map is strongest, by thirds of the picture. @param {AttentionRaster} map */
export function strongestPlace({ width, height, values }) {
  const sums = new Float64Array(9);
  values.forEach((value, i) => {
    const third = Math.min(2, Math.floor((3 * Math.floor(i / width)) / height)) * 3 + Math.min(2, Math.floor((3 * (i % width)) / width));
    sums[third] = (sums[third] ?? 0) + value;
  });
  const best = sums.indexOf(Math.max(...sums));
  const [row, column] = [["top", "", "bottom"][Math.floor(best / 3)] ?? "", ["left", "", "right"][best % 3] ?? ""];
  return [row, column].filter(Boolean).join(" ") || "middle";
}
