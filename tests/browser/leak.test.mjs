// Many questions in one tab leave its memory where it was after the first ones. 40 here; LLAVA_QUESTIONS=200 asks more.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, serve } from "./harness.mjs";

const QUESTIONS = Number(process.env.LLAVA_QUESTIONS ?? 40);
/** By then everything that is made once has been made, and the rows of earlier conversations, which are kept beside the
 * cache, have reached their bound. */
const WARM = 20;
/** JavaScript's heap may end with this much that its collector has not looked at, bytes. */
const SLACK = 300_000;
/** The last few buffers of four bytes that tokens were read back through may be among them, bytes. */
const STAGING = 256;

/** Runs in the worker, after the engine's modules: counts live GPU buffers and their bytes, without those that were
 * collected. */
const COUNT_BUFFERS = `
if (globalThis.GPUDevice) {
  const live = (globalThis.gpuBuffers = { count: 0, bytes: 0, made: 0, destroyed: 0 });
  const sizes = new WeakMap();
  const gone = (size) => (live.count--, (live.bytes -= size));
  const collected = new FinalizationRegistry(gone);
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    live.count++, live.made++, (live.bytes += descriptor.size);
    sizes.set(buffer, descriptor.size);
    collected.register(buffer, descriptor.size, buffer);
    return buffer;
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    if (sizes.has(this)) live.destroyed++, gone(sizes.get(this)), sizes.delete(this), collected.unregister(this);
    return destroy.call(this);
  };
}`;

/** Asks V8, in the engine's worker. @param {import("playwright-core").Page} page */
async function devtools(page) {
  const session = await page.context().newCDPSession(page);
  /** @type {Map<number, (message: any) => void>} */
  const waiting = new Map();
  let target = "";
  session.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => {
    // The engine's threads wait for work and answer no request.
    if (targetInfo.type === "worker" && !targetInfo.url.endsWith("pool-thread.js")) target = sessionId;
  });
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const answer = JSON.parse(message);
    waiting.get(answer.id)?.(answer.result);
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  let id = 0;
  return (/** @type {string} */ method, /** @type {object} */ params = {}) =>
    new Promise((/** @type {(value: any) => void} */ resolve) => {
      waiting.set(++id, resolve);
      session.send("Target.sendMessageToTarget", { sessionId: target, message: JSON.stringify({ id, method, params }) });
    });
}

for (const backend of /** @type {const} */ (["webgpu", "cpu"])) {
  describe(`${QUESTIONS} questions on ${backend}`, () => {
    /** @type {import("playwright-core").Browser} */ let browser;
    /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
    before(async () => {
      server = await serve();
      browser = await launch({ gpu: backend === "webgpu" });
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
    });

    test("leave wasm memory, JavaScript's heap and GPU buffers where they were", async (t) => {
      const visit = await open(browser, `${server.url}icon.svg`, { serviceWorkers: "block" });
      // The page itself loads nothing; what follows has a worker of its own.
      await visit.context.route("**/worker/engine-calls.js", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: (await response.text()) + COUNT_BUFFERS });
      });
      await visit.page.goto(`${server.url}?model=none.json`);
      const ask = await devtools(visit.page);
      await visit.page.evaluate(async (backend) => {
        const { EngineLink } = await import(new URL("llava/engine-link.js", document.baseURI).href);
        const link = new EngineLink(console.error);
        Object.assign(window, { link });
        await link.open({ addresses: [new URL("models/scenes/manifest.json", document.baseURI).href] }, backend);
        await link.call("load", { keep: false, context: null });
      }, backend);
      const questions = (/** @type {number} */ from, /** @type {number} */ to) =>
        visit.page.evaluate(
          async ({ from, to }) => {
            const { link } = /** @type {any} */ (window);
            const file = await (await fetch("examples/shapes.png")).blob();
            for (let i = from; i < to; i++) {
              // Every picture is a new one to the engine: bytes after the end of a PNG change its hash and nothing
              // else. The question is the same, so that the rows that are kept of each conversation are as many.
              const bytes = await new Blob([file, new Uint8Array([i, i >> 8])]).arrayBuffer();
              const { encoded } = await link.call("encode", { bytes, needed: [] }, { transfer: [bytes] });
              const messages = (/** @type {string} */ text) => [{ role: "user", parts: [{ image: encoded.id }, { text }] }];
              await link.call("prefill", { messages: messages("") });
              const options = { max_new_tokens: 8, temperature: 0, top_p: 1, seed: 0 };
              await link.call("generate", { messages: messages("What is in the picture?"), options });
            }
          },
          { from, to },
        );
      const memory = async () => {
        for (let i = 0; i < 3; i++) await ask("HeapProfiler.collectGarbage");
        const { wasm } = await visit.page.evaluate(() => /** @type {any} */ (window).link.call("memory", null));
        const { usedSize } = await ask("Runtime.getHeapUsage");
        const { result } = await ask("Runtime.evaluate", { expression: "JSON.stringify(globalThis.gpuBuffers ?? {})" });
        return { wasm, heap: usedSize, gpu: JSON.parse(result.value) };
      };
      await questions(0, WARM);
      const first = await memory();
      await questions(WARM, QUESTIONS);
      const last = await memory();
      t.diagnostic(`after ${WARM}: ${JSON.stringify(first)}; after ${QUESTIONS}: ${JSON.stringify(last)}`);
      assert.equal(last.wasm, first.wasm, "wasm memory");
      assert(last.heap - first.heap < SLACK, `JavaScript's heap grew by ${last.heap - first.heap} bytes`);
      assert(Math.abs((last.gpu.bytes ?? 0) - (first.gpu.bytes ?? 0)) <= STAGING, "bytes in GPU buffers");
      await visit.close();
    });
  });
}
