// The speed of this machine, measured once before any large model is downloaded: the engine's own estimate of the model
// of headers in ruler.js, in a worker of its own, on the GPU and on the CPU.

import { adapterLimits, adapterName } from "../shared/adapter.js";
import { untilAborted } from "../shared/failure.js";
import { EngineLink } from "../llava/engine-link.js";
import { LocalStore } from "../shared/local-store.js";
import { rulerModel } from "./ruler.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */

/** Bytes of weights that are read in a second while a token is computed, by the type of the weights.
 * @typedef {{ q8: number, q4: number }} Rates */
/** Rates by backend; those that were not measured are absent. @typedef {{ webgpu?: Rates, cpu?: Rates }} Speeds */

/** Types that are measured. */
const TYPES = /** @type {const} */ (["q8", "q4"]);
/** Measurements of each, of which the best counts: the first runs code that the browser is still compiling, and other
 * programs can only slow one down. */
const ROUNDS = 3;
/** Rates by backend, adapter and engine. @type {LocalStore<Rates>} */
const measured = new LocalStore("speeds");

/** Measures one backend. @param {"webgpu" | "cpu"} backend @param {EngineLink} link @returns {Promise<Rates>} */
async function measure(backend, link) {
  const { plan } = await link.open(rulerModel(), backend);
  const rates = { q8: 0, q4: 0 };
  for (const quant of Array.from({ length: ROUNDS }, () => TYPES).flat()) {
    const { bytes_per_token = plan.bytes_per_token ?? 0 } = await link.call("choose", { quant });
    // The estimate is a token's time for all bytes that a token reads; so the rate holds for every model of this type.
    const rate = (await link.call("probe", null)).decode_tokens_per_second * bytes_per_token;
    rates[quant] = Math.max(rates[quant], rate);
  }
  return rates;
}

/**
 * Measures the backends that may be used, unless an earlier visit has.
 * @param {BackendChoice} wanted
 * @param {AbortSignal | undefined} signal ends the measurement, which then rejects
 * @param {import("./engine-options.js").EngineOptions} options
 * @returns {Promise<Speeds>}
 */
export async function speedsHere(wanted, signal, options) {
  // Some browsers have an adapter without a name.
  const gpu = wanted !== "cpu" && (await adapterLimits()) !== null;
  /** @type {Speeds} */
  const speeds = {};
  for (const backend of /** @type {const} */ (["webgpu", "cpu"])) {
    if ((backend === "webgpu" && !gpu) || (wanted !== "auto" && wanted !== backend)) continue;
    const link = new EngineLink(() => link.close(), options);
    const key = [backend, backend === "webgpu" ? await adapterName() : "", await link.version, crossOriginIsolated].join("|");
    const known = measured.get(key);
    speeds[backend] = known ?? (await untilAborted(signal, "speed", () => measure(backend, link), (why) => link.close(why)).finally(() => link.close()));
    if (!known) measured.set(key, speeds[backend]);
  }
  return speeds;
}
