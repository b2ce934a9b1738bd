// Pictures that the browser draws for the engine: formats that only the browser knows, and pictures that are too large.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { crc32, deflateSync } from "node:zlib";
import { launch, open, serve } from "./harness.mjs";

/** A red disc on white, 96 × 96: Pillow 12, `ellipse((20, 20, 76, 76), (220, 30, 30))`, `save("AVIF", quality=60)`. */
const AVIF = Buffer.from(
  "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAABAAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAYAAAAGAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAABCG1kYXQSAAoJGBmv32iAhoNCMvABRHh4eGIYSSSSZQAAAIDZlN1tNysPNBZK3Si+8OR/4Srj/i0jc479ynTXglQ+A9ZfmUCemkuHLu0DyNJ6j3R0Aq4wPhMIhZxOI7nH3FScJd+zhn4ZRPKF9fEMiU+CTsE75OkruuDTPAYJhtDzABxkCPcsgUYOUvPuNQZ1A7yBvnYv4K/3TfNO8dKxOkzvfiQWScpfzhc61lMV+E2Msw2qa1pyfgbYIB2OFSAsdBEXGMnXP4Ha7LeZaTrVa5vpceQjOeW5PP/0nGC9iJ/WWTfW9mSgdIC2kdrunN6LvvMqXChNKHRWKD/t+YiZBnfMFAIw",
  "base64",
);
const DISC = '<circle cx="50" cy="50" r="30" fill="#dc1e1e"/>';

/** @param {string} attributes @param {string} [inside] */
const svg = (attributes, inside = DISC) => Buffer.from(`<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>${inside}</svg>`);

/**
 * A grey PNG, black where `dark` says and white elsewhere, shown as EXIF's `orientation` says.
 * @param {number} width @param {number} height @param {(x: number) => boolean} dark @param {number} orientation
 */
function png(width, height, dark, orientation) {
  /** @param {string} kind @param {Buffer} data */
  const chunk = (kind, data) => {
    const whole = Buffer.alloc(data.length + 12);
    whole.writeUInt32BE(data.length, 0);
    whole.write(kind, 4, "latin1");
    data.copy(whole, 8);
    whole.writeUInt32BE(crc32(whole.subarray(4, -4)), data.length + 8);
    return whole;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const row = Buffer.from(Array.from({ length: width + 1 }, (_, i) => (i === 0 || dark(i - 1) ? 0 : 255)));
  const exif = Buffer.from([0x4d, 0x4d, 0, 0x2a, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
  const data = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)), { level: 1 });
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), chunk("eXIf", exif), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

