// A model of real size in the tab: its time, and the memory of every kind that it takes on the way.
//
//     node tests/browser/real.mjs MODEL_DIR [adapter arguments of Chromium…]   (./build.sh real makes the model first)
//
// MODEL_DIR holds a GGUF pair. A few tokens are read and four are generated, on WebGPU; the reference kernels of the
// native program must choose the same ones, or others where it hardly matters (`agree`). Absolute times on a software
// adapter say little; bytes say everything.

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { CHROMIUM, FLAGS, rootWith, serve } from "./harness.mjs";
import { agree, ask, native } from "./real-model.mjs";

/** The shaders compute in f32 what the reference does in f64: the same tokens, but for ties. Deviations of the logits. */
const BOUND = 0.02;
/** The bound on what passes through the tab, bytes. */
const MOST = 128e6;

const [directory = "", ...more] = process.argv.slice(2);
const files = (await readdir(directory)).filter((name) => name.endsWith(".gguf"));
assert(files.length >= 2, `${directory}: a GGUF pair is wanted`);
for (const name of files) console.log(`${name}: ${(await stat(path.join(directory, name))).size} bytes`);

const { root, remove } = await rootWith((root) => symlink(path.resolve(directory), path.join(root, "real")));
const server = await serve(root);
const profile = await mkdtemp(path.join(tmpdir(), "llava-real-"));
const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, headless: true, args: [...FLAGS, ...more] });
context.setDefaultTimeout(0);
const page = context.pages()[0] ?? (await context.newPage());
/** @param {number} bytes */
const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/**
 * The most that the worker's heap and its array buffers (wasm memory among them) ever were, asked of V8 twice a second.
 * @param {import("playwright-core").Page} page
 */
async function watchHeap(page) {
  const devtools = await page.context().newCDPSession(page);
  const most = { heap: 0, buffers: 0, samples: 0 };
  const workers = new Set();
  devtools.on("Target.attachedToTarget", ({ sessionId }) => workers.add(sessionId));
  devtools.on("Target.detachedFromTarget", ({ sessionId }) => workers.delete(sessionId));
  devtools.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { result } = JSON.parse(message);
    if (!result || !("usedSize" in result)) return;
    most.heap = Math.max(most.heap, result.usedSize);
    most.buffers = Math.max(most.buffers, result.backingStorageSize ?? 0);
    most.samples += 1;
  });
  await devtools.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const message = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });
  // A worker that has just ended cannot be asked any more.
  const ask = () => workers.forEach((sessionId) => devtools.send("Target.sendMessageToTarget", { sessionId, message }).catch(() => {}));
  const timer = setInterval(ask, 500);
  return { most, stop: () => clearInterval(timer) };
}

try {
  // The second visit is the store's.
  /** @type {import("./real-model.mjs").Seen[]} */ const answers = [];
  for (const keep of [true, true]) {
    await page.goto(server.url);
    const heap = await watchHeap(page);
    const seen = await ask(page, { addresses: files.map((name) => `real/${name}`), keep, backend: "webgpu" });
    heap.stop();
    const { plan, probe, ms, report, timing, wasm } = seen;
    const { most } = heap;
    console.log(`adapter: ${report.adapter}`);
    console.log(`plan: ${plan.parts} parts, ${mb(plan.bytes)}, weights ${mb(plan.memory.weights)}, cache ${plan.memory.cache_per_token} B a token (${plan.memory.cache_type}), scratch ${mb(plan.memory.scratch)}`);
    for (const note of plan.notes) console.log(`note: ${note}`);
    console.log(`plan ${ms.plan.toFixed(0)} ms, probe ${ms.probe.toFixed(0)} ms: ${probe.decode_tokens_per_second.toFixed(3)} tokens/s, ${probe.prefill_rows_per_second.toFixed(2)} rows/s, fits ${probe.fits}`);
    console.log(`load ${(ms.load / 1000).toFixed(1)} s, ${mb(seen.received)} over the network, kept ${mb(seen.storage.bytes)} in ${seen.storage.kind}`);
    console.log(`peak of the worker: wasm ${mb(wasm)}, JS heap ${mb(most.heap)}, array buffers (wasm's among them) ${mb(most.buffers)}, ${most.samples} samples; GPU ${mb(report.device_bytes ?? 0)}`);
    console.log(`${seen.prompt.length} tokens read and the first chosen in ${(timing.first_token_ms / 1000).toFixed(1)} s, ${timing.tokens_per_second.toFixed(3)} tokens/s: ${seen.ids}`);
    assert(most.samples > 10, "the heap could not be watched");
    assert(wasm <= MOST && most.heap <= MOST && most.buffers - wasm <= MOST, `more than ${mb(MOST)} in the tab`);
    answers.push(seen);
  }
  // The tab has let go of its memory; the reference is slow, and once is enough.
  await context.close();
  const twin = await native(directory, "reference");
  for (const seen of answers) console.log(agree(seen, twin, BOUND));
  console.log(`the reference kernels: ${((twin.timings_ms.prefill ?? NaN) / 1000).toFixed(1)} s and ${((twin.timings_ms.decode ?? NaN) / 1000).toFixed(1)} s`);
} finally {
  await context.close();
  await server.stop();
  await remove();
  await rm(profile, { recursive: true, force: true });
}
