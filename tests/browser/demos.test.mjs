// The demos in Chromium, as a host serves them, with the engine and the shipped model: alt text for a folder, JSON by a
// schema, what a camera sees, OpenAI's client; and all of them offline. With LLAVA_SCREENSHOT their pictures in src/docs
// are taken, too.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import puppeteer from "puppeteer-core";
import { CHROMIUM, chromiumFlags, launch, open, repository, serve, writeSite, www } from "./harness.mjs";
import { writeVideo } from "./video-file.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */

const DEMOS = ["alt-text", "receipt", "camera", "openai-client"];
const client = path.join(www, "demos/vendor/openai.js");
const PATIENCE = 120_000;

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */ let server;
/** @type {string} */ let folder;

before(async () => {
  if (!existsSync(client)) execFileSync(path.join(repository, "build.sh"), ["demos"], { stdio: "inherit" });
  folder = await mkdtemp(path.join(tmpdir(), "llava-demos-"));
  writeSite(www, path.join(folder, "site"));
  server = await serve(path.join(folder, "site"));
  browser = await launch({ gpu: false });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Opens a demo, and runs `work` on it: what it complains of fails the test, and so does a request to another host.
 * @param {string} name @param {(visit: Visit) => Promise<void>} work */
async function onDemo(name, work) {
  const visit = await open(browser, `${server.url}demos/${name}.html`, { viewport: { width: 780, height: 600 }, colorScheme: "light" });
  try {
    await visit.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await work(visit);
    assert.deepEqual(visit.complaints, []);
    assert.deepEqual(visit.requests.filter((url) => !url.startsWith(server.url) && !/^(blob|data):/.test(url)), []);
  } finally {
    await visit.close();
  }
}

/** Waits until an element has such a text, and returns it. @param {Visit} visit @param {string} selector @param {RegExp} text */
async function textOf({ page }, selector, text) {
  const found = page.locator(selector, { hasText: text });
  await found.waitFor({ state: "attached" }).catch(async () => assert.fail(`${selector} says ${await page.locator(selector).innerText()}, not ${text}`));
  return (await found.textContent()) ?? "";
}
const status = (/** @type {Visit} */ visit, /** @type {RegExp} */ text) => textOf(visit, "#status", text);

/** Takes a picture for the documentation; a run that only checks must not change the tree.
 * @param {Pick<import("playwright-core").Page, "screenshot"> | import("puppeteer-core").Page} page @param {string} name */
async function picture(page, name) {
  if (process.env.LLAVA_SCREENSHOT) await page.screenshot({ path: path.join(repository, `src/docs/demo-${name}.png`), fullPage: true });
}

describe("every demo", () => {
  for (const name of DEMOS)
    test(`${name} is less than 60 lines that import the package only`, async () => {
      const source = await readFile(path.join(www, `demos/${name}.js`), "utf8");
      assert(source.trimEnd().split("\n").length < 60);
      assert.deepEqual([...source.matchAll(/^import .* from "(.*)";$/gm)].map((found) => found[1]), ["../llava/index.js"]);
    });

  test("has the page's security policy", async () => {
    const policyOf = async (/** @type {string} */ name) => /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(await readFile(path.join(www, name), "utf8"))?.[1];
    for (const name of ["index", ...DEMOS]) assert.equal(await policyOf(`demos/${name}.html`), await policyOf("index.html"), name);
  });

  test("is reached from the page, and lists models for photographs", async () => {
    const visit = await open(browser, `${server.url}?model=none`);
    await visit.page.getByRole("link", { name: "For developers: demos" }).click();
    const links = await visit.page.locator("main li a").evaluateAll((found) => found.map((link) => /** @type {HTMLAnchorElement} */ (link).href));
    assert.deepEqual(links, DEMOS.map((name) => `${server.url}demos/${name}.html`));
    for (const link of links) {
      await visit.page.goto(link);
      await visit.page.locator("#model option", { hasText: /SmolVLM 256M \(279 MB\)/ }).waitFor({ state: "attached" });
      assert.match((await visit.page.locator("#model option").first().textContent()) ?? "", /drawings of shapes and things only/);
    }
    await visit.close();
  });
});

describe("alt text for a folder", () => {
  /** A folder of pictures, one deeper than another, one that is none, and a file of another kind. @returns {Promise<string>} */
  async function photos() {
    const photos = path.join(await mkdtemp(path.join(folder, "alt-")), "photos");
    await mkdir(path.join(photos, "more"), { recursive: true });
    await cp(path.join(www, "examples/shapes.png"), path.join(photos, "shapes.png"));
    await cp(path.join(www, "examples/by-hand.png"), path.join(photos, 'more/"squares", drawn.png'));
    await writeFile(path.join(photos, "broken.png"), "no picture");
    await writeFile(path.join(photos, "notes.txt"), "no picture either");
    return photos;
  }
  /** Texts by path. @param {Visit} visit @returns {Promise<Record<string, string>>} */
  const texts = ({ page }) => page.locator("#pictures tr").evaluateAll((rows) => Object.fromEntries(rows.map((row) => [...row.children].slice(1, 3).map((cell) => cell.textContent ?? ""))));

  test("describes its pictures, gives a table, and goes on after a reload", () =>
    onDemo("alt-text", async (visit) => {
      const { page } = visit;
      const chosen = await photos();
      await page.locator("#files").setInputFiles(chosen);
      await status(visit, /^0 of 3 pictures/);
      await page.locator("#start").click();
      await status(visit, /^2 of 3 pictures/);
      await page.locator("td[data-error]").waitFor();
      const found = await texts(visit);
      assert.deepEqual(Object.keys(found).sort(), ['photos/broken.png', 'photos/more/"squares", drawn.png', "photos/shapes.png"]);
      const [squares, shapes] = [found['photos/more/"squares", drawn.png'] ?? "", found["photos/shapes.png"] ?? ""];
      assert.match(shapes, /green (circle|star)/);
      assert.match(squares, /square/);
      assert.match(squares, /red|green|orange/);
      assert.equal(found["photos/broken.png"], "");
      assert.deepEqual(await page.locator("#progress").evaluate((bar) => [/** @type {HTMLProgressElement} */ (bar).value, /** @type {HTMLProgressElement} */ (bar).max]), [2, 3]);

      const rows = Object.entries(found).filter(([, text]) => text).map(([file, text]) => `"${file.replaceAll('"', '""')}","${text}"`);
      const table = ['"file","alt text"', ...rows].join("\r\n");
      const download = page.waitForEvent("download");
      await page.locator("#save").click();
      assert.equal(await readFile(await (await download).path(), "utf8"), table);
      assert.equal((await download).suggestedFilename(), "alt-text.csv");
      const copied = () => page.evaluate(() => navigator.clipboard.readText());
      await page.locator("#copy").click();
      assert.equal((await copied()).replaceAll("\r\n", "\n"), table.replaceAll("\r\n", "\n"));
      await page.locator("#pictures tr", { hasText: "photos/shapes.png" }).getByRole("button").click();
      assert.equal(await copied(), shapes);

      // A text that the model would not write shows that the picture is not described again.
      await page.evaluate((own) => {
        for (const key of Object.keys(localStorage)) if (key.includes("shapes.png")) localStorage.setItem(key, own);
      }, "My own words");
      await page.reload();
      await page.locator("#files").setInputFiles(chosen);
      await status(visit, /^2 of 3 pictures/);
      assert.equal((await texts(visit))["photos/shapes.png"], "My own words");
      // The picture of another folder comes last: when it is described, the run has passed all others.
      await cp(path.join(www, "examples/word.png"), path.join(chosen, "../new/word.png"));
      await page.locator("#files").setInputFiles(path.join(chosen, "../new"));
      await status(visit, /^2 of 4 pictures/);
      await page.locator("#start").click();
      await status(visit, /^3 of 4 pictures/);
      const again = await texts(visit);
      assert.match(again["new/word.png"] ?? "", /word|text|cross|circle/);
      assert.deepEqual({ ...again, "new/word.png": "" }, { ...found, "photos/shapes.png": "My own words", "new/word.png": "" });
      // Another question has no texts yet.
      await page.locator("#question").fill("What color is the largest shape?");
      await page.locator("#question").blur();
      await status(visit, /^0 of 4 pictures/);
    }));

  test("stops, and goes on with the next picture", () =>
    onDemo("alt-text", async (visit) => {
      const { page } = visit;
      await page.getByRole("button", { name: "Four examples" }).click();
      await status(visit, /^0 of 4 pictures/);
      await page.evaluate(() => {
        const [first, stop] = [document.querySelector("#pictures td:nth-child(3)"), /** @type {HTMLButtonElement} */ (document.querySelector("#stop"))];
        if (first) new MutationObserver(() => stop.click()).observe(first, { childList: true });
      });
      await page.locator("#start").click();
      await status(visit, /^Stopped\.$/);
      const before = await texts(visit);
      const done = Object.values(before).filter(Boolean).length;
      assert(done >= 1 && done < 4, JSON.stringify(before));
      await page.reload();
      await page.getByRole("button", { name: "Four examples" }).click();
      await status(visit, new RegExp(`^${done} of 4 pictures`));
      await page.locator("#start").click();
      await status(visit, /^4 of 4 pictures/);
      assert.match((await texts(visit))["outlines.png"] ?? "", /square|star|triangle|cross/);
      await picture(page, "alt-text");
    }));

  test("takes a folder from the directory picker", () =>
    onDemo("alt-text", async (visit) => {
      await visit.page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
        const deeper = await folder.getDirectoryHandle("deeper", { create: true });
        const writable = await (await deeper.getFileHandle("shapes.png", { create: true })).createWritable();
        await (await fetch(new URL("../examples/shapes.png", document.querySelector("script")?.src))).body?.pipeTo(writable);
        Object.assign(window, { showDirectoryPicker: async () => folder });
      });
      await visit.page.getByRole("button", { name: "Choose a folder" }).click();
      await status(visit, /^0 of 1 pictures/);
      assert.deepEqual(Object.keys(await texts(visit)), ["picked/deeper/shapes.png"]);
    }));
});

