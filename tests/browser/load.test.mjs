// Loading through the package: what is aborted, closed or crashed settles, and what is closed leaves nothing.

import assert from "node:assert/strict";
import { cp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fakeRoot, launch, open, rootWith, serve, withFake, www } from "./harness.mjs";

/** Loads on the CPU; on a software GPU each compiles its shaders for seconds. LLAVA_LOADS=10 makes them as many there. */
const LOADS = { cpu: 10, webgpu: Number(process.env.LLAVA_LOADS ?? 4) };
/** Growth that all loads may leave behind in the tab, and in the browser's GPU process, bytes. One model takes 30 MB in either. */
const SLACK = { tab: 2e6, gpu: 30e6 };

/** @typedef {typeof import("../../www/llava/index.js")} Package */

/** Waits until a page has no workers. @param {import("playwright-core").Page} page */
async function noWorkers(page) {
  for (let tries = 0; page.workers().length && tries < 50; tries++) await page.waitForTimeout(100);
  assert.deepEqual(page.workers().map((worker) => worker.url()), [], "workers that go on");
}

/** A page of our host without any script of its own. @param {import("playwright-core").Browser} browser @param {string} url */
async function blank(browser, url) {
  const visit = await open(browser, `${url}icon.svg`, { serviceWorkers: "block" });
  await visit.context.route("**/blank", (route) => route.fulfill({ contentType: "text/html", headers: { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" }, body: "<!doctype html><title>blank</title>" }));
  await visit.page.goto(`${url}blank`);
  return visit;
}

describe("a loaded model", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  before(async () => {
    server = await serve();
    browser = await launch({ gpu: true });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  for (const backend of /** @type {const} */ (["cpu", "webgpu"])) {
    test(`${LOADS[backend]} loads and closes on ${backend} leave no worker and no memory`, async (t) => {
      const visit = await blank(browser, server.url);
      const { page } = visit;
      const round = () =>
        page.evaluate(async (backend) => {
          /** @type {Package} */
          const { LLaVA } = await import(String("/llava/index.js"));
          const model = await LLaVA.load("models/scenes/manifest.json", { backend, keep: false });
          const { encoded } = await model.link.call("encode", { bytes: await (await fetch("examples/shapes.png")).arrayBuffer(), needed: [] });
          const { answer } = await model.link.call("generate", {
            messages: [{ role: "user", parts: [{ image: encoded.id }, { text: "What do you see?" }] }],
            options: { max_new_tokens: 8, temperature: 0, top_p: 1, seed: 0 },
          });
          model.close();
          return answer.text;
        }, backend);
      /** Bytes of the page and its workers, after a collection. */
      const memory = () => page.evaluate(async () => (await /** @type {any} */ (performance).measureUserAgentSpecificMemory()).bytes);
      /** Bytes of the process that the GPU's memory is in, where /proc says. */
      const gpu = async () => {
        const session = await browser.newBrowserCDPSession();
        const { processInfo } = await session.send("SystemInfo.getProcessInfo");
        await session.detach();
        const id = processInfo.find(({ type }) => type === "GPU")?.id;
        return Number((await readFile(`/proc/${id}/statm`, "utf8").catch(() => "0 0")).split(" ")[1]) * 4096;
      };
      const first = await round();
      await noWorkers(page);
      const before = { tab: await memory(), gpu: await gpu() };
      for (let i = 0; i < LOADS[backend]; i++) assert.equal(await round(), first);
      await noWorkers(page);
      const end = { tab: await memory(), gpu: await gpu() };
      t.diagnostic(`${backend}: after one load ${JSON.stringify(before)}, after ${LOADS[backend] + 1} ${JSON.stringify(end)}`);
      assert(end.tab - before.tab < SLACK.tab, `${end.tab - before.tab} bytes more in the tab`);
      assert(end.gpu - before.gpu < SLACK.gpu, `${end.gpu - before.gpu} bytes more in the GPU process`);
      await visit.close();
    });
  }

  test("its small files are requested together", async () => {
    const visit = await blank(browser, server.url);
    const awaited = new Set(["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"]);
    let late = false;
    // Each answer waits until all of them are asked for.
    await visit.context.route("**/models/scenes/*.json", async (route) => {
      const name = path.basename(new URL(route.request().url()).pathname);
      awaited.delete(name);
      for (let waited = 0; name !== "manifest.json" && awaited.size && !late; waited += 50) {
        await visit.page.waitForTimeout(50);
        late = waited > 10_000;
      }
      await route.continue();
    });
    await visit.page.evaluate(async () => {
      /** @type {Package} */
      const { LLaVA } = await import(String("/llava/index.js"));
      const model = await LLaVA.load("models/scenes/manifest.json", { backend: "cpu", keep: false });
      model.close();
    });
    assert.equal(late, false, "asked for one after the other");
    await visit.close();
  });

  test("takes the engine's code and the grammars' from another folder", async () => {
    const { root, remove } = await rootWith((root) => symlink(path.join(www, "pkg"), path.join(root, "code")));
    const elsewhere = await serve(root);
    const visit = await blank(browser, elsewhere.url);
    /** @type {Set<string>} */
    const fetched = new Set();
    visit.context.on("request", (request) => request.url().endsWith(".wasm") && fetched.add(new URL(request.url()).pathname.replace(/(threads|relaxed)\//, "")));
    try {
      const text = await visit.page.evaluate(async () => {
        /** @type {Package} */
        const { LLaVA } = await import(String("/llava/index.js"));
        const model = await LLaVA.load("models/scenes/manifest.json", { backend: "cpu", keep: false, wasm: "/code/" });
        /** @type {import("../../www/llava/chat/types.js").ChatRequest} */
        const request = { messages: [{ role: "user", content: "Is it red?" }], response_format: { type: "regex", regex: "(ja|nein)" } };
        const answer = await model.chat.completions.create(request);
        model.close();
        return "choices" in answer ? answer.choices[0]?.message.content : "";
      });
      assert.match(String(text), /^(ja|nein)$/);
      assert.deepEqual([...fetched].sort(), ["/code/grammar/llava_grammar_bg.wasm", "/code/llava_web_bg.wasm"]);
    } finally {
      await visit.close();
      await elsewhere.stop();
      await remove();
    }
  });

  test("says what it needs and how fast it is before it is loaded, and then loads", async () => {
    const visit = await blank(browser, server.url);
    const seen = await visit.page.evaluate(async () => {
      /** @type {Package} */
      const { LLaVA } = await import(String("/llava/index.js"));
      const inspection = await LLaVA.inspect("models/scenes/manifest.json", { backend: "cpu" });
      const probe = await inspection.estimate();
      await inspection.choose({ context: 256 });
      const missing = inspection.missing_bytes;
      const model = await inspection.load();
      const twice = await inspection.load().catch((/** @type {any} */ thrown) => thrown.kind);
      const [saved, , none] = [await LLaVA.cached(), await LLaVA.delete(model.storage.key), await LLaVA.cached()];
      // Loaded, it is the model that is closed.
      inspection.close();
      const memory = await model.link.call("memory", null);
      model.close();
      return { plan: inspection.plan, missing, probe, twice, context: model.report.context, key: model.storage.key, saved: saved.map(({ key }) => key), none, wasm: memory.wasm };
    });
    assert.equal(seen.plan.name, "scenes");
    assert.equal(seen.missing, seen.plan.total_bytes);
    assert(seen.probe?.fits && seen.probe.decode_tokens_per_second > 1);
    assert.equal(seen.context, 256);
    assert.equal(seen.twice, "state");
    assert.deepEqual([seen.saved, seen.none], [[seen.key], []]);
    assert(seen.wasm > 0);
    await visit.close();
  });

  test("is named in every way", async () => {
    const visit = await blank(browser, server.url);
    const names = await visit.page.evaluate(async () => {
      /** @type {Package} */
      const { LLaVA } = await import(String("/llava/index.js"));
      const folder = "models/scenes/";
      const shards = (await (await fetch(`${folder}manifest.json`)).text()).match(/[0-9a-f]{16}\.bin/g);
      /** @param {string} name */
      const file = async (name) => new File([await (await fetch(folder + name)).arrayBuffer()], name);
      const names = ["manifest.json", ...new Set(shards), "config.json", "tokenizer.json", "preprocessor_config.json", "generation_config.json"];
      const files = await Promise.all(names.map(file));
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
      for (const each of files) {
        const writable = await (await root.getFileHandle(each.name, { create: true })).createWritable();
        await writable.write(each);
        await writable.close();
      }
      const seen = [];
      const loaded = await LLaVA.load(new URL(`${folder}manifest.json`, document.baseURI), { backend: "cpu" });
      loaded.close();
      const [saved] = await LLaVA.cached();
      for (const ref of [folder, [`${folder}manifest.json`], files, files.map((file) => ({ path: `m/${file.name}`, file })), root, saved?.key ?? "", saved ?? "", await LLaVA.resolve(folder)]) {
        const inspection = await LLaVA.inspect(ref, { backend: "cpu" });
        seen.push(inspection.plan.name);
        inspection.close();
      }
      const wrong = [];
      for (const ref of ["0123456789abcdef", "ftp://host/model.gguf", [], 5, null, {}, "models/none/manifest.json"]) {
        wrong.push(await LLaVA.inspect(/** @type {any} */ (ref), { backend: "cpu" }).then(() => "opened", (/** @type {any} */ thrown) => `${thrown.name} ${thrown.kind}`));
      }
      return { seen, wrong };
    });
    assert.deepEqual(names.seen, Array(8).fill("scenes"));
    assert.deepEqual(names.wrong, ["storage", "page", "page", "argument", "argument", "argument", "network"].map((kind) => `LlavaError ${kind}`));
    await noWorkers(visit.page);
    await visit.close();
  });
});

describe("every promise settles", () => {
  /** Runs `body` on a page with the stand-in engine, whose model has 6 parts.
   * @param {object} manifest @param {(visit: Awaited<ReturnType<typeof blank>>) => Promise<void>} body */
  const withPage = (manifest, body) =>
    withFake(manifest, async ({ browser, url }) => {
      const visit = await blank(browser, url);
      await body(visit);
      await noWorkers(visit.page);
      assert.deepEqual(visit.complaints, []);
    });

  test("after an abort: before opening, while the code, the plan or a part is waited for, while shaders are compiled", () =>
    withPage({ shaders: 50, compile_ms: 100 }, async ({ page, context }) => {
      /** @param {number} after  ms, -1: before the call */
      const aborted = (after) =>
        page.evaluate(async (after) => {
          /** @type {Package} */
          const { LLaVA, LlavaError } = await import(String("/llava/index.js"));
          const stop = new AbortController();
          const reason = new Error("changed my mind");
          if (after < 0) stop.abort(reason);
          else setTimeout(() => stop.abort(reason), after);
          const start = performance.now();
          const thrown = await LLaVA.load("models/scenes/manifest.json", { backend: "cpu", signal: stop.signal, keep: false }).then(() => null, (/** @type {any} */ thrown) => thrown);
          return { known: thrown instanceof LlavaError, kind: thrown?.kind, cause: thrown?.cause === reason, late: performance.now() - start - Math.max(0, after) };
        }, after);
      /** @param {{ known: boolean, kind: string, cause: boolean, late: number }} seen */
      const check = ({ late, ...seen }) => {
        assert.deepEqual(seen, { known: true, kind: "cancelled", cause: true });
        assert(late < 1500, `${late} ms late`);
      };
      check(await aborted(-1));
      // While pipelines are compiled, which takes 5 s here.
      check(await aborted(1500));
      for (const address of ["**/0.bin", "**/manifest.json", "**/*.wasm", "**/worker/worker.js"]) {
        await context.route(address, () => {});
        check(await aborted(700));
        await context.unroute(address);
      }
    }));

  test("after close, and when the worker crashes", () =>
    withPage({}, async ({ page }) => {
      const seen = await page.evaluate(async () => {
        /** @type {Package} */
        const { LLaVA } = await import(String("/llava/index.js"));
        /** @param {Promise<unknown>} promise */
        const kind = (promise) => promise.then(() => "resolved", (/** @type {any} */ thrown) => thrown.kind);
        /** @type {string[]} */
        const crashes = [];
        const load = () => LLaVA.load("models/scenes/manifest.json", { backend: "cpu", keep: false, onCrash: ({ kind }) => crashes.push(kind) });
        const options = { max_new_tokens: 8, temperature: 0, top_p: 1, seed: 0 };
        /** @param {string} text @returns {import("../../www/shared/protocol.js").Message[]} */
        const user = (text) => [{ role: "user", parts: [{ text }] }];
        const closed = await load();
        const pending = kind(closed.link.call("generate", { messages: user("slow"), options }));
        closed.close();
        const later = [await pending, await kind(closed.link.call("memory", null)), await kind(closed.reload()), await kind(closed.setPictureSize(1))];
        const inspection = await LLaVA.inspect("models/scenes/manifest.json", { backend: "cpu" });
        const waiting = kind(inspection.load());
        inspection.close();
        later.push(await waiting, await kind(inspection.load()));
        const crashing = await load();
        const crashed = kind(crashing.link.call("generate", { messages: user("panic"), options }));
        later.push(await crashed, await kind(crashing.link.call("memory", null)));
        await crashing.reload();
        later.push(await kind(crashing.link.call("memory", null)));
        crashing.close();
        return { later, crashes };
      });
      assert.deepEqual(seen.later, ["closed", "closed", "closed", "closed", "closed", "closed", "crash", "crash", "resolved"]);
      assert.deepEqual(seen.crashes, ["crash"]);
    }));

  test("where a worker's script is missing, or no script", async () => {
    for (const [name, text] of [["worker/worker.js", null], ["worker/engine-calls.js", "throw new Error('broken');"], ["worker/loader.js", "this is no script"]]) {
      const { root: fake, remove: removeFake } = await fakeRoot();
      const { root, remove } = await rootWith(async (root) => {
        for (const part of ["worker", "pkg", "models"]) await rm(path.join(root, part), { recursive: true });
        await cp(path.join(www, "worker"), path.join(root, "worker"), { recursive: true });
        for (const part of ["pkg", "models"]) await cp(path.join(fake, part), path.join(root, part), { recursive: true });
        if (text === null) await rm(path.join(root, String(name)));
        else await writeFile(path.join(root, String(name)), String(text));
      });
      const server = await serve(root);
      const browser = await launch({ gpu: false });
      try {
        const visit = await blank(browser, server.url);
        const thrown = await visit.page.evaluate(async () => {
          /** @type {Package} */
          const { LLaVA } = await import(String("/llava/index.js"));
          return LLaVA.load("models/scenes/manifest.json", { backend: "cpu" }).then(() => "loaded", ({ name, kind, message, hint }) => [name, kind, message, hint].join(" | "));
        });
        assert.match(String(thrown), /^LlavaError \| (engine|crash) \| .+ \| .+/, String(name));
        await noWorkers(visit.page);
      } finally {
        await browser.close();
        await server.stop();
        await remove();
        await removeFake();
      }
    }
  });
});
