// Chooses, for a model that cuts pictures into tiles, the longest side that pictures are scaled to: the wanted one, or
// else the largest size at which a picture does not take long on this machine.

import { LocalStore } from "../shared/local-store.js";
import { estimateSpeed } from "./speed-estimate.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./engine-link.js").EngineLink} EngineLink */
/** Seconds that pictures take here, for each row through the decoder and each tile through the tower.
 * @typedef {{ row: number, tile: number }} Pace */
/** The size of pictures that are cut into tiles: whether it was wanted, the pace where it is known, and the estimate
 * that was made to choose it.
 * @typedef {{ chosen: boolean, pace: Pace | null, probe: Probe | null }} SizeChoice */

/** Longest time of a picture at a size that is chosen here, s. */
const COMFORTABLE = 10;

/** Paces by model, type of its weights, backend, adapter and engine. @type {LocalStore<Pace>} */
const paces = new LocalStore("picture paces");

/** State of a model whose pictures have one size. @type {SizeChoice} */
export const ONE_SIZE = { chosen: false, pace: null, probe: null };

/** Whether there is something to choose. @param {Plan | null} plan */
export const hasSizes = (plan) => (plan?.picture_sizes?.length ?? 0) > 1;

/** Returns the pace that an estimate of the speed gives. @param {Probe | null} probe @returns {Pace | null} */
export function paceOf(probe) {
  const { prefill_rows_per_second: rows = 0, tile_seconds: tile = 0 } = probe ?? {};
  return rows > 0 && tile > 0 ? { row: 1 / rows, tile } : null;
}

/** Returns the seconds of a picture. @param {{ tiles: number, rows: number }} size @param {Pace} pace */
export const secondsOf = ({ tiles, rows }, { row, tile }) => rows * row + tiles * tile;

/** Returns the largest size at which a picture does not take long, or else the smallest.
 * @param {Plan} plan @param {Pace} pace */
function comfortableSize({ picture_sizes: sizes = [] }, pace) {
  return (sizes.filter((size) => secondsOf(size, pace) < COMFORTABLE).at(-1) ?? sizes[0])?.longest_edge;
}

/** Returns the reason for the plan's size; empty where it is the checkpoint's own.
 * @param {Plan} plan @param {SizeChoice} choice */
export function reasonFor(plan, { chosen, pace }) {
  if (!hasSizes(plan)) return "";
  if (chosen) return "as you chose";
  const { picture_sizes: sizes = [], longest_edge: edge } = plan;
  const size = sizes.find(({ longest_edge }) => longest_edge === edge);
  if (!pace || !size) return "";
  if (secondsOf(size, pace) < COMFORTABLE) return `chosen so that a picture takes under ${COMFORTABLE} s here`;
  return size === sizes[0] ? `the smallest: a picture takes more than ${COMFORTABLE} s here at every size` : "";
}

/** @param {EngineLink} link @param {Opened} opened */
async function paceKey(link, { plan, storage, report }) {
  return [storage.key, plan.quant ?? "", report.backend, report.adapter, await link.version, crossOriginIsolated].join("|");
}

/** Chooses the size for a model that has just been opened. Nothing is measured where there is only one.
 * @param {EngineLink} link @param {Opened} opened @param {number | undefined} longest_edge that is wanted; one that the
 *   model cannot have is passed over
 * @param {Probe | null} [measured] estimate, where it was made already
 * @returns {Promise<{ opened: Opened, size: SizeChoice }>} */
export async function chooseSize(link, opened, longest_edge, measured) {
  const { plan } = opened;
  if (!hasSizes(plan)) return { opened, size: ONE_SIZE };
  const key = await paceKey(link, opened);
  const known = paces.get(key) ?? null;
  const wanted = plan.picture_sizes?.find((size) => size.longest_edge === longest_edge)?.longest_edge;
  const probe = measured ?? (known || wanted ? null : await estimateSpeed(link));
  const pace = known ?? paceOf(probe);
  if (pace && !known) paces.set(key, pace);
  const edge = wanted ?? (pace && comfortableSize(plan, pace));
  const size = { chosen: wanted !== undefined, pace, probe };
  if (!edge || edge === plan.longest_edge) return { opened, size };
  return { opened: { ...opened, plan: await link.call("pictureSize", { longest_edge: edge }) }, size };
}

/** Stores the pace of a model for the next time. @param {EngineLink} link @param {Opened} opened @param {Pace} pace */
export async function rememberPace(link, opened, pace) {
  paces.set(await paceKey(link, opened), pace);
}
