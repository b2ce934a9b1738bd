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
export function attentionRaster(attention: AnswerAttention, { tokens, picture, layer, width }: {
    tokens: readonly number[];
    picture?: number | undefined;
    layer?: number | null | undefined;
    width: number;
}): AttentionRaster;
export type AnswerAttention = import("./chat/types.js").AnswerAttention;
/**
 * A map over a picture: `values [height, width]` are shares of the picture's attention per pixel, which add to 1 where
 * nothing lies in a border; `share` is the picture's part of all attention, 0 to 1.
 */
export type AttentionRaster = {
    width: number;
    height: number;
    values: Float32Array<ArrayBuffer>;
    share: number;
};
