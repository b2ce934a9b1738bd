// Writes a picture as a video file (YUV4MPEG2), which Chromium shows as what a camera sees.

import { readFile, writeFile } from "node:fs/promises";

/** Frames of a video. Each differs from the last in one pixel: the engine knows none of them by an earlier one. */
const FRAMES = 30;

/** Writes the file, which Chromium repeats. @param {import("playwright-core").Browser} browser @param {string} picture a PNG
 * @param {string} to @returns {Promise<string>} `to` */
export async function writeVideo(browser, picture, to) {
  const page = await browser.newPage();
  const address = `data:image/png;base64,${(await readFile(picture)).toString("base64")}`;
  const { width, height, rgba } = await page.evaluate(async (address) => {
    const image = Object.assign(new Image(), { src: address });
    await image.decode();
    // Sides are even: a pair of rows and columns shares its colour.
    const [width, height] = [image.width & ~1, image.height & ~1];
    const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    context?.drawImage(image, 0, 0);
    return { width, height, rgba: [...(context?.getImageData(0, 0, width, height).data ?? [])] };
  }, address);
  await page.close();
  const frame = planes(width, height, rgba);
  const frames = Array.from({ length: FRAMES }, (_, i) => {
    const own = Buffer.from(frame);
    own[0] = 16 + 4 * i;
    return [Buffer.from("FRAME\n"), own];
  });
  await writeFile(to, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F30:1 Ip A1:1 C420jpeg\n`), ...frames.flat()]));
  return to;
}

/** Returns brightness, and both differences of colour at half the size (ITU-R BT.601, limited range).
 * @param {number} width @param {number} height @param {number[]} rgba */
function planes(width, height, rgba) {
  const at = (/** @type {number} */ x, /** @type {number} */ y) => rgba.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
  const dot = (/** @type {number[]} */ color, /** @type {[number, number, number]} */ [r, g, b]) => ((color[0] ?? 0) * r + (color[1] ?? 0) * g + (color[2] ?? 0) * b) / 256;
  const plane = (/** @type {number} */ step, /** @type {number} */ offset, /** @type {[number, number, number]} */ weights) => {
    const values = [];
    for (let y = 0; y < height; y += step) for (let x = 0; x < width; x += step) values.push(Math.round(offset + dot(at(x, y), weights)));
    return Buffer.from(values);
  };
  return Buffer.concat([plane(1, 16, [65.738, 129.057, 25.064]), plane(2, 128, [-37.945, -74.494, 112.439]), plane(2, 128, [112.439, -94.154, -18.285])]);
}
