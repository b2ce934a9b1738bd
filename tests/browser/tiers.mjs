// The tunings of the GPU that tests ask for, and the measure of an error.

import assert from "node:assert/strict";

/** @typedef {{ rows: number, cols: number, operands: string, unrolled: boolean }} Tile */
/** @typedef {{ lanes: number, split: number, row_operands: string, fuse_norm: boolean, key_splits: number, norm_lanes: number, sample_lanes: number, tile: Tile | null, float_tile: Tile | null, chunk: number, share_keys: boolean }} Tuning */

/** What src/tuning.rs names so. @type {Tuning} */
export const SOFTWARE = { lanes: 16, split: 1, row_operands: "f32", fuse_norm: false, key_splits: 4, norm_lanes: 1, sample_lanes: 64, tile: null, float_tile: null, chunk: 256, share_keys: false };
/** @param {string} operands @param {boolean} [unrolled] @returns {Tile} */
const tile = (operands, unrolled = false) => ({ rows: 64, cols: 64, operands, unrolled });
/** @param {string} operands @returns {Tuning} */
export const hardware = (operands) => ({ lanes: 8, split: 16, row_operands: operands === "int8" ? "int8" : "f32", fuse_norm: true, key_splits: 16, norm_lanes: 64, sample_lanes: 256, tile: tile(operands), float_tile: tile("f32", true), chunk: 256, share_keys: true });

/** The normalised mean square error. @param {number[]} found @param {ArrayLike<number> & Iterable<number>} wanted */
export function nmse(found, wanted) {
  assert.equal(found.length, wanted.length);
  let [difference, power, i] = [0, 0, 0];
  for (const value of wanted) {
    difference += ((found[i++] ?? NaN) - value) ** 2;
    power += value ** 2;
  }
  return difference / power;
}
