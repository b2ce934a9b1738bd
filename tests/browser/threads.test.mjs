// Threads of the CPU backend: they change nothing but the time, and where they cannot be had the page says so and
// works.

import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebKit } from "./driver/webkit.mjs";
import { launch, open, rootWith, serve, www } from "./harness.mjs";

const EXAMPLE = path.join(www, "examples/shapes.png");
const QUESTION = "Describe the image.";
const ON_CPU = "?backend=cpu";
/** Elsewhere there is nothing to try. */
const skip = os.availableParallelism() < 2 && "this machine has one processor";

/** A server before `url` that leaves out the headers which isolate a page. @param {string} url */
async function withoutIsolation(url) {
  const server = createServer((asked, answer) => {
    const forwarded = request(new URL(asked.url ?? "/", url), { method: asked.method, headers: { ...asked.headers, host: new URL(url).host } }, (found) => {
      const { "cross-origin-opener-policy": _opener, "cross-origin-embedder-policy": _embedder, ...headers } = found.headers;
      answer.writeHead(found.statusCode ?? 502, headers);
      found.pipe(answer);
    });
    asked.pipe(forwarded);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/`, stop: () => server.close() };
}

/** No program has relaxed instructions here: what is asked about is one that does. */
const refuseRelaxed = () => Object.assign(WebAssembly, { validate: () => false });

/** As in WebKitGTK, which makes shared memory that no worker may receive. */
const refuseSharing = () => void Reflect.deleteProperty(globalThis, "SharedArrayBuffer");

/** Memory of more pages than this is refused, as on a machine with little address space. @param {number} most */
function refuseMemory(most) {
  const { Memory } = WebAssembly;
  WebAssembly.Memory = /** @type {any} */ (
    function (/** @type {WebAssembly.MemoryDescriptor} */ wanted) {
      if ((wanted.maximum ?? 0) > most) throw new RangeError("could not allocate memory");
      return new Memory(wanted);
    }
  );
}

describe("threads", { skip }, () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {import("playwright-core").Browser} */ let browser;
  before(async () => {
    server = await serve();
    browser = await launch({ gpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Loads, asks, and gives the answer with what the page says of its threads.
   * @param {{ url?: string, prepare?: (visit: import("./harness.mjs").Visit) => Promise<unknown> }} how */
  async function asked({ url = server.url, prepare }) {
    const visit = await open(browser, prepare ? `${url}icon.svg` : url + ON_CPU, { serviceWorkers: "block" });
    if (prepare) {
      await prepare(visit);
      await visit.page.goto(url + ON_CPU);
    }
    await visit.reaches("ready");
    await visit.show(EXAMPLE);
    const answer = await visit.ask(QUESTION);
    const row = (/** @type {string} */ name) => visit.page.locator(`#machine dt:text-is('${name}') + dd`).textContent();
    const said = { answer, threads: await row("Threads"), adapter: await row("Runs on") };
    assert.deepEqual(visit.complaints, []);
    const files = visit.requests.map((address) => new URL(address).pathname);
    await visit.close();
    return { ...said, files };
  }

  test("answer as one thread does, to the token", async () => {
    /** @param {string} query */
    const ids = async (query) => {
      const visit = await open(browser, `${server.url}${query}`, { serviceWorkers: "block" });
      await visit.reaches("ready");
      const seen = await visit.page.evaluate(async () => {
        /** @type {typeof import("../../www/llava/engine-link.js")} */
        const { EngineLink } = await import(new URL("llava/engine-link.js", document.baseURI).href);
        const link = new EngineLink(console.error, { threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
        await link.open({ addresses: [new URL("models/scenes/manifest.json", document.baseURI).href] }, "cpu");
        await link.call("load", { keep: false, context: null });
        const { encoded } = await link.call("encode", { bytes: await (await fetch("examples/shapes.png")).arrayBuffer(), needed: [] });
        const question = `${"How many shapes are there? ".repeat(12)}What do you see?`;
        // Warm enough that a last bit that differed would show.
        const options = { max_new_tokens: 64, temperature: 3, top_p: 1, seed: 7 };
        const { answer, report } = await link.call("generate", { messages: [{ role: "user", parts: [{ image: encoded.id }, { text: question }] }], options });
        return { ids: answer.ids, adapter: report.adapter };
      });
      await visit.close();
      return seen;
    };
    const [several, one] = [await ids(ON_CPU), await ids(`${ON_CPU}&threads=1`)];
    assert.match(several.adapter, /[2-8] threads$/);
    assert.match(one.adapter, /, 1 thread$/);
    assert(one.ids.length > 3, `${one.ids.length} tokens`);
    assert.deepEqual(several.ids, one.ids);
  });

  test("are the page's own choice where it is isolated, and only their code is fetched", async () => {
    const { answer, threads, files } = await asked({});
    assert.match(answer, /\bgreen\b/i);
    assert.match(threads ?? "", /^[2-8]$/);
    assert.deepEqual(files.filter((name) => name.endsWith(".wasm")), ["/pkg/relaxed/llava_web_bg.wasm"]);
    assert(!files.includes("/pkg/llava_web.js"));
  });

  test("work without relaxed instructions, too", async () => {
    const { answer, threads, adapter, files } = await asked({ prepare: ({ page }) => page.addInitScript(refuseRelaxed) });
    assert.match(answer, /\bgreen\b/i);
    assert.match(threads ?? "", /^[2-8]$/);
    assert.match(adapter ?? "", /\(WebAssembly SIMD, [2-8] threads\)$/);
    assert.deepEqual(files.filter((name) => name.endsWith(".wasm")), ["/pkg/threads/llava_web_bg.wasm"]);
  });

  test("work in Safari's engine, which has no relaxed instructions", async () => {
    const tab = await WebKit.start();
    try {
      await tab.goto(server.url);
      await tab.shown("[data-testid=status][data-state=ready]");
      assert.match(await tab.text("#machine"), /\(WebAssembly SIMD, [2-8] threads\)/);
    } finally {
      await tab.close();
    }
  });

  test("are not there without isolation: the page says so and answers", async () => {
    const plain = await withoutIsolation(server.url);
    try {
      const { answer, threads, adapter, files } = await asked({ url: plain.url });
      assert.match(answer, /\bgreen\b/i);
      assert.equal(threads, "1: the host of this page does not isolate it from other sites");
      assert.match(adapter ?? "", /, 1 thread\)$/);
      assert.deepEqual(files.filter((name) => /(threads|relaxed)\/|-threads?\.js/.test(name)), []);
    } finally {
      plain.stop();
    }
  });

  test("that do not start are done without", async () => {
    const { root, remove } = await rootWith(async (root) => {
      await rm(path.join(root, "worker"));
      await cp(path.join(www, "worker"), path.join(root, "worker"), { recursive: true });
      await rm(path.join(root, "worker/pool-thread.js"));
    });
    const lacking = await serve(root);
    try {
      const { answer, threads, adapter } = await asked({ url: lacking.url });
      assert.match(answer, /\bgreen\b/i);
      assert.match(threads ?? "", /^1; more did not come: ./);
      assert.match(adapter ?? "", /, 1 thread\)$/);
    } finally {
      await lacking.stop();
      await remove();
    }
  });

  test("share less memory where 4 GiB are refused, and none where all is", async () => {
    const less = await asked({ prepare: ({ page }) => page.addInitScript(refuseMemory, 16384) });
    assert.match(less.threads ?? "", /^[2-8]$/);
    const none = await asked({ prepare: ({ page }) => page.addInitScript(refuseMemory, 0) });
    assert.equal(none.threads, "1: this browser has no memory that threads can share");
    const unshared = await asked({ prepare: ({ page }) => page.addInitScript(refuseSharing) });
    assert.equal(unshared.threads, none.threads);
    assert.deepEqual(unshared.files.filter((name) => /(threads|relaxed)\/|-threads?\.js/.test(name)), []);
    assert.deepEqual([less, none, unshared].map(({ answer }) => /\bgreen\b/i.test(answer)), [true, true, true]);
  });
});
