// The worker owns the engine and the GPU; the page owns the person. Here bytes are fetched, time is
// measured, and events are passed on; everything else is the engine's.

import init, { Llava } from "../pkg/llava_web.js";
import { Failure } from "../shared/failure.js";
import { answerCalls } from "../shared/messenger.js";
import { fetchManifest, fetchParts } from "./fetch-parts.js";

/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Report} Report */

/** Between two reports of bytes fetched, ms: the eye needs no more. */
const PROGRESS_INTERVAL = 100;

/** @type {Llava | null} */
let engine = null;
/** @type {Plan | null} */
let plan = null;
/** @type {URL} */
let base = new URL(self.location.href);
/** Indices of the parts the engine has accepted: a second `load` fetches only the others.
 * @type {Set<number>} */
const pushed = new Set();

/** @returns {Llava} */
function ready() {
  if (!engine) throw new Failure({ kind: "state", place: "worker", message: "no model has been opened" });
  return engine;
}

/** What the browser tells of the GPU; to the engine it gives no name.
 * @type {Promise<string> | null} */
let adapterName = null;

async function askAdapter() {
  const info = (await navigator.gpu?.requestAdapter())?.info;
  return info ? [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ") : "";
}

/** @param {Report} report */
async function named(report) {
  if (report.adapter || report.backend !== "webgpu") return report;
  return { ...report, adapter: await (adapterName ??= askAdapter()) };
}

/** @param {(event: Event) => void} emit @param {Plan} plan */
function byteCounter(emit, plan) {
  let done = plan.parts.filter((part) => pushed.has(part.index)).reduce((sum, part) => sum + part.bytes, 0);
  let last = -Infinity;
  return (/** @type {number} */ more) => {
    done += more;
    const now = performance.now();
    if (now - last < PROGRESS_INTERVAL && done < plan.total_bytes) return;
    last = now;
    emit({ type: "fetch", done, total: plan.total_bytes });
  };
}

const scope = /** @type {Parameters<typeof answerCalls>[0]} */ (/** @type {unknown} */ (self));

answerCalls(scope, {
  async open({ manifest, backend }) {
    base = new URL(manifest);
    const [bytes] = await Promise.all([fetchManifest(base), init()]);
    engine = await Llava.create({ backend });
    const opened = await engine.plan(bytes);
    plan = opened;
    pushed.clear();
    return { plan: opened, report: await named(engine.report()) };
  },

  async load(_, emit) {
    const llava = ready();
    if (!plan) throw new Failure({ kind: "state", place: "worker", message: "no model has been opened" });
    await fetchParts({
      base,
      parts: plan.parts.filter((part) => !pushed.has(part.index)),
      async push(part, bytes) {
        await llava.push(part.index, bytes);
        pushed.add(part.index);
      },
      onBytes: byteCounter(emit, plan),
    });
    await llava.finish();
    return named(llava.report());
  },

  async encode({ bytes }, emit) {
    const start = performance.now();
    const encoded = await ready().encode(new Uint8Array(bytes), emit);
    return { encoded, encode_ms: performance.now() - start, report: await named(ready().report()) };
  },

  async generate({ question, options }, emit) {
    const start = performance.now();
    let first = start;
    let last = start;
    let count = 0;
    const answer = await ready().generate(question, options, (/** @type {Event} */ event) => {
      if (event.type === "token") {
        last = performance.now();
        if (count === 0) first = last;
        count = event.count;
      }
      emit(event);
    });
    const timing = {
      first_token_ms: first - start,
      total_ms: performance.now() - start,
      tokens_per_second: last > first ? ((count - 1) * 1000) / (last - first) : 0,
    };
    return { answer, timing, report: await named(ready().report()) };
  },

  async cancel() {
    engine?.cancel();
    return null;
  },

  async truncate({ turns }) {
    ready().truncate(turns);
    return named(ready().report());
  },

  async reset() {
    ready().reset();
    return named(ready().report());
  },

  async files() {
    return performance.getEntriesByType("resource").map((entry) => entry.name);
  },
});
