// The size of pictures that are cut into tiles: the default that suits the machine, the choice in the settings, what is
// remembered, and the progress by tiles. First with the stand-in engine, then with the engine itself.

import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fakeRoot, launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */

const EXAMPLE = path.join(www, "examples/shapes.png");
const SIZES = [
  { longest_edge: 512, tiles: 1, rows: 67 },
  { longest_edge: 1024, tiles: 5, rows: 337 },
  { longest_edge: 2048, tiles: 13, rows: 862 },
];

/** @param {number} tile_seconds */
const probe = (tile_seconds) => ({ decode_tokens_per_second: 40, prefill_rows_per_second: 300, tile_seconds, fits: true, message: "" });
/** A model with these sizes. @param {number} tile_seconds @param {object} [more] */
const tiled = (tile_seconds, more = {}) => ({ picture_sizes: SIZES, longest_edge: 2048, probe: probe(tile_seconds), ...more });

describe("the size of pictures", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  before(async () => void (browser = await launch({ gpu: false })));
  after(() => browser?.close());

  /** @param {object} manifest @param {(visit: Visit) => Promise<void>} body */
  async function withModel(manifest, body) {
    const { root, remove } = await fakeRoot(manifest);
    const server = await serve(root);
    try {
      const visit = await open(browser, `${server.url}?backend=webgpu`, { serviceWorkers: "block" });
      await body(visit);
      assert.deepEqual(visit.complaints, []);
      await visit.close();
    } finally {
      await server.stop();
      await remove();
    }
  }

  /** Opens the settings. @param {Visit} visit */
  async function settings({ page }) {
    await page.locator("#open-settings").click();
    return page.locator("#settings");
  }
  /** @param {Visit} visit */
  const closeSettings = ({ page }) => page.getByRole("button", { name: "Done" }).click();
  /** @param {Visit} visit */
  const options = (visit) => visit.page.locator("#settings-picture-size option").allInnerTexts();

  test("the default is the largest at which a picture takes under 10 s, or the smallest; measured once", async () => {
    for (const [seconds, edge, reason] of /** @type {const} */ ([
      [1.5, 1024, "chosen so that a picture takes under 10 s here"],
      [0.5, 2048, "chosen so that a picture takes under 10 s here"],
      [30, 512, "the smallest: a picture takes more than 10 s here at every size"],
    ])) {
      await withModel(tiled(seconds), async (visit) => {
        await visit.reaches("ready");
        assert.match(await visit.ask("size?"), new RegExp(`${edge} after 1 probes`));
        await visit.page.locator("#machine", { hasText: `${edge} pixels, ${reason}` }).waitFor({ state: "attached" });
        await visit.page.reload();
        await visit.reaches("ready");
        assert.match(await visit.ask("size?"), new RegExp(`${edge} after 0 probes`), "the pace is remembered");
      });
    }
  });

  test("without an estimate the checkpoint's own size is used", () =>
    withModel(tiled(0, { longest_edge: 1024 }), async (visit) => {
      await visit.reaches("ready");
      assert.match(await visit.ask("size?"), /1024 after 1 probes/);
    }));

  test("nothing is measured and nothing offered for a model of one size", async () => {
    for (const manifest of [{}, tiled(1.5, { picture_sizes: SIZES.slice(2) })]) {
      await withModel(manifest, async (visit) => {
        await visit.reaches("ready");
        assert.match(await visit.ask("size?"), /after 0 probes/);
        await settings(visit);
        assert(await visit.page.locator("#settings").getByLabel("Picture size").isHidden());
      });
    }
  });

  test("the settings change it: the engine is given the conversation again, and the next visit has the choice", () =>
    withModel(tiled(1.5), async (visit) => {
      const { page } = visit;
      await visit.reaches("ready");
      await visit.show(EXAMPLE);
      await visit.ask("first");
      await settings(visit);
      const choice = page.locator("#settings").getByLabel("Picture size");
      assert.equal(await choice.inputValue(), "1024");
      await page.locator("#settings-picture-note", { hasText: "1024 pixels: chosen so that a picture takes under 10 s here." }).waitFor();
      await choice.selectOption("2048");
      await page.locator("#settings-picture-note", { hasText: "2048 pixels: as you chose." }).waitFor();
      await closeSettings(visit);
      await visit.reaches("ready");
      assert.match(await visit.ask("size?"), /2048 after 1 probes \(1 image, turn 2\)/);
      const { turns, pending } = JSON.parse(await visit.ask("what is held"));
      assert.deepEqual([turns.map((/** @type {any} */ turn) => [turn.question, turn.images]), pending], [[["first", 1], ["size?", 0]], 0]);
      await page.locator("#machine", { hasText: "64 × 64, 13 tiles, 16 tokens" }).waitFor({ state: "attached" });
      await page.reload();
      await visit.reaches("ready");
      await page.locator("#new-chat").click();
      assert.match(await visit.ask("size?"), /2048 after 0 probes/);
      await settings(visit);
      assert.equal(await choice.inputValue(), "2048");
      await page.locator("#settings-picture-note", { hasText: "as you chose" }).waitFor();
    }));

  test("the costs are estimated, and measured once a picture is encoded", () =>
    withModel(tiled(1.5, { slow: 100 }), async (visit) => {
      await visit.reaches("ready");
      await settings(visit);
      assert.deepEqual(await options(visit), [
        "512 pixels: about 1.7 s a picture",
        "1024 pixels: about 8.6 s a picture",
        "2048 pixels: about 22 s a picture",
      ]);
      await closeSettings(visit);
      await visit.show(EXAMPLE);
      await visit.reaches("encoding");
      await visit.reaches("ready");
      const [, middle = "", large = ""] = await options(visit);
      // Five tiles of 100 ms.
      const seconds = (/** @type {string} */ text) => Number(/about ([\d.]+) (?:m?s)/.exec(text)?.[1]) / (text.includes(" ms") ? 1000 : 1);
      assert(seconds(middle) >= 0.5 && seconds(middle) < 3, middle);
      assert(Math.abs(seconds(large) / seconds(middle) - 13 / 5) < 0.1, `${middle}, ${large}`);
      // The next visit knows it: 2048 pixels take under 10 s.
      await visit.page.reload();
      await visit.reaches("ready");
      await visit.page.locator("#new-chat").click();
      assert.match(await visit.ask("size?"), /2048 after 0 probes/);
    }));

  test("a picture that is being encoded is begun again in the new size, and tiles are counted", () =>
    withModel(tiled(0.5, { slow: 500 }), async (visit) => {
      const { page } = visit;
      /** Waits for words that the page has said, even if it says others by now. @param {string} words */
      const heard = (words) => page.waitForFunction((text) => /** @type {any} */ (window).said.some((/** @type {string} */ said) => said.includes(text)), words);
      await visit.reaches("ready");
      await page.evaluate(() => {
        const said = /** @type {string[]} */ (Object.assign(window, { said: [] }).said);
        new MutationObserver(() => said.push(document.querySelector("#status-text")?.textContent ?? "")).observe(document, { childList: true, characterData: true, subtree: true });
      });
      await visit.show(EXAMPLE);
      await heard("tile 3 of 13");
      await settings(visit);
      await page.locator("#settings").getByLabel("Picture size").selectOption("1024");
      await heard("tile 2 of 5");
      await closeSettings(visit);
      await visit.reaches("ready");
      assert.match(await visit.ask("size?"), /1024 after 1 probes \(1 image, turn 1\)/);
      const said = await page.evaluate(() => /** @type {any} */ (window).said.join("\n"));
      assert(!/tile 13 of 13/.test(said), "the first encoding was stopped");
      assert.match(said, /tile 5 of 5/);
      assert(!/tile 6 of 5/.test(said));
    }));

  test("an answer is not interrupted by the choice of a size", () =>
    withModel(tiled(1.5, { slow: 60 }), async (visit) => {
      await visit.reaches("ready");
      await visit.at("question").fill("a b c d e f g h i j k l m n o p q r s t");
      await visit.at("send").click();
      await visit.at("answer").getByText("a b c").waitFor();
      await settings(visit);
      await visit.page.locator("#settings").getByLabel("Picture size").selectOption("512");
      await closeSettings(visit);
      assert.match(await visit.answered(), /s t \(0 image, turn 1\)/);
      await visit.reaches("ready");
      assert.match(await visit.ask("size?"), /512 after 1 probes \(0 image, turn 2\)/);
    }));
});

