// Chooses the backend where that is left open: estimates the model's speed on the GPU and on the CPU, and
// takes the faster. The decision is stored for models of about this size, on this adapter, with this engine.

import { EngineLink } from "./engine-link.js";
import { LocalStore } from "../shared/local-store.js";
import { CPU_MEMORY_LIMIT, estimateSpeed } from "./speed-estimate.js";
import { chooseWeights, withQuant } from "./weights.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** `probe` is the estimate of the opened model, where it was made.
 * @typedef {{ link: EngineLink, opened: Opened, why: string, weights: import("./weights.js").Weights,
 *   probe?: Probe | null }} Choice */
/** @typedef {import("./weights.js").QuantName} QuantName */
/** @typedef {{ backend: BackendChoice, why: string }} Decision */

/** @type {LocalStore<Decision>} */
const decisions = new LocalStore("backends");
/** The question that is compared: rows of its prompt, and tokens of its answer. */
const QUESTION = { rows: 256, tokens: 64 };

/** @param {EngineLink} link @param {Opened} opened */
async function keyFor(link, { plan, report }) {
  const size = Math.round(Math.log2(plan.bytes_per_token ?? plan.total_bytes));
  return [report.adapter, await link.version, crossOriginIsolated, size].join("|");
}

/** Returns the time of that question, ms; infinite where the model does not fit. @param {Probe | null} probe */
function questionMs(probe) {
  if (!probe?.fits) return Infinity;
  return (QUESTION.rows / probe.prefill_rows_per_second + QUESTION.tokens / probe.decode_tokens_per_second) * 1000;
}

/** @param {number} gpu @param {number} cpu */
function comparison(gpu, cpu) {
  const time = (/** @type {number} */ ms) => (!Number.isFinite(ms) ? "more memory than there is" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`);
  return `a question would take ${time(gpu)} on the GPU and ${time(cpu)} on the CPU`;
}

/**
 * Opens `model` in `link`, on the backend that is wanted or on the faster one.
 * @param {EngineLink} link @param {ModelRef} model @param {BackendChoice} wanted
 * @param {(opened: Opened) => QuantName | undefined} quant names the type that is wanted for the weights
 * @returns {Promise<Choice>} whose link has the model open; any second worker is closed
 */
export async function openModel(link, model, wanted, quant) {
  const verdict = wanted === "cpu" ? undefined : await link.verdict();
  const off = verdict?.wrong.length ? ` (${verdict.wrong.join(", ")} computed wrong results on this GPU in the proof of ${verdict.date} and ${verdict.wrong.length > 1 ? "are" : "is"} switched off)` : "";
  const wrongGpu = wanted === "auto" && off && !verdict?.right.length;
  const choice = await openRightOne(link, model, wrongGpu ? "cpu" : wanted, quant);
  return off ? { ...choice, why: wrongGpu ? `every way to compute on this GPU gave wrong results in the proof of ${verdict?.date}` : choice.why + off } : choice;
}

/** @type {typeof openModel} */
async function openRightOne(link, model, wanted, quant) {
  const first = await link.open(model, wanted);
  const { opened, weights } = await chooseWeights(link, first, quant(first));
  if (wanted !== "auto") return { link, opened, weights, why: "as you chose" };
  if (opened.report.backend === "cpu") return { link, opened, weights, why: "this browser gives the page no GPU" };
  const { total = 0 } = opened.plan.memory ?? {};
  if (total > CPU_MEMORY_LIMIT) return { link, opened, weights, why: "the model is too large for the CPU's 4 GiB" };
  const key = await keyFor(link, opened);
  const decision = decisions.get(key);
  if (decision?.backend === "webgpu") return { link, opened, weights, why: decision.why };
  const openOnCpu = async (/** @type {EngineLink} */ link) => withQuant(link, await link.open(model, "cpu"), opened.plan.quant);
  if (decision) return { link, opened: await openOnCpu(link), weights, why: decision.why };
  const gpuProbe = await estimateSpeed(link);
  const gpu = questionMs(gpuProbe);
  // The CPU is measured in a second worker, whose memory would otherwise stay with the engine.
  const second = link.openSecond();
  try {
    const onCpu = await openOnCpu(second);
    const cpuProbe = await estimateSpeed(second);
    const cpu = questionMs(cpuProbe);
    const why = comparison(gpu, cpu);
    const gpuWins = gpu <= cpu;
    decisions.set(key, { backend: gpuWins ? "webgpu" : "cpu", why });
    if (gpuWins) {
      second.close();
      return { link, opened, weights, why, probe: gpuProbe };
    }
    link.replaceWith(second);
    return { link, opened: onCpu, weights, why, probe: cpuProbe };
  } catch (thrown) {
    second.close();
    throw thrown;
  }
}
