// The page against a stand-in engine: everything between a person and the engine, and failures that a real engine
// cannot produce on demand.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { open, serve, withFake, www } from "./harness.mjs";

const EXAMPLE = path.join(www, "examples/shapes.png");

/** A manifest that says it is large; its parts are not. */
const BIG = { total_bytes: 4e9 };

describe("the page with a stand-in engine", () => {
  test("an answer streams, stops, is made again, and a second turn follows", () =>
    withFake({ slow: 60 }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(EXAMPLE);
      await visit.reaches("encoding");
      // Asked while the picture is being encoded: the question waits.
      assert.match(await visit.ask("one two three"), /^You asked: one two three \(1 image, turn 1\)/);
      await visit.at("question").fill("a b c d e f g h i j k l m n o p q r s t u v w x y z");
      await visit.page.keyboard.press("Enter");
      await visit.page.locator("[data-testid=answer]").nth(1).getByText("a b").waitFor();
      assert.equal(await visit.at("status").getAttribute("data-state"), "generating");
      await visit.at("stop").click();
      const stopped = await visit.answered("stopped");
      assert(!stopped.includes("x y z"), "it stopped before the end");
      assert.match(await visit.page.locator(".turn").last().innerText(), /\d+ tokens · [\d.]+ tokens\/s · first after .* · 16 of 20 prompt tokens already computed · stopped by you/);
      await visit.at("regenerate").click();
      assert.match(await visit.answered(), /x y z \(1 image, turn 2\)/);
      assert.equal(await visit.at("answer").count(), 2);
      assert.deepEqual(visit.complaints, []);
      assert(visit.requests.every((request) => request.startsWith(url) || request.startsWith("blob:")), "only its own files");
    }));

  test("a picture attached during an answer waits for the next question", () =>
    withFake({ slow: 60 }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(EXAMPLE);
      await visit.at("question").fill("a b c d e f g h i j k l m n o p q r s t u v w x y z");
      await visit.reaches("ready");
      await visit.at("send").click();
      await visit.at("answer").getByText("a b c").waitFor(); // not only the question
      await visit.show(EXAMPLE);
      assert.match(await visit.answered(), /x y z \(1 image, turn 1\)/);
      assert.match(await visit.ask("and now"), /and now \(2 image, turn 2\)/);
      assert.equal(await visit.page.locator(".note").count(), 0);
    }));

  test("the model's words are text, whatever they look like", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(EXAMPLE);
      await visit.reaches("ready");
      assert.match(await visit.ask("<img src=x onerror=alert(1)> </s>"), /<img src=x onerror=alert\(1\)> <\/s>/);
      assert.equal(await visit.at("answer").locator("img").count(), 0);
    }));

  test("shaders are compiled while the model is downloaded, one at a time, and counted", () =>
    withFake({ shaders: 9, compile_ms: 120, push_ms: 20 }, async ({ browser, url }) => {
      const visit = await open(browser, "about:blank");
      await visit.page.addInitScript(() => {
        const said = /** @type {string[]} */ (Object.assign(window, { said: [] }).said);
        new MutationObserver(() => said.push(document.querySelector("#status-text")?.textContent ?? "")).observe(document, { childList: true, characterData: true, subtree: true });
      });
      await visit.page.goto(url);
      await visit.reaches("ready");
      const said = await visit.page.evaluate(() => /** @type {any} */ (window).said);
      const counted = [...new Set(said.map((/** @type {string} */ words) => /shaders: (\d) of 9/.exec(words)?.[1]).filter(Boolean))];
      assert(counted.length > 3, `${counted}`);
      assert.deepEqual(counted, counted.toSorted(), "in order");
      assert(said.some((/** @type {string} */ words) => /Compiling shaders: \d of 9. Downloading: /.test(words)), said.join("; "));
    }));

  test("a shader that the driver refuses ends loading in words", () =>
    withFake({ shaders: 5, compile_ms: 20, push_ms: 20, bad_shader: 2 }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /the driver refuses it/);
    }));

  test("the GPU is left alone where the CPU is wanted", () =>
    withFake({}, async ({ browser, url }) => {
      for (const [backend, asks] of /** @type {const} */ ([["cpu", false], ["webgpu", true]])) {
        const visit = await open(browser, "about:blank", { serviceWorkers: "block" });
        await visit.page.addInitScript(() => {
          const requestAdapter = async () => (Object.assign(window, { asked: true }), null);
          Object.defineProperty(navigator, "gpu", { value: { requestAdapter } });
        });
        await visit.page.goto(`${url}?backend=${backend}`);
        await visit.reaches("ready");
        assert.equal(await visit.page.evaluate(() => "asked" in window), asks, backend);
        await visit.close();
      }
    }));

  test("what else the address asks for stays in it", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?bench&backend=cpu`, { serviceWorkers: "block" });
      await visit.reaches("ready", "measuring");
      await visit.page.reload();
      await visit.reaches("ready", "measuring");
      const { searchParams } = new URL(visit.page.url());
      assert.deepEqual([searchParams.has("bench"), searchParams.get("backend")], [true, "cpu"]);
    }));

  test("a damaged part is named, and Retry fetches only that part", () =>
    withFake({}, async ({ browser, url, root }) => {
      const bad = path.join(root, "models/scenes/3.bin");
      await writeFile(bad, Buffer.alloc(1000, 0xff));
      const visit = await open(browser, url);
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /3\.bin/);
      assert.equal(await visit.at("status").getAttribute("data-state"), "error");
      await writeFile(bad, Buffer.alloc(1000, 3));
      visit.requests.length = 0;
      await visit.page.getByRole("button", { name: "Retry" }).click();
      await visit.page.locator("[data-testid=status][data-state=ready]").waitFor();
      const shards = visit.requests.filter((request) => request.endsWith(".bin"));
      assert.deepEqual([...new Set(shards)], [`${url}models/scenes/3.bin`]);
    }));

  for (const [question, words] of [["panic", /panicked at/], ["gpu", /device was lost/]]) {
    test(`after "${question}" the model can be started again`, () =>
      withFake({}, async ({ browser, url }) => {
        const visit = await open(browser, url);
        await visit.show(EXAMPLE);
        await visit.reaches("ready");
        await visit.at("question").fill(String(question));
        await visit.at("send").click();
        await visit.at("error").waitFor();
        assert.match(await visit.errorText(), /** @type {RegExp} */ (words));
        await visit.answered("error");
        await visit.page.getByRole("button", { name: "Use the CPU instead" }).click();
        await visit.page.locator("[data-testid=backend][data-backend=cpu]").waitFor();
        await visit.page.locator("[data-testid=status][data-state=ready]").waitFor();
        assert.match(await visit.ask("again"), /again \(1 image, turn 1\)/);
      }));
  }

  test("Retry after a GPU that gave up opens a new one and asks again", () =>
    withFake({}, async ({ browser, url }) => {
      // Without the service worker: its own requests are not the page's.
      const visit = await open(browser, `${url}?backend=webgpu`, { serviceWorkers: "block" });
      await visit.show(EXAMPLE);
      await visit.reaches("ready");
      await visit.at("question").fill("gpu");
      await visit.at("send").click();
      await visit.at("error").waitFor();
      const workers = () => visit.requests.filter((request) => request.endsWith("worker/worker.js")).length;
      assert.equal(workers(), 1);
      await visit.page.getByRole("button", { name: "Retry" }).click();
      await visit.at("error").waitFor({ state: "hidden" });
      await visit.at("error").waitFor();
      assert.equal(workers(), 2);
      assert.equal(await visit.at("answer").count(), 1);
    }));

  test("a full context is said in numbers and is not the end", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(EXAMPLE);
      await visit.reaches("ready");
      await visit.at("question").fill("full");
      await visit.at("send").click();
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /600 tokens do not fit in 512/);
      assert.match(await visit.ask("shorter"), /shorter/);
      assert(await visit.at("error").isHidden());
    }));

  test("a large model is not downloaded before the person agrees", () =>
    withFake(BIG, async ({ browser, url }) => {
      const visit = await open(browser, url);
      const consent = visit.page.getByRole("button", { name: "Download and load" });
      await consent.waitFor();
      assert.match(await visit.page.locator("#offer").innerText(), /4\.0 GB/);
      assert(!visit.requests.some((request) => request.endsWith(".bin")));
      await consent.click();
      await visit.reaches("ready");
    }));

  test("a model on another host: refused in words, or allowed by the server", () =>
    withFake({}, async ({ browser, url, root }) => {
      /** @type {string[]} */
      const asked = [];
      const host = createServer(async (request, response) => {
        asked.push(String(request.url));
        response.setHeader("access-control-allow-origin", "*");
        response.end(await readFile(path.join(root, "models/scenes", path.basename(request.url ?? ""))));
      });
      await new Promise((resolve) => host.listen(0, "127.0.0.1", () => resolve(null)));
      const origin = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (host.address()).port}`;
      const allowing = await serve(root, ["--model-host", origin]);
      try {
        const refused = await open(browser, `${url}?model=${origin}/manifest.json`);
        await refused.at("error").waitFor();
        assert.match(await refused.errorText(), new RegExp(`--model-host ${origin}`));
        assert.deepEqual(asked, []);
        const allowed = await open(browser, `${allowing.url}?model=${origin}/manifest.json`);
        await allowed.reaches("ready");
        assert.equal(asked.filter((name) => name === "/5.bin").length, 1);
      } finally {
        await allowing.stop();
        host.close();
      }
    }));

  test("what is not a picture is refused in words", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.page.locator("[data-testid=status][data-state=ready]").waitFor();
      await visit.show({ name: "notes.txt", mimeType: "image/png", buffer: Buffer.from("hello") });
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /not a PNG/);
      await visit.show(EXAMPLE);
      await visit.page.locator("[data-testid=status][data-state=ready]").waitFor();
      assert(await visit.at("error").isHidden());
    }));

  test("the whole way by keyboard, drawing included", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      const { page } = visit;
      await visit.reaches("ready");
      /** @param {string} selector */
      const tabTo = async (selector) => {
        for (let i = 0; i < 60; i++) {
          await page.keyboard.press("Tab");
          if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
        }
        assert.fail(`${selector} cannot be reached with Tab`);
      };
      await tabTo("#mode-draw");
      await page.keyboard.press("Enter");
      await page.locator("#canvas:focus").waitFor();
      for (const key of ["Space", "ArrowRight", "ArrowRight", "ArrowDown", "Space"]) await page.keyboard.press(key);
      await tabTo("#use-drawing");
      await page.keyboard.press("Enter");
      await page.locator("#question:focus").waitFor();
      await page.keyboard.type("by keyboard");
      await page.keyboard.press("Enter");
      assert.match(await visit.answered(), /by keyboard/);
      await tabTo("#regenerate");
      await page.keyboard.press("Enter");
      assert.match(await visit.answered(), /by keyboard/);
    }));

  test("a question is prefilled while it is being typed", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      // Without a picture, too.
      await visit.at("question").fill("early");
      await visit.page.waitForTimeout(400);
      await visit.at("question").fill("");
      await visit.page.waitForTimeout(400);
      await visit.show(EXAMPLE);
      await visit.reaches("ready");
      // In one step, not key by key: on a busy machine the time between two keys may be as long as a pause.
      await visit.at("question").fill("one two ");
      await visit.page.waitForTimeout(400);
      await visit.at("question").fill("one two three");
      await visit.page.waitForTimeout(400);
      const suggestion = visit.page.locator(".suggestion").first();
      await suggestion.hover();
      await visit.page.waitForTimeout(100);
      const drafts = `early/one two/one two three/${await suggestion.innerText()}`;
      assert.equal((await visit.ask("drafts?")).replace(/ \(.*/, ""), `You asked: ${drafts}`);
      await visit.close();
    }));

  test("a question typed before the model and the picture are ready is prefilled as soon as they are", () =>
    withFake({ shaders: 6, compile_ms: 150, slow: 60 }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.at("question").fill("early bird");
      await visit.page.waitForTimeout(200);
      assert.equal(await visit.at("status").getAttribute("data-state"), "loading");
      await visit.show(EXAMPLE);
      await visit.reaches("encoding");
      await visit.reaches("ready");
      await visit.page.waitForTimeout(100);
      assert.match(await visit.ask("drafts?"), /^You asked: early bird \(/);
    }));

  test("?bench shows a table, or says why there is none", async () => {
    await withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?bench`);
      await visit.page.locator("[data-testid=bench][data-state=done]").waitFor();
      assert.match(await visit.at("bench").innerText(), /\nbackend,part,what\nwebgpu,stage,decode\n/);
      await visit.show(EXAMPLE);
      assert.match(await visit.ask("well"), /well/);
      await visit.close();
    });
    await withFake({ wrong: true }, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?bench`);
      await visit.page.locator("[data-testid=bench][data-state=failed]").waitFor();
      assert.match(await visit.at("error").innerText(), /matmul computes wrongly/);
      await visit.close();
    });
  });

  test("how the GPU computes is remembered for the next visit", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?backend=webgpu&bench`, { serviceWorkers: "block" });
      await visit.page.locator("[data-testid=bench][data-state=done]").waitFor();
      assert.match(await visit.at("bench").innerText(), /"given":""/);
      await visit.page.goto(`${url}?backend=webgpu&bench`);
      await visit.page.locator("[data-testid=bench][data-state=done]").waitFor();
      assert.match(await visit.at("bench").innerText(), /"given":"{\\"lanes\\":8/);
      await visit.close();
    }));

  test("all modules of the page are requested together", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url, { serviceWorkers: "block" });
      await visit.reaches("ready");
      const named = await visit.page.locator("link[rel=modulepreload]").evaluateAll((links) => links.map((link) => /** @type {HTMLLinkElement} */ (link).href));
      const loaded = await visit.page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
      const modules = loaded.filter((name) => /\/((page|llava|shared)\/[^/]+|pkg\/builds)\.js$/.test(name));
      assert.deepEqual([...new Set(modules)].sort(), [...named].sort());
      await visit.close();
    }));

  test("what blocks drawing is requested before the modules", async () => {
    const head = /<head>[^]*<\/head>/.exec(await readFile(path.join(www, "index.html"), "utf8"))?.[0] ?? "";
    const blocking = [...head.matchAll(/<link rel="stylesheet"|<script src=/g)].map(({ index }) => index);
    assert.equal(blocking.length, 3);
    assert(Math.max(...blocking) < head.indexOf('rel="modulepreload"'), "a host of HTTP/1.1 sends six files at a time, in this order");
  });

  test("all modules of the engine's workers are requested together", async () => {
    /** @param {string} file */
    const imported = async (file) => {
      const text = await readFile(file, "utf8");
      return [...text.matchAll(/^import\s[^"]*"(\.[^"]+)";$/gm)].map((match) => path.resolve(path.dirname(file), match[1] ?? ""));
    };
    for (const name of ["worker.js", "worker-threads.js"]) {
      const named = await imported(path.join(www, "worker", name));
      const reached = new Set(named);
      for (const file of reached) for (const next of await imported(file)) reached.add(next);
      assert(reached.size > 20);
      assert.deepEqual([...named].sort(), [...reached].sort(), name);
    }
  });

  test("settings reach the engine and survive a visit", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.page.getByRole("button", { name: "Settings" }).click();
      await visit.page.getByLabel("Longest answer, tokens").fill("2");
      await visit.page.getByRole("button", { name: "Done" }).click();
      await visit.show(EXAMPLE);
      assert.equal(await visit.ask("one two three"), "You asked:");
      await visit.page.reload();
      await visit.reaches("ready");
      await visit.page.getByRole("button", { name: "Settings" }).click();
      assert.equal(await visit.page.getByLabel("Longest answer, tokens").inputValue(), "2");
    }));
});