describe("the size of pictures, and the engine itself", () => {
  test("a tiny SmolVLM encodes a picture in the size that is chosen before loading, and after it", async () => {
    const { root, remove } = await rootWith((root) => cp(path.join(repository, "tests/golden/smolvlm"), path.join(root, "models-local/smolvlm"), { recursive: true }));
    const server = await serve(root);
    const browser = await launch({ gpu: false });
    try {
      const visit = await open(browser, `${server.url}?model=${server.url}models-local/smolvlm/config.json`, { serviceWorkers: "block" });
      const { page } = visit;
      const says = (/** @type {string} */ text) => page.locator("#machine", { hasText: text }).waitFor({ state: "attached" });
      await visit.reaches("ready");
      // Its squares have 22 pixels; every size takes milliseconds.
      await says("88 pixels, chosen so that a picture takes under 10 s here");
      await visit.show(path.join(repository, "tests/golden/wide.png"));
      await visit.reaches("ready");
      const tiles = async () => Number(/(\d+) tiles/.exec(await page.locator("#machine").evaluate((list) => list.textContent ?? ""))?.[1] ?? 1);
      await says("tiles, ");
      const many = await tiles();
      const answer = await visit.ask("what is in the picture?");
      await page.locator("#open-settings").click();
      const choice = page.locator("#settings").getByLabel("Picture size");
      assert.deepEqual(await choice.locator("option").evaluateAll((list) => list.map((option) => /** @type {HTMLOptionElement} */ (option).value)), ["22", "44", "88"]);
      await choice.selectOption("44");
      await says("44 pixels, as you chose");
      await page.getByRole("button", { name: "Done" }).click();
      await visit.reaches("ready");
      await page.locator("#regenerate").click();
      const other = await visit.answered();
      const fewer = await tiles();
      assert(fewer > 1 && fewer < many, `${fewer} tiles after ${many}`);
      assert.notEqual(other, answer);
      await page.reload();
      await visit.reaches("ready");
      await says("44 pixels, as you chose");
      // The first question again, with the size that was chosen before loading.
      await page.locator("#regenerate").click();
      assert.equal(await visit.answered(), other);
      await page.locator("#open-settings").click();
      await choice.selectOption("88");
      await page.getByRole("button", { name: "Done" }).click();
      await page.locator("#regenerate").click();
      assert.equal(await visit.answered(), answer);
      assert.equal(await tiles(), many);
      assert.deepEqual(visit.complaints, []);
    } finally {
      await browser.close();
      await server.stop();
      await remove();
    }
  });
});
