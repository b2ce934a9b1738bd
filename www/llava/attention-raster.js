// Attention as values per pixel: the weights of picture rows, spread over the rectangles that they stand for.

import { refusal } from "./chat/refuse.js";

/** @typedef {import("./chat/types.js").AnswerAttention} AnswerAttention */

/** A map over a picture: `values [height, width]` are shares of the picture's attention per pixel, which add to 1 where
 * nothing lies in a border; `share` is the picture's part of all attention, 0 to 1.
 * @typedef {{ width: number, height: number, values: Float32Array<ArrayBuffer>, share: number }} AttentionRaster */

/**
 * Spreads the attention of tokens over a picture.
 * @param {AnswerAttention} attention of an answer
 * @param {object} what
 * @param {readonly number[]} what.tokens  indices in `attention.tokens`; their mean is shown
 * @param {number} [what.picture]  index in `attention.pictures`; 0 by default
 * @param {number | null} [what.layer]  `null`, the default, takes the mean over all layers
 * @param {number} what.width  of the map; its height follows from the picture's
 * @returns {AttentionRaster}
 */
export function attentionRaster(attention, { tokens, picture = 0, layer = null, width }) {
  const shown = attention.pictures[picture];
  if (!shown) throw refusal("picture", `${picture} is not one of ${attention.pictures.length}`);
  if (layer !== null && !(Number.isInteger(layer) && layer >= 0 && layer < attention.layers)) throw refusal("layer", `${layer} is not one of ${attention.layers}`);
  const before = attention.pictures.slice(0, picture).reduce((sum, { regions }) => sum + regions.length, 0);
  const rows = attention.pictures.reduce((sum, { regions }) => sum + regions.length, 0);
  const layers = layer === null ? Array.from({ length: attention.layers }, (_, i) => i) : [layer];
  const height = Math.max(1, Math.round((width * shown.height) / shown.width));
  const values = new Float32Array(width * height);
  const weights = new Float32Array(shown.regions.length);
  for (const token of tokens) {
    const all = attention.tokens[token]?.weights;
    if (!all) throw refusal("tokens", `${token} has no attention`);
    for (const at of layers) for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] ?? 0) + (all[at * rows + before + i] ?? 0) / layers.length / tokens.length;
  }
  const share = weights.reduce((sum, weight) => sum + weight, 0);
  const [across, down] = [width / shown.width, height / shown.height];
  shown.regions.forEach((region, i) => {
    const area = region.width * across * region.height * down;
    const density = (weights[i] ?? 0) / (area * share || 1);
    fill(values, width, height, { left: region.x * across, top: region.y * down, right: (region.x + region.width) * across, bottom: (region.y + region.height) * down }, density);
  });
  return { width, height, values, share };
}

/** Adds a density to the pixels of a rectangle, in part where its edge crosses them.
 * @param {Float32Array} values @param {number} width @param {number} height
 * @param {{ left: number, top: number, right: number, bottom: number }} edges @param {number} density */
function fill(values, width, height, { left, top, right, bottom }, density) {
  const [firstX, lastX] = [Math.max(0, Math.floor(left)), Math.min(width, Math.ceil(right))];
  const [firstY, lastY] = [Math.max(0, Math.floor(top)), Math.min(height, Math.ceil(bottom))];
  for (let y = firstY; y < lastY; y++) {
    const rows = Math.min(bottom, y + 1) - Math.max(top, y);
    for (let x = firstX; x < lastX; x++) {
      const columns = Math.min(right, x + 1) - Math.max(left, x);
      values[y * width + x] = (values[y * width + x] ?? 0) + density * rows * columns;
    }
  }
}
