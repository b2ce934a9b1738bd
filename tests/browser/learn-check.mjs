// The page learn.html in Chromium, as a host serves it: a short run of stage 1, its buttons, what it hands over, and that
// closing it frees everything.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch, open, serve, writeSite, www } from "./harness.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */

/** Steps of the run, and pictures per batch: seconds in place of minutes. */
const STEPS = 24;
const SHORT = `learn.html?steps=${STEPS}&pictures=4&seed=1`;

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */ let server;
/** @type {string} */ let folder;

before(async () => {
  assert(existsSync(path.join(www, "pkg/learn/llava_learn_bg.wasm")), "no module of learn.html: ./build.sh learn builds it");
  folder = await mkdtemp(path.join(tmpdir(), "llava-learn-"));
  writeSite(www, path.join(folder, "site"));
  server = await serve(path.join(folder, "site"));
  browser = await launch({ gpu: false });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Waits until the run is in such a phase. @param {Visit} visit @param {string} phase */
async function reaches({ page }, phase) {
  await page.locator(`#status[data-phase="${phase}"], #status[data-phase="failed"]`).waitFor();
  assert.equal(await page.locator("#status").getAttribute("data-phase"), phase, await page.locator("#status").innerText());
}

/** Returns the numbers of the status line. @param {Visit} visit */
async function told({ page }) {
  const text = await page.locator("#status").innerText();
  const number = (/** @type {RegExp} */ pattern) => Number(pattern.exec(text)?.[1] ?? NaN);
  return { text, step: number(/step (\d+)/), loss: number(/loss ([\d.]+)/), perSecond: number(/([\d.]+) steps per second/), right: number(/right: (\d+) of/) };
}

test("stage 1 learns, pauses, resumes, and hands over what it has learned", async () => {
  const visit = await open(browser, `${server.url}?model=none`);
  const { page } = visit;
  try {
    await page.getByRole("link", { name: "Watch a LLaVA learn to see" }).click();
    await page.goto(`${server.url}${SHORT}`);
    await reaches(visit, "ready");
    assert.equal(await page.locator("#answers li").count(), 4);
    const noise = await page.locator("#answers .given").allInnerTexts();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.locator("#status", { hasText: "step 2," }).waitFor();
    const first = (await told(visit)).loss;
    await page.getByRole("button", { name: "Pause" }).click();
    await page.waitForTimeout(1000);
    const paused = (await told(visit)).step;
    await page.waitForTimeout(1500);
    assert.equal((await told(visit)).step, paused, "a paused run goes on");
    await page.getByRole("button", { name: "Slower" }).click();
    await page.getByRole("button", { name: "Faster" }).click();
    await page.getByRole("button", { name: "Faster" }).click();
    assert.equal(await page.locator("#rate").innerText(), "× 2");
    await page.getByRole("button", { name: "Resume" }).click();
    await reaches(visit, "done");
    const { step, loss, perSecond, text } = await told(visit);
    assert.equal(step, STEPS);
    assert(perSecond > 0, text);
    assert(loss < first - 0.5, `the loss was ${first} and is ${loss}`);
    assert.notDeepEqual(await page.locator("#answers .given").allInnerTexts(), noise);
    const curve = (await page.locator("#curve path.loss").getAttribute("d")) ?? "";
    assert.equal(curve.split("L").length, STEPS);
    assert((await page.locator("#curve text").count()) > 8, "the axes have no numbers");
    await handsOver(visit);
    assert.deepEqual(visit.complaints, []);
    assert.deepEqual(visit.requests.filter((url) => !url.startsWith(server.url) && !/^(blob|data):/.test(url)), []);
  } finally {
    await visit.close();
  }
});

/** Saves the model as a file and for the main page, and asks it there. @param {Visit} visit */
async function handsOver(visit) {
  const { page } = visit;
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save as a file" }).click();
  const file = path.join(folder, "trained.zip");
  await (await downloading).saveAs(file);
  const bytes = await readFile(file);
  assert.equal(bytes.readUInt32LE(0), 0x04034b50);
  assert(bytes.length > 4_000_000 && bytes.includes("manifest.json"));
  await page.getByRole("button", { name: "Keep it for the main page" }).click();
  await page.getByRole("link", { name: "Ask it on the main page" }).click();
  await visit.reaches("ready");
  await page.locator("#examples button").first().click();
  assert((await visit.ask("What do you see?")).length > 0);
}

test("restarting draws another connector, and closing the page ends its workers", async () => {
  const visit = await open(browser, `${server.url}${SHORT}`);
  const { page } = visit;
  try {
    await reaches(visit, "ready");
    const before = await page.locator("#answers .given").allInnerTexts();
    await page.getByRole("button", { name: "Restart with another seed" }).click();
    assert.equal(await page.locator("#seed").inputValue(), "2");
    await reaches(visit, "loading");
    await reaches(visit, "ready");
    assert.notDeepEqual(await page.locator("#answers .given").allInnerTexts(), before);
    assert(page.workers().length >= 1 && page.workers().length <= 2, `${page.workers().length} workers`);
    await page.goto(`${server.url}icon.svg`);
    assert.equal(page.workers().length, 0);
  } finally {
    await visit.close();
  }
});

test("where the module was never built, the page says how to build it", async () => {
  const visit = await open(browser, "about:blank");
  const { page, context } = visit;
  try {
    await context.route(/pkg\/learn\//, (route) => route.fulfill({ status: 404, body: "" }));
    await page.goto(`${server.url}${SHORT}`);
    await page.locator("#status", { hasText: "./build.sh learn" }).waitFor();
  } finally {
    await visit.close();
  }
});
