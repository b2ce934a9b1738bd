// Chooses, for a model that cuts pictures into tiles, the longest side that pictures are scaled to: the person's choice,
// now or on an earlier visit, or else the largest size at which a picture does not take long on this machine.

import { engineVersion } from "./engine-link.js";
import { LocalStore } from "./local-store.js";
import { estimateSpeed } from "./speed-estimate.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./engine-link.js").EngineLink} EngineLink */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Pace} Pace */
/** @typedef {import("./types.js").SizeChoice} SizeChoice */

/** Longest time of a picture at a size that the page chooses, s. */
const COMFORTABLE = 10;

/** Choices by the model's key in the cache. @type {LocalStore<number>} */
const chosen = new LocalStore("picture sizes");
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

/** @param {Opened} opened */
async function paceKey({ plan, storage, report }) {
  return [storage.key, plan.quant ?? "", report.backend, report.adapter, await engineVersion, crossOriginIsolated].join("|");
}

/** Chooses the size for a model that has just been opened. Nothing is measured where there is only one.
 * @param {EngineLink} link @param {Opened} opened @param {Probe | null} [measured] estimate, where it was made already
 * @returns {Promise<{ opened: Opened, size: SizeChoice }>} */
export async function chooseSize(link, opened, measured) {
  const { plan, storage } = opened;
  if (!hasSizes(plan)) return { opened, size: ONE_SIZE };
  const key = await paceKey(opened);
  const known = paces.get(key) ?? null;
  const wanted = plan.picture_sizes?.find(({ longest_edge }) => longest_edge === chosen.get(storage.key))?.longest_edge;
  const probe = measured ?? (known || wanted ? null : await estimateSpeed(link));
  const pace = known ?? paceOf(probe);
  if (pace && !known) paces.set(key, pace);
  const edge = wanted ?? (pace && comfortableSize(plan, pace));
  const size = { chosen: wanted !== undefined, pace, probe };
  if (!edge || edge === plan.longest_edge) return { opened, size };
  return { opened: { ...opened, plan: await link.call("pictureSize", { longest_edge: edge }) }, size };
}

/** Stores the person's choice for a model. @param {string} key @param {number | undefined} edge */
export function rememberSize(key, edge) {
  if (edge) chosen.set(key, edge);
}

/** Corrects the pace by a picture that was encoded: the fastest counts, since a picture's encoding may include earlier
 * turns. Rows grow with tiles, so that the time of a tile includes them. @param {Session} session */
export async function learnPace({ loading, conversation }) {
  const { plan, report, storage } = loading;
  if (!plan || !report || !storage || !hasSizes(plan)) return;
  const times = conversation.pictures.flatMap(({ seen }) => (seen?.encoded.tiles && !seen.encoded.reused ? [seen.encode_ms / 1000 / seen.encoded.tiles] : []));
  const tile = Math.min(...times);
  if (!Number.isFinite(tile) || loading.size.pace?.tile === tile) return;
  loading.size = { ...loading.size, pace: { row: 0, tile } };
  paces.set(await paceKey({ plan, report, storage }), { row: 0, tile });
}

/** Changes the size of pictures: that of the offered model, or of the running one, which is given the conversation again.
 * @param {Session} session @param {number} longest_edge */
export async function changeSize(session, longest_edge) {
  const { activity, loading, memory, conversation } = session;
  if (!activity.loaded) return loading.planAgain({ longest_edge });
  // The person need not wait for a picture that is encoded again. An answer is not interrupted.
  if (activity.phase === "encoding" && conversation.last?.state !== "streaming") await session.stop();
  await activity.exclusive(async () => {
    if (!activity.loaded) return;
    loading.plan = await session.link.call("pictureSize", { longest_edge });
    loading.size = { ...loading.size, chosen: true };
    rememberSize(loading.storage?.key ?? "", longest_edge);
    memory.forget();
    activity.changed();
  });
  if (!memory.onlyShown) await session.prepare();
}
