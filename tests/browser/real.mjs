// A model of real size in the tab: its time, and the memory of every kind that it takes on the way.
//
//     node tests/browser/real.mjs MODEL_DIR [adapter arguments of Chromium…]      (./build.sh real makes the model first)
//
// MODEL_DIR holds a GGUF pair. Four tokens are read and four are generated, on WebGPU; the CPU twin of the native
// program must choose the same ones. Absolute times on a software adapter say little; bytes say everything.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { BIN, CHROMIUM, FLAGS, rootWith, serve } from "./harness.mjs";

/** Surrounded by no template: with the mark of the beginning, a handful of tokens. */
const QUESTION = "what is this?";
const TOKENS = 4;
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

/** What the page does, without the page. @param {boolean} keep */
function visit(keep) {
  return page.evaluate(
    async ({ addresses, keep, question, tokens }) => {
      const { EngineLink } = await import(new URL("page/engine-link.js", document.baseURI).href);
      const link = new EngineLink(console.error);
      const base = document.baseURI;
      const start = performance.now();
      const opened = await link.open({ addresses: addresses.map((name) => new URL(name, base).href), prompt_template: "plain" }, "webgpu");
      const planned = performance.now();
      const probe = await link.call("probe", null);
      const probed = performance.now();
      let received = 0;
      const loaded = await link.call("load", { keep, context: 512 }, { onEvent: (/** @type {any} */ event) => (received = event.received ?? received) });
      // Memory of wasm only ever grows: what it is now is the most it was.
      const { wasm } = await link.call("memory", null);
      const ready = performance.now();
      const options = { max_new_tokens: tokens, temperature: 0, top_p: 1, seed: 0 };
      const answered = await link.call("generate", { question, options });
      return {
        plan: { parts: opened.plan.parts.length, bytes: opened.plan.total_bytes, memory: opened.plan.memory, notes: opened.plan.notes },
        probe, wasm, received, report: loaded.report, storage: loaded.storage,
        ids: answered.answer.ids, prompt: answered.answer.prompt_ids, timing: answered.timing,
        ms: { plan: planned - start, probe: probed - planned, load: ready - probed },
      };
    },
    { addresses: files.map((name) => `real/${name}`), keep, question: QUESTION, tokens: TOKENS },
  );
}

try {
  const words = ["--model", directory, "--backend", "cpu", "--raw-prompt", QUESTION, "--max-new-tokens", String(TOKENS), "--context", "512", "--json"];
  // The second visit is the store's.
  for (const keep of [true, true]) {
    await page.goto(server.url);
    const heap = await watchHeap(page);
    const seen = await visit(keep);
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
    if (!words.length) continue;
    const twin = JSON.parse(execFileSync(path.join(BIN, "chat"), words, { maxBuffer: 1 << 26 }).toString());
    assert.deepEqual([seen.prompt, seen.ids], [twin.prompt_ids, twin.ids], "the CPU twin chooses other tokens");
    console.log(`the CPU twin chose the same (${(twin.timings_ms.prefill / 1000).toFixed(1)} s and ${(twin.timings_ms.decode / 1000).toFixed(1)} s)`);
    words.length = 0;
  }
} finally {
  await context.close();
  await server.stop();
  await remove();
  await rm(profile, { recursive: true, force: true });
}