describe("a receipt to JSON", () => {
  /** A stand-in for the package whose model answers with these words. @param {Visit} visit @param {string[]} words */
  async function standIn({ page }, words) {
    const body = `const chunk = (content) => ({ choices: [{ delta: { content }, finish_reason: content.endsWith("}") ? "stop" : content.endsWith("…") ? "length" : null }] });
      const create = async (request) => (Object.assign(window, { request }), (async function* () { for (const word of ${JSON.stringify(words)}) { await new Promise((resolve) => setTimeout(resolve, 50)); yield chunk(word); } })());
      export const LLaVA = { load: async () => ({ files: async () => [], close() {}, chat: { completions: { create } } }), suitable: async () => [] };`;
    await page.route(/\/llava\/index\.js$/, (route) => route.fulfill({ contentType: "text/javascript", body }));
    await page.reload();
    await page.locator("#picture[src]").waitFor();
    await page.evaluate(() => {
      const answer = document.querySelector("#answer") ?? document.body;
      /** @type {string[]} */
      const shown = [];
      new MutationObserver(() => shown.push(answer.textContent ?? "")).observe(answer, { childList: true });
      Object.assign(window, { shown });
    });
    await page.locator("#start").click();
  }
  /** The schema in the field. @param {Visit} visit */
  const schemaOf = async ({ page }) => JSON.parse(await page.locator("#schema").inputValue());

  test("with a stand-in for the model: the schema is sent, the answer is shown as it arrives and checked", () =>
    onDemo("receipt", async (visit) => {
      await standIn(visit, ['{"color": "green"', ', "shape": "circle"', ', "count": 1}']);
      await status(visit, /^The answer meets the schema\.$/);
      const shown = await visit.page.evaluate(() => /** @type {any} */ (window).shown);
      const whole = '{"color": "green", "shape": "circle", "count": 1}';
      assert.deepEqual(shown.slice(-4), ['{"color": "green"', '{"color": "green", "shape": "circle"', whole, JSON.stringify(JSON.parse(whole), null, 2)]);
      const { response_format, stream } = /** @type {any} */ (await visit.page.evaluate("({ ...request, messages: [] })"));
      assert.deepEqual(response_format, { type: "json_schema", json_schema: { schema: await schemaOf(visit) } });
      assert.equal(stream, true);
    }));

  test("with a stand-in for the model: what breaks the schema is named", () =>
    onDemo("receipt", async (visit) => {
      await standIn(visit, ['{"color": "pink", "count": 10, "size": 1}']);
      const said = await status(visit, /breaks the schema/);
      for (const fault of ["answer lacks shape", "answer.color is none of the allowed values", "answer.count is out of bounds", "answer has size"]) assert(said.includes(fault), said);
      await visit.page.locator("#kind").selectOption("receipt");
      assert.deepEqual(Object.keys((await schemaOf(visit)).properties), ["merchant", "date", "items", "total", "currency"]);
      assert.equal(await visit.page.locator("#question").inputValue(), "Read this receipt.");
      await visit.page.locator("#schema").fill("{");
      await visit.page.locator("#start").click();
      await status(visit, /JSON/);
    }));

  test("with a stand-in for the model: an answer that was cut is called so", () =>
    onDemo("receipt", async (visit) => {
      await standIn(visit, ['{"color": "gr…']);
      await status(visit, /^The answer was cut/);
    }));

  // What the shipped model says in JSON is seldom true: it has never seen any, and its card says so.
  test("with the engine: the answer meets the schema", () =>
    onDemo("receipt", async (visit) => {
      await visit.page.locator("#picture[src]").waitFor();
      await visit.page.locator("#start").click();
      await status(visit, /^The answer meets the schema\.$/);
      const { color, shape, count } = JSON.parse((await visit.page.locator("#answer").textContent()) ?? "");
      const { properties } = await schemaOf(visit);
      assert(properties.color.enum.includes(color) && properties.shape.enum.includes(shape), `${color} ${shape}`);
      assert(Number.isInteger(count));
      await picture(visit.page, "receipt");
      // The model knows no receipts: only the form of what it says of one can be right.
      await visit.page.locator("#kind").selectOption("receipt");
      await visit.page.locator("#start").click();
      await textOf(visit, "#answer", /^\{\s*"merchant"\s*:\s*"/);
      await status(visit, /^The answer (meets the schema|was cut: it is longer than its limit)\.$/);
    }));
});

describe("what the camera sees", () => {
  // Puppeteer leaves a page that another one covers hidden; Playwright does not.
  test("is said again and again, until the page is hidden, which frees the camera", async () => {
    const video = await writeVideo(browser, path.join(www, "examples/shapes.png"), path.join(folder, "shapes.y4m"));
    const camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-video-capture=${video}`];
    const other = await puppeteer.launch({ executablePath: CHROMIUM ?? "", headless: true, args: [...chromiumFlags(false), ...camera] });
    try {
      const page = await other.newPage();
      await page.setViewport({ width: 780, height: 600 });
      await page.goto(`${server.url}demos/camera.html`);
      await page.evaluate(() => {
        const { mediaDevices } = navigator;
        const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
        mediaDevices.getUserMedia = async (asked) => Object.assign(window, { stream: await getUserMedia(asked) }).stream;
      });
      const says = (/** @type {string} */ id, /** @type {string} */ pattern) => page.waitForFunction((id, pattern) => new RegExp(pattern).test(document.getElementById(id)?.textContent ?? ""), { timeout: PATIENCE }, id, pattern);
      const state = () => page.evaluate(() => ({ hidden: document.hidden, tracks: /** @type {any} */ (window).stream.getTracks().map((/** @type {MediaStreamTrack} */ track) => track.readyState), source: document.querySelector("video")?.srcObject === null, status: document.getElementById("status")?.textContent ?? "" }));
      await page.click("#start");
      await says("status", "^[3-9] captions, [0-9.]+ per second");
      await says("caption", "(green|yellow) (circle|star|triangle)s?");
      assert.deepEqual({ ...(await state()), status: "" }, { hidden: false, tracks: ["live"], source: false, status: "" });
      await picture(page, "camera");

      const cover = await other.newPage();
      await cover.bringToFront();
      await page.waitForFunction(() => document.hidden, { timeout: PATIENCE, polling: 50 });
      await page.waitForFunction(() => document.getElementById("status")?.textContent === "Stopped.", { timeout: PATIENCE, polling: 50 });
      assert.deepEqual(await state(), { hidden: true, tracks: ["ended"], source: true, status: "Stopped." });
      await page.bringToFront();
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.deepEqual((await state()).tracks, ["ended"], "it does not start by itself");
      await page.click("#start");
      await says("status", "^[1-9] captions");
      await page.click("#stop");
      await says("status", "^Stopped");
      assert.deepEqual((await state()).tracks, ["ended"]);
    } finally {
      await other.close();
    }
  });
});

describe("OpenAI's own client", () => {
  test("answers about a picture, and sends nothing", () =>
    onDemo("openai-client", async (visit) => {
      await visit.page.locator("#picture[src]").waitFor();
      await visit.page.locator("#start").click();
      await status(visit, /^\S.*: \d+ tokens read, \d+ written\.$/);
      assert.match((await visit.page.locator("#answer").textContent()) ?? "", /green (circle|star)/);
      assert.deepEqual(visit.requests.filter((url) => /\/v1\//.test(url)), []);
      await picture(visit.page, "openai-client");
    }));

  test("is named where the page lacks it", () =>
    onDemo("openai-client", async (visit) => {
      await visit.page.route(/vendor\/openai\.js$/, (route) => route.fulfill({ status: 404 }));
      await visit.page.locator("#start").click();
      await status(visit, /\.\/build\.sh demos builds it/);
    }));
});

describe("without a network", () => {
  test("a demo answers once it has answered, and the others open", async () => {
    const own = await serve(path.join(folder, "site"));
    const visit = await open(browser, `${own.url}demos/openai-client.html`);
    try {
      const { page } = visit;
      for (const name of ["openai-client", "receipt"]) {
        await page.goto(`${own.url}demos/${name}.html`);
        await page.locator("#picture[src]").waitFor();
        await page.locator("#start").click();
        await textOf(visit, "#offline", /works offline/);
      }
      await own.stop();
      await page.reload();
      await page.locator("#picture[src]").waitFor();
      await page.locator("#start").click();
      await status(visit, /^The answer meets the schema\.$/);
      await page.goto(`${own.url}demos/alt-text.html`);
      await page.getByRole("button", { name: "Four examples" }).click();
      await status(visit, /^0 of 4 pictures/);
      await page.locator("#start").click();
      await status(visit, /^4 of 4 pictures/);
      await page.goto(`${own.url}demos/openai-client.html?again`);
      await page.locator("#picture[src]").waitFor();
      await page.locator("#start").click();
      await status(visit, /tokens read/);
      assert.match((await page.locator("#answer").textContent()) ?? "", /green (circle|star)/);
      for (const name of ["index", "camera"]) {
        await page.goto(`${own.url}demos/${name}.html`);
        assert.match(await page.title(), /a demo of llava-web$/);
        if (name !== "index") await page.locator("#model option", { hasText: "SmolVLM" }).first().waitFor({ state: "attached" });
      }
      assert.deepEqual(visit.complaints, []);
    } finally {
      await visit.close();
      await own.stop();
    }
  });
});
