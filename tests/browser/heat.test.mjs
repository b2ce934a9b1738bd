// The view "Where it looks": with a stand-in engine, whose attention is known, and with the shipped model.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { attentionRaster } from "../../www/llava/attention-raster.js";
import { launch, open, serve, withFake, www } from "./harness.mjs";

const EXAMPLE = path.join(www, "examples/shapes.png");

/** @typedef {import("./harness.mjs").Visit} Visit */

/** @param {Visit} visit @param {string} text */
const word = (visit, text) => visit.page.locator(".word", { hasText: new RegExp(`^${text}$`) }).last();
/** What the view says when it shows the map of a word. @param {Visit} visit @param {string} text */
async function note(visit, text) {
  await visit.page.locator("[data-testid=heat-note]", { hasText: text }).waitFor();
  return visit.at("heat-note").innerText();
}
/** Returns the mean of each channel of a part of the drawing, edges as shares of its sides.
 * @param {Visit} visit @param {number[]} edges left, top, right, bottom @returns {Promise<number[]>} */
const meanColour = (visit, edges) =>
  visit.page.evaluate(([left = 0, top = 0, right = 1, bottom = 1]) => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector("#heat-canvas"));
    const [x, y] = [left * canvas.width, top * canvas.height];
    const data = canvas.getContext("2d")?.getImageData(x, y, right * canvas.width - x, bottom * canvas.height - y).data ?? [];
    const sums = [0, 0, 0];
    data.forEach((value, i) => (sums[i % 4] = (sums[i % 4] ?? 0) + (4 * value) / data.length));
    return sums;
  }, edges);

describe("where it looks, with a stand-in engine", () => {
  test("words are chosen by click and keys, layers by the slider, and the map is saved", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.at("heat-on").check();
      await visit.show(EXAMPLE);
      await visit.reaches("ready", "encoding");
      await visit.ask("one **two** three");
      assert.match(await note(visit, "Choose a word"), /Choose a word of an answer/);
      // Word 2 is "one": in layer 1 it looks at row 2, in layer 2 at row 3. The place is said by thirds.
      await word(visit, "one").click();
      assert.match(await note(visit, "“one”"), /50 % of the attention went to this picture, most of it to its top right/);
      assert.equal(await word(visit, "one").getAttribute("aria-pressed"), "true");
      const right = await meanColour(visit, [0.55, 0.05, 0.95, 0.2]);
      const left = await meanColour(visit, [0.05, 0.05, 0.4, 0.2]);
      assert((right[0] ?? 0) > (left[0] ?? 0) + 60, `the cells of the word are bright: ${right} beside ${left}`);
      // Layer 1: row 2 alone.
      await visit.page.locator("#heat-layer").focus();
      await visit.page.keyboard.press("ArrowRight");
      assert.equal(await visit.page.locator("#heat-layer-name").innerText(), "layer 1 of 2");
      assert.match(await note(visit, "its top."), /its top\./);
      // Markdown's marks are not shown, and "two" is the next word.
      await word(visit, "one").focus();
      await visit.page.keyboard.press("ArrowRight");
      assert.match(await note(visit, "“two”"), /most of it to its top right/);
      assert.equal(await visit.page.evaluate(() => document.activeElement?.textContent), "two");
      await visit.page.keyboard.press("Home");
      await note(visit, "“You”");
      const [download] = await Promise.all([visit.page.waitForEvent("download"), visit.at("heat-save").click()]);
      assert.equal(download.suggestedFilename(), "looks-at-You.png");
      assert.deepEqual([...(await readFile(await download.path())).subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
      // Off: the answer is as it was.
      await visit.at("heat-on").uncheck();
      assert.equal(await visit.page.locator(".word").count(), 0);
      assert.match(await visit.at("answer").innerText(), /^You asked: one two three \(1 image, turn 1\)/);
      assert.deepEqual(visit.complaints, []);
    }));

  test("an answer made without the view says so, and is read again", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(EXAMPLE);
      await visit.reaches("ready", "encoding");
      await visit.ask("one two three");
      await visit.at("heat-on").check();
      await word(visit, "three").click();
      await note(visit, "This answer was made without this view");
      assert.equal(await visit.at("heat-canvas").isVisible(), false);
      await visit.at("heat-again").click();
      assert.match(await note(visit, "“three”"), /50 % of the attention/);
      assert.equal(await visit.at("heat-canvas").isVisible(), true);
      assert.equal(await visit.at("answer").count(), 1, "no new answer");
      assert.deepEqual(visit.complaints, []);
    }));
});

test("rows of tiles and of a border are spread over the picture", () => {
  // A whole picture of one row, then two tiles side by side, of which the second reaches beyond the lower edge.
  const regions = [{ x: 0, y: 0, width: 20, height: 10 }, { x: 0, y: 0, width: 10, height: 10 }, { x: 10, y: 0, width: 10, height: 20 }];
  const picture = { id: "a", width: 20, height: 10, positions: [1, 2, 3], regions };
  const attention = { layers: 2, pictures: [picture], tokens: [{ id: 1, text: "a", rest: [0.2, 0.6], weights: Float32Array.of(0.2, 0.2, 0.4, 0, 0, 0.4) }] };
  const first = attentionRaster(attention, { tokens: [0], layer: 0, width: 4 });
  assert.deepEqual([first.width, first.height, first.share.toFixed(3)], [4, 2, "0.800"]);
  const total = first.values.reduce((sum, value) => sum + value, 0);
  assert(Math.abs(total - 0.75) < 1e-6, `half of the last row is outside: ${total}`);
  // Left: 1/4 of the whole's 8 pixels and 1/4 on 4 of its own; right: half on 8, of which 4 are inside.
  assert(Math.abs((first.values[0] ?? 0) - (0.25 / 8 + 0.25 / 4)) < 1e-6 && Math.abs((first.values[3] ?? 0) - (0.25 / 8 + 0.5 / 8)) < 1e-6);
  const mean = attentionRaster(attention, { tokens: [0], width: 4 });
  assert.equal(mean.share.toFixed(3), "0.600");
  assert.throws(() => attentionRaster(attention, { tokens: [1], width: 4 }), /has no attention/);
  assert.throws(() => attentionRaster(attention, { tokens: [0], layer: 2, width: 4 }), /is not one of 2/);
});

test("the shipped model looks at the star when it names its colour", async () => {
  const server = await serve();
  const browser = await launch({ gpu: false });
  try {
    const visit = await open(browser, server.url);
    await visit.reaches("ready");
    await visit.at("heat-on").check();
    await visit.show(EXAMPLE);
    await visit.reaches("ready", "encoding");
    const answer = await visit.ask("What color is the star?");
    assert.match(answer, /green/i);
    await word(visit, "green").click();
    assert.match(await note(visit, "“green”"), /\d+ % of the attention went to this picture, most of it to its/);
    // The engine's answer does not depend on the view; and an answer made without it gives the same map when read again.
    const shown = await visit.at("heat-note").innerText();
    await visit.at("heat-on").uncheck();
    await visit.at("regenerate").click();
    assert.equal(await visit.answered(), answer);
    await visit.at("heat-on").check();
    await word(visit, "green").click();
    await visit.at("heat-again").click();
    assert.equal(await note(visit, "“green”"), shown);
    assert.deepEqual(visit.complaints, []);
  } finally {
    await browser.close();
    await server.stop();
  }
});
