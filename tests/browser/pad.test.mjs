// The drawing pad in a real Chromium: drawings of tests/drawings.json, drawn with the pointer stroke by stroke, have the
// pixels that the offline rasteriser gives them (src/scenes/drawings.rs, which is tested against the same grid).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { open, repository, withFake } from "./harness.mjs";

/** @typedef {{ thing: string, strokes: { colour: string, size: number, points: number[] }[] }} Drawing */

/** @param {string} name */
const json = async (name) => JSON.parse(await readFile(path.join(repository, "tests", name), "utf8"));

/** Draws with the mouse. @param {import("playwright-core").Page} page @param {Drawing} drawing */
async function draw(page, drawing) {
  const canvas = page.locator("#canvas");
  await canvas.scrollIntoViewIfNeeded();
  for (const { colour, size, points } of drawing.strokes) {
    await page.locator(`#swatches [data-choice=${colour}]`).click();
    await page.locator("#brush").evaluate((input, value) => void (/** @type {HTMLInputElement} */ (input).value = value), String(size));
    const box = await canvas.boundingBox();
    assert(box);
    const scale = box.width / 448;
    for (let i = 0; i < points.length; i += 2) {
      await page.mouse.move(box.x + (points[i] ?? 0) * scale, box.y + (points[i + 1] ?? 0) * scale);
      if (i === 0) await page.mouse.down();
    }
    await page.mouse.up();
  }
}

/** Means of red, green and blue over squares of 28 pixels. @param {import("playwright-core").Page} page @returns {Promise<number[]>} */
const grid = (page) =>
  page.locator("#canvas").evaluate((element) => {
    const canvas = /** @type {HTMLCanvasElement} */ (element);
    const { data, width } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, 448, 448);
    const sums = Array(16 * 16 * 3).fill(0);
    for (let y = 0; y < 448; y++)
      for (let x = 0; x < 448; x++)
        for (let c = 0; c < 3; c++) sums[(Math.floor(y / 28) * 16 + Math.floor(x / 28)) * 3 + c] += data[(y * width + x) * 4 + c] ?? 0;
    return sums.map((sum) => sum / 784);
  });

describe("the drawing pad", () => {
  test("draws with the pointer what the offline rasteriser draws", () =>
    withFake({}, async ({ browser, url }) => {
      const { drawings } = /** @type {{ drawings: Drawing[] }} */ (await json("drawings.json"));
      const expected = /** @type {{ index: number, grid: number[] }[]} */ (await json("drawings-grid.json"));
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.page.locator("#mode-draw").click();
      for (const { index, grid: wanted } of expected) {
        const drawing = /** @type {Drawing} */ (drawings[index]);
        await visit.page.locator("#clear-drawing").click();
        await draw(visit.page, drawing);
        const found = await grid(visit.page);
        const errors = found.map((value, i) => Math.abs(value - (wanted[i] ?? 0)));
        const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
        const spread = wanted.reduce((sum, value, i) => sum + Math.abs(value - (i % 3 === 2 ? 238 : 240)), 0) / wanted.length;
        assert(spread > 2, `${drawing.thing}: the grid shows nothing`);
        assert(mean < 0.5 && Math.max(...errors) < 12, `${drawing.thing}: mean ${mean.toFixed(2)}, largest ${Math.max(...errors).toFixed(1)}`);
      }
    }));
});