describe("pictures that the engine does not read", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  before(async () => {
    server = await serve();
    browser = await launch({ gpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /**
   * What the page draws of a file: its size, and its colours at shares of width and height.
   * @param {import("./harness.mjs").Visit} visit @param {Buffer} file @param {string} type
   * @param {[number, number][]} places
   */
  const drawn = (visit, file, type, places) =>
    visit.page.evaluate(
      async ({ base64, type, places }) => {
        const module = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=modulepreload][href*='llava/redraw']")).href;
        const { redraw } = await import(module);
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const bitmap = await createImageBitmap(await redraw(new Blob([bytes], { type })));
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
        const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
        context.drawImage(bitmap, 0, 0);
        const colours = places.map(([x, y]) => [...context.getImageData(Math.floor(x * bitmap.width), Math.floor(y * bitmap.height), 1, 1).data]);
        return { width: bitmap.width, height: bitmap.height, colours };
      },
      { base64: file.toString("base64"), type, places },
    );

  /** @param {number[] | undefined} found @param {number[]} wanted */
  const alike = (found, wanted) => wanted.every((value, i) => Math.abs((found?.[i] ?? NaN) - value) < 12);
  const [RED, WHITE, BLACK] = [[220, 30, 30, 255], [255, 255, 255, 255], [0, 0, 0, 255]];

  test("an SVG is drawn large, on white, whatever it says of its size", async () => {
    const visit = await open(browser, server.url);
    for (const [attributes, width, height] of /** @type {[string, number, number][]} */ ([
      ['viewBox="0 0 100 100"', 1024, 1024],
      ['viewBox="0 0 100 100" width="100%" height="100%"', 1024, 1024],
      ['viewBox="0 0 200 100" width="16px"', 1024, 512],
      ['viewBox="0 0 100 100" width="1in" height="1in"', 1024, 1024],
      ['width="100" height="100"', 1024, 1024],
      ["", 1024, 512],
    ])) {
      const { colours, ...size } = await drawn(visit, svg(attributes), "", [[0.01, 0.01]]);
      assert.deepEqual(size, { width, height }, attributes);
      assert(alike(colours[0], WHITE), `${attributes}: ${colours}`);
    }
    const { colours } = await drawn(visit, svg('width="100" height="100"'), "", [[0.5, 0.5], [0.15, 0.5]]);
    assert(alike(colours[0], RED) && alike(colours[1], WHITE), `what it shows grows with it: ${colours}`);
    await visit.close();
  });

  test("an SVG loads nothing from elsewhere", async () => {
    const visit = await open(browser, server.url);
    const inside = `<image href="${server.url}examples/shapes.png?from-svg" width="100" height="100"/>${DISC}`;
    const { colours } = await drawn(visit, svg('viewBox="0 0 100 100"', inside), "image/svg+xml", [[0.5, 0.5]]);
    assert(alike(colours[0], RED), String(colours));
    assert(!visit.requests.some((request) => request.includes("from-svg")), "nothing is asked for");
    await visit.close();
  });

  test("a large picture is shrunk, and turned upright once", async () => {
    const visit = await open(browser, server.url);
    const large = png(17_000, 3000, (x) => x < 8500, 6);
    const { colours, width, height } = await drawn(visit, large, "image/png", [[0.5, 0.1], [0.5, 0.9], [0.05, 0.4], [0.95, 0.6]]);
    assert(height > width && width * height <= 4.01e6, `${width} × ${height}`);
    assert(Math.abs(height / width - 17 / 3) < 0.02, `${width} × ${height}`);
    assert([BLACK, WHITE, BLACK, WHITE].every((colour, i) => alike(colours[i], colour)), `dark above light: ${colours}`);
    await visit.close();
  });

  test("a format of the browser's and a picture too large are asked about, like any other", async () => {
    const visit = await open(browser, server.url);
    await visit.reaches("ready");
    for (const [name, mimeType, buffer] of /** @type {[string, string, Buffer][]} */ ([
      ["disc.avif", "image/avif", AVIF],
      ["disc.svg", "image/svg+xml", svg('viewBox="0 0 100 100"')],
    ])) {
      await visit.showAlone({ name, mimeType, buffer });
      await visit.page.locator("#frame[data-state=read]").waitFor();
      assert.match(await visit.ask("What color is the circle?"), /\bred\b/i, name);
    }
    await visit.showAlone({ name: "large.png", mimeType: "image/png", buffer: png(17_000, 3000, () => false, 1) });
    await visit.page.locator("#frame[data-state=read]").waitFor();
    assert(await visit.at("error").isHidden(), await visit.errorText());
    // Beside the picture, which is 17 : 3, the frame keeps its own colour.
    const ground = await visit.page.locator("#picture").evaluate((image) => ({ colour: getComputedStyle(image).backgroundColor, ratio: image.clientWidth / image.clientHeight }));
    assert(ground.colour === "rgb(255, 255, 255)" && Math.abs(ground.ratio - 17 / 3) < 0.2, `transparent ones are shown on white: ${JSON.stringify(ground)}`);
    const natural = await visit.page.locator("#picture").evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth);
    assert(natural < 8192, `what is shown is what was handed over: ${natural} px wide`);
    await visit.close();
  });

  test("a file of more than 64 MB is asked about, too", async () => {
    const visit = await open(browser, server.url);
    await visit.reaches("ready");
    await visit.page.evaluate(async () => {
      const file = await (await fetch("examples/shapes.png")).blob();
      const data = new DataTransfer();
      // Bytes after the end of a PNG change nothing.
      data.items.add(new File([file, new Uint8Array(65e6)], "heavy.png", { type: "image/png" }));
      const input = /** @type {HTMLInputElement} */ (document.querySelector("#image-input"));
      input.files = data.files;
      input.dispatchEvent(new Event("change"));
    });
    await visit.page.locator("#frame[data-state=read]").waitFor();
    assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
    await visit.close();
  });

  test("what neither reads is called by its name, with what can be read", async () => {
    const visit = await open(browser, server.url);
    await visit.reaches("ready");
    await visit.show({ name: "scan.tiff", mimeType: "image/tiff", buffer: Buffer.from("II*\0\x08\0\0\0\0\0\0\0\0\0", "latin1") });
    await visit.at("error").waitFor();
    const said = await visit.errorText();
    for (const words of [/TIFF/, /JPEG, PNG, WebP, GIF and BMP/, /browser cannot show it either/]) assert.match(said, words);
    await visit.close();
  });
});
