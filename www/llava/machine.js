// What this machine can carry, as far as browsers tell: its memory in steps, its graphics adapter, the space for storage.

import { adapterLimits } from "../shared/adapter.js";
import { CPU_MEMORY_LIMIT } from "./speed-estimate.js";

/** `memory`: bytes that a model may take. `room`: bytes that may be stored, `null` where the browser does not say.
 * @typedef {{ gpu: boolean, phone: boolean, memory: number, room: number | null }} Machine */

/** Share of a machine's memory that a model may take, and that of a phone, whose browser ends large tabs. */
const SHARE = 0.6;
const PHONE_SHARE = 0.25;
/** Memory where the browser does not say (Firefox, Safari), GiB. */
const USUAL = 8;
const USUAL_PHONE = 4;
/** Largest buffer below which an adapter counts as small, and the bytes that a model may take there. */
const SMALL_ADAPTER_BUFFER = 1 << 30;
const SMALL_ADAPTER_MEMORY = 2e9;

function isPhone() {
  const { userAgentData } = /** @type {{ userAgentData?: { mobile: boolean } }} */ (/** @type {unknown} */ (navigator));
  return userAgentData?.mobile ?? matchMedia("(pointer: coarse) and (hover: none)").matches;
}

/** Returns the bytes that may still be stored; `null` where the browser does not say.
 * @returns {Promise<number | null>} */
export async function storageRoom() {
  const estimate = await navigator.storage?.estimate?.().catch(() => null);
  return estimate?.quota ? Math.max(0, estimate.quota - (estimate.usage ?? 0)) : null;
}

/** Describes this machine. @param {boolean} mayUseGpu @returns {Promise<Machine>} */
export async function describeMachine(mayUseGpu) {
  const phone = isPhone();
  const { deviceMemory = phone ? USUAL_PHONE : USUAL } = /** @type {{ deviceMemory?: number }} */ (/** @type {unknown} */ (navigator));
  const limits = mayUseGpu ? await adapterLimits() : null;
  const share = deviceMemory * 2 ** 30 * (phone ? PHONE_SHARE : SHARE);
  const most = limits ? (limits.maxBufferSize < SMALL_ADAPTER_BUFFER ? SMALL_ADAPTER_MEMORY : Infinity) : CPU_MEMORY_LIMIT;
  const room = await storageRoom();
  return { gpu: limits !== null, phone, memory: Math.min(share, most), room };
}
