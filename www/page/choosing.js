// Which backend runs, where the person leaves that open: both are tried out on this model, and the faster is taken. What
// was found is remembered for models of about this size on this adapter with this engine.

import { Failure } from "../shared/failure.js";
import { inTime } from "./dom.js";
import { EngineLink, engineVersion } from "./engine-link.js";
import { Kept } from "./kept.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {{ link: EngineLink, opened: Opened, why: string }} Choice */
/** @typedef {{ backend: BackendChoice, why: string }} Remembered */

/** @type {Kept<Remembered>} */
const found = new Kept("backends");
/** WebAssembly addresses 4 GiB; the program, its pictures and its tables need some of it. Bytes. */
const CPU_MOST = 3.5e9;
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

/** What a trial says; `null` where the device could not go through with it. @param {EngineLink} link */
function tryOut(link) {
  return link.call("probe", null).catch((thrown) => {
    const failure = Failure.from(thrown, "probe");
    if (failure.kind === "cancelled") throw failure;
    console.info("No prediction:", thrown);
    return null;
  });
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
  const opened = await link.open(model, wanted);
  if (wanted !== "auto") return { link, opened, why: "as you chose" };
  if (opened.report.backend === "cpu") return { link, opened, why: "this browser offers the page no GPU" };
  const { total = 0 } = opened.plan.memory ?? {};
  if (total > CPU_MOST) return { link, opened, why: "the model is too large for the CPU's 4 GiB" };
  const key = await keyFor(opened);
  const known = found.recall(key);
  if (known?.backend === "webgpu") return { link, opened, why: known.why };
  if (known) return { link, opened: await link.open(model, "cpu"), why: known.why };
  const gpu = cost(await tryOut(link));
  // In a worker of its own: its memory would stay with the engine that is kept.
  const other = link.beside();
  try {
    const onCpu = await other.open(model, "cpu");
    const cpu = cost(await tryOut(other));
    const why = words(gpu, cpu);
    const slower = gpu <= cpu;
    found.remember(key, { backend: slower ? "webgpu" : "cpu", why });
    if (slower) {
      other.close();
      return { link, opened, why };
    }
    link.replaceBy(other);
    return { link, opened: onCpu, why };
  } catch (thrown) {
    other.close();
    throw thrown;
  }
}
