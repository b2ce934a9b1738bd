// Which backend runs, where the person leaves that open: both are tried out on this model, and the faster is taken. What
// was found is remembered for models of about this size on this adapter with this engine.

import { inTime } from "./dom.js";
import { EngineLink, engineVersion } from "./engine-link.js";
import { Kept } from "./kept.js";
import { CPU_MOST, tryOut } from "./trial.js";
import { chooseWeights, holdAs } from "./weights.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {{ link: EngineLink, opened: Opened, why: string, weights: import("./types.js").Weights }} Choice */
/** @typedef {{ backend: BackendChoice, why: string }} Remembered */

/** @type {Kept<Remembered>} */
const found = new Kept("backends");
/** What is compared: rows that are read, and tokens of an answer. */
const QUESTION = { rows: 256, tokens: 64 };

/** @param {Opened} opened */
async function keyFor({ plan, report }) {
  const size = Math.round(Math.log2(plan.bytes_per_token ?? plan.total_bytes));
  return [report.adapter, await engineVersion, crossOriginIsolated, size].join("|");
}

/** Milliseconds for a question; endless where it does not fit. @param {Probe | null} probe */
function cost(probe) {
  if (!probe?.fits) return Infinity;
  return (QUESTION.rows / probe.prefill_rows_per_second + QUESTION.tokens / probe.decode_tokens_per_second) * 1000;
}

/** @param {number} gpu @param {number} cpu */
function words(gpu, cpu) {
  const said = (/** @type {number} */ ms) => (Number.isFinite(ms) ? inTime(ms) : "more than it has");
  return `a question would take ${said(gpu)} on the GPU and ${said(cpu)} on the CPU`;
}

/**
 * Opens `model` with `link` on the backend that is wanted, or else on the faster one.
 * @param {EngineLink} link @param {ModelRef} model @param {BackendChoice} wanted
 * @returns {Promise<Choice>} with the link that has it open; the other one is closed
 */
export async function openOn(link, model, wanted) {
  const { opened, weights } = await chooseWeights(link, await link.open(model, wanted));
  if (wanted !== "auto") return { link, opened, weights, why: "as you chose" };
  if (opened.report.backend === "cpu") return { link, opened, weights, why: "this browser offers the page no GPU" };
  const { total = 0 } = opened.plan.memory ?? {};
  if (total > CPU_MOST) return { link, opened, weights, why: "the model is too large for the CPU's 4 GiB" };
  const key = await keyFor(opened);
  const known = found.recall(key);
  if (known?.backend === "webgpu") return { link, opened, weights, why: known.why };
  const openOnCpu = async (/** @type {EngineLink} */ link) => holdAs(link, await link.open(model, "cpu"), opened.plan.quant);
  if (known) return { link, opened: await openOnCpu(link), weights, why: known.why };
  const gpu = cost(await tryOut(link));
  // In a worker of its own: its memory would stay with the engine that is kept.
  const other = link.beside();
  try {
    const onCpu = await openOnCpu(other);
    const cpu = cost(await tryOut(other));
    const why = words(gpu, cpu);
    const slower = gpu <= cpu;
    found.remember(key, { backend: slower ? "webgpu" : "cpu", why });
    if (slower) {
      other.close();
      return { link, opened, weights, why };
    }
    link.replaceBy(other);
    return { link, opened: onCpu, weights, why };
  } catch (thrown) {
    other.close();
    throw thrown;
  }
}
