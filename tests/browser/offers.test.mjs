// The first screen's offers of larger models, what it says of a photograph, and the choice that the next visit keeps.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { suitableModels, tokensPerSecond } from "../../www/llava/suitable.js";
import { countColours, isPhotograph, namesCamera } from "../../www/page/photo-rule.js";
import { besideHub } from "./fake-hub.mjs";
import { fakeModel, random } from "./faulty-host.mjs";
import { fakeRoot, launch, open, serve, www } from "./harness.mjs";

const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };
const CATALOGUE = path.join(www, "models/catalogue.json");
/** @returns {Promise<import("../../www/llava/catalogue.js").CatalogueModel[]>} */
const catalogue = async () => JSON.parse(await readFile(CATALOGUE, "utf8")).models;
/** Sizes of pictures of a model that cuts them into tiles, and its estimate. */
const SIZES = [{ longest_edge: 512, tiles: 1, rows: 67 }, { longest_edge: 2048, tiles: 13, rows: 862 }];
const PROBE = { decode_tokens_per_second: 40, prefill_rows_per_second: 300, tile_seconds: 1.5, fits: true, message: "" };
/** @param {string} name */
const example = (name) => path.join(www, "examples", name);

/** A picture as a BMP of 24 bits. @param {number} side @param {(x: number, y: number) => number[]} colour
 * @param {string} [name] */
function bitmap(side, colour, name = "picture.bmp") {
  const buffer = Buffer.alloc(54 + side * side * 3);
  buffer.write("BM");
  buffer.writeUInt32LE(buffer.length, 2);
  buffer.writeUInt32LE(54, 10);
  buffer.writeUInt32LE(40, 14);
  buffer.writeInt32LE(side, 18);
  buffer.writeInt32LE(-side, 22);
  buffer.writeUInt16LE(1, 26);
  buffer.writeUInt16LE(24, 28);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) buffer.set(colour(x, y).map((value) => Math.max(0, Math.min(255, value))).reverse(), 54 + (y * side + x) * 3);
  return { name, mimeType: "image/bmp", buffer };
}

/** Smooth light over several surfaces, with noise: what a camera makes. @param {number} side */
function photograph(side) {
  const next = random(5);
  return bitmap(side, (x, y) => {
    const light = 60 + 150 * (x / side) + 30 * Math.sin(y / 9);
    const hue = [0.9 - 0.5 * (y / side), 0.6 + 0.3 * Math.sin(x / 21), 0.4 + 0.5 * (y / side)];
    return hue.map((share) => Math.round(light * share + 18 * (next() - 0.5)));
  });
}

/** The bytes of a JPEG's beginning with EXIF of one tag. @param {number} tag @param {boolean} little */
function jpegHead(tag, little) {
  const exif = Buffer.alloc(6 + 8 + 2 + 12 + 4);
  exif.write("Exif\0\0", "latin1");
  exif.write(little ? "II" : "MM", 6, "latin1");
  const put = (/** @type {number} */ value, /** @type {number} */ at, /** @type {2 | 4} */ bytes) => (little ? exif.writeUIntLE(value, at, bytes) : exif.writeUIntBE(value, at, bytes));
  put(42, 8, 2);
  put(8, 10, 4);
  put(1, 14, 2);
  put(tag, 16, 2);
  const segment = Buffer.alloc(4);
  segment.writeUInt16BE(0xffe1, 0);
  segment.writeUInt16BE(exif.length + 2, 2);
  return Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0]), segment, exif, Buffer.from([0xff, 0xda, 0, 2])]);
}

describe("models that suit a machine", () => {
  const GPU = { gpu: true, phone: false, memory: 5.15e9, room: 1e11 };
  const rates = { q8: 5e9, q4: 4e9 };

  test("from the smallest to the best that fits, with a speed scaled by the bytes of a token", async () => {
    const models = await catalogue();
    const names = (/** @type {any} */ machine, /** @type {any} */ speeds) => suitableModels(models, machine, speeds).map(({ model, variant }) => `${model.id} ${variant.name}`);
    assert.deepEqual(names(GPU, {}), ["smolvlm-256m Q8_0", "smolvlm2-500m Q8_0", "llava-1.5-7b Q4_0"]);
    assert.deepEqual(names({ ...GPU, memory: 2e10 }, {}), ["smolvlm-256m Q8_0", "smolvlm2-500m Q8_0", "llava-1.5-13b Q4_K"]);
    // Without a GPU what would take more than a second for a token is not offered.
    const cpu = { ...GPU, gpu: false, memory: 3.5e9 };
    assert.deepEqual(names(cpu, { cpu: rates }), ["smolvlm-256m Q8_0", "smolvlm2-500m Q8_0", "smolvlm2-2.2b Q4_K_M"]);
    assert.deepEqual(names(cpu, { cpu: { q8: 1e9, q4: 1e9 } }), ["smolvlm-256m Q8_0", "smolvlm2-500m Q8_0"]);
    // The smallest is offered however slow, and only what the storage has room for.
    assert.deepEqual(names(cpu, { cpu: { q8: 1e7, q4: 1e7 } }), ["smolvlm-256m Q8_0"]);
    assert.deepEqual(names({ ...GPU, room: 3e8 }, {}), ["smolvlm-256m Q8_0"]);
    assert.deepEqual(names({ ...GPU, memory: 1e8 }, {}), []);
    const [first] = suitableModels(models, GPU, { cpu: rates });
    assert.equal(first?.rate, 5e9 / 143e6);
    assert.deepEqual([first?.bytes, first?.clear], [278_824_384, true]);
  });

  test("the faster backend counts, and the CPU only for what it can hold", async () => {
    const [small, large] = ["smolvlm-256m", "llava-1.5-7b"].map((id) => /** @type {any} */ ({ id }));
    const models = await catalogue();
    for (const model of [small, large]) Object.assign(model, models.find(({ id }) => id === model.id)?.variants[0]);
    assert.equal(tokensPerSecond(small, { webgpu: rates, cpu: { q8: 9e9, q4: 9e9 } }), 9e9 / small.bytes_per_token);
    assert.equal(tokensPerSecond(large, { webgpu: rates, cpu: { q8: 9e9, q4: 9e9 } }), 4e9 / large.bytes_per_token);
    assert.equal(tokensPerSecond(small, {}), 0);
  });
});

describe("the rule for photographs", () => {
  /** @param {ReturnType<typeof bitmap>} picture every pixel, as its own sample */
  const rgba = ({ buffer }) => {
    const count = (buffer.length - 54) / 3;
    const pixels = new Uint8ClampedArray(count * 4).fill(255);
    for (let i = 0; i < count; i++) pixels.set([...buffer.subarray(54 + i * 3, 57 + i * 3)].reverse(), i * 4);
    return pixels;
  };
  const head = new Uint8Array(16);

  test("colours and flat areas", () => {
    const photo = rgba(photograph(64));
    assert(countColours(photo).colours > 150, JSON.stringify(countColours(photo)));
    assert(isPhotograph({ rgba: photo, head, pixels: 4096 }));
    const flat = rgba(bitmap(64, (x, y) => (Math.hypot(x - 32, y - 32) < 20 ? [220, 38, 38] : [245, 241, 232])));
    assert.deepEqual(countColours(flat), { colours: 2, flat: 1 });
    assert(!isPhotograph({ rgba: flat, head, pixels: 4096 }));
    // Noise over flat areas, as of a drawing in a JPEG, is none.
    const next = random(1);
    const noisy = rgba(bitmap(64, (x) => (x < 40 ? [220, 38, 38] : [40, 90, 220]).map((value) => value + Math.round(6 * (next() - 0.5)))));
    assert(!isPhotograph({ rgba: noisy, head, pixels: 4096 }), JSON.stringify(countColours(noisy)));
    // Many colours in a small part of a drawing are none, either.
    const rainbow = rgba(bitmap(64, (x, y) => (x < 20 && y < 20 ? [x * 13, y * 13, (x * y) % 256] : [255, 255, 255])));
    assert(countColours(rainbow).colours > 150, JSON.stringify(countColours(rainbow)));
    assert(!isPhotograph({ rgba: rainbow, head, pixels: 4096 }));
    // A gradient has many shades, and few at 4 bits a channel.
    assert(!isPhotograph({ rgba: rgba(bitmap(64, (x) => [x * 4, x * 4, 128])), head, pixels: 4096 }));
  });

  test("a JPEG that names its camera", () => {
    assert(namesCamera(jpegHead(0x010f, true)) && namesCamera(jpegHead(0x0110, false)));
    assert(!namesCamera(jpegHead(0x0131, true)), "a program's name is no camera's");
    const whole = jpegHead(0x010f, true);
    for (let length = 0; length < whole.length - 10; length++) assert.doesNotThrow(() => namesCamera(whole.subarray(0, length)), `${length}`);
    const next = random(3);
    for (let round = 0; round < 2000; round++) {
      const broken = Uint8Array.from(whole);
      for (let i = 0; i < 3; i++) broken[Math.floor(next() * broken.length)] = Math.floor(next() * 256);
      assert.doesNotThrow(() => namesCamera(broken));
    }
  });
});

describe("the first screen", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {import("./fake-hub.mjs").FakeHub} */ let hub;
  let stop = async () => {};
  before(async () => void ({ hub, server, browser, stop } = await besideHub()));
  after(() => stop());

  /** Gives the stand-in the smallest model of the catalogue, of the length that it says, in a few small parts. */
  async function addSmallest() {
    const [model] = (await catalogue()).filter(({ id }) => id === "smolvlm-256m");
    const { repository = "", files = [] } = model?.variants[0] ?? {};
    const [language, projector] = files.map((file) => file.path ?? "");
    const { file, plan, header } = fakeModel({ parts: 4, seed: 9, more: { name: "SmolVLM", total_bytes: 278e6, memory: { total: 3e8, cache_per_token: 1e4 }, picture_sizes: SIZES, longest_edge: 2048, probe: PROBE } });
    for (const part of plan.parts) part.file = String(language);
    file.fill(0, 0, header).write(JSON.stringify(plan));
    hub.add(repository, { [String(language)]: file, [String(projector)]: 1000 });
  }

  /** @param {string} query @param {import("playwright-core").BrowserContextOptions & { memory?: number }} [options] */
  async function visit(query = "", { memory = 8, ...options } = {}) {
    const it = await open(browser, "about:blank", { ...PLAIN, ...options });
    await hub.serveTo(it.context);
    await it.page.addInitScript((memory) => Object.defineProperty(navigator, "deviceMemory", { value: memory }), memory);
    await it.page.goto(server.url + query);
    return it;
  }
  /** @param {import("playwright-core").Page} page @param {string} text */
  const machineSays = (page, text) => page.locator("#machine", { hasText: text }).waitFor({ state: "attached" });

  test("offers what suits the machine, each with its bytes, speed, licence and one button", async () => {
    const it = await visit();
    const offers = it.page.locator("#offers");
    await offers.getByText("SmolVLM 256M").waitFor();
    assert.match(await offers.innerText(), /Larger models that know photographs/);
    assert.match(await offers.innerText(), /no GPU: these models run on the CPU/);
    // The stand-in's estimate is 9.5 tokens/s for 100 MB: of 2.2 B a token would take more than a second.
    await offers.getByText("about 6.6 tokens/s here").waitFor();
    const items = await offers.locator("li").allInnerTexts();
    assert.equal(items.length, 2, items.join("\n"));
    assert.match(items[0] ?? "", /Knows photographs;.*279 MB to download · about 6\.6 tokens\/s here · licence: Apache-2\.0/s);
    assert.match(items[1] ?? "", /SmolVLM2 500M.*546 MB.*about 2\.5 tokens\/s here/s);
    assert.equal(await offers.getByRole("button").count(), 2);
    assert.deepEqual(hub.asked, [], "nothing is asked of the hub before the person chooses");
    // With the first question it makes room for the conversation.
    await it.show(example("shapes.png"));
    await it.ask("one");
    assert(await offers.isHidden());
    // The measurement is kept for the next visit; a conversation that was kept has to end first.
    await it.page.reload();
    await it.at("answer").waitFor();
    await it.page.locator("#new-chat").click();
    await offers.getByText("about 6.6 tokens/s here").waitFor();
    assert.deepEqual(it.complaints, []);
    await it.close();
  });

  test("one click fetches the model, and its card is not needed where it clearly fits", async () => {
    await addSmallest();
    const it = await visit();
    const { page } = it;
    await page.locator("#offers").getByRole("button", { name: "Get SmolVLM 256M" }).click();
    await machineSays(page, "SmolVLM");
    await it.reaches("ready");
    await machineSays(page, "huggingface.co");
    assert(await page.locator("#offers").isHidden());
    assert(await page.locator("#intro-limits").isHidden());
    assert.match(new URL(page.url()).search, /SmolVLM-256M-Instruct-Q8_0\.gguf/);
    assert.match(await it.ask("size?"), /512 after 1 probes/, "the size suits the machine, and the estimate serves for the card, too");
    const stored = () => page.evaluate(() => localStorage.getItem("llava-web choice"));
    // The stand-in's plan says 278 MB and its parts have less: it is not all saved, so the next visit would not open it.
    assert.equal(await stored(), null);
    await it.close();
  });

  test("a model that is all saved is opened on the next visit, also without the hub", async () => {
    const { file, plan, header } = fakeModel({ parts: 4, seed: 11, more: { name: "Chosen" } });
    for (const part of plan.parts) part.file = "m-Q8_0.gguf";
    file.fill(0, 0, header).write(JSON.stringify(plan));
    hub.add("org/chosen", { "m-Q8_0.gguf": file, "mmproj.gguf": 1000 });
    const it = await visit();
    const { page } = it;
    await it.reaches("ready");
    await page.getByRole("button", { name: "Another model" }).click();
    await page.getByLabel("Name of a model on Hugging Face").fill("org/chosen");
    await page.keyboard.press("Enter");
    await machineSays(page, "Chosen");
    await it.reaches("ready");
    await machineSays(page, "all of it");
    hub.repositories.delete("org/chosen");
    await page.goto(server.url);
    await machineSays(page, "Chosen");
    await it.reaches("ready");
    await page.getByText("the model that you chose on your last visit").waitFor();
    await page.getByRole("button", { name: "Back to the small model" }).click();
    await machineSays(page, "A stand-in");
    await it.reaches("ready");
    await page.goto(server.url);
    await it.reaches("ready");
    await machineSays(page, "A stand-in");
    assert(await page.locator("#remembered").isHidden());
    await it.close();
  });

  test("a model that an address names is not what the next visit begins with", async () => {
    const plan = { name: "Linked", parts: [], total_bytes: 0 };
    hub.add("org/linked", { "config.json": Buffer.from(JSON.stringify(plan)), "model.safetensors": 9 });
    const it = await visit("?model=org/linked");
    await machineSays(it.page, "Linked");
    await it.reaches("ready");
    await it.page.goto(server.url);
    await machineSays(it.page, "A stand-in");
    await it.close();
  });

  test("a photograph is called one, and a drawing is not", async () => {
    await addSmallest();
    const it = await visit();
    const { page } = it;
    const hint = page.locator("#photo-hint");
    await page.locator("#offers li").first().waitFor();
    for (const name of ["shapes.png", "outlines.png", "by-hand.png", "word.png"]) {
      await it.show(example(name));
      await page.waitForFunction(() => /** @type {HTMLImageElement} */ (document.querySelector("#picture")).complete);
      await it.reaches("ready");
      await page.waitForTimeout(100);
      assert(await hint.isHidden(), name);
    }
    await it.show(photograph(256));
    await hint.waitFor();
    assert.match(await hint.innerText(), /This looks like a photograph; the model that comes with the page only knows drawings\./);
    // The drawing replaces it.
    await it.show(example("shapes.png"));
    await hint.waitFor({ state: "hidden" });
    // A drawing that a camera took, by what its file says.
    const drawing = await page.evaluate(() => {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 64;
      canvas.getContext("2d")?.fillRect(8, 8, 30, 30);
      return canvas.toDataURL("image/jpeg").split(",")[1] ?? "";
    });
    const jpeg = Buffer.from(drawing, "base64");
    const exif = jpegHead(0x010f, false);
    await it.show({ name: "IMG_1.jpg", mimeType: "image/jpeg", buffer: Buffer.concat([exif.subarray(0, -4), jpeg.subarray(2)]) });
    await hint.waitFor();
    await hint.getByRole("button", { name: /Get SmolVLM 256M \(279 MB\), which knows photographs/ }).click();
    await machineSays(page, "SmolVLM");
    await it.reaches("ready");
    assert(await hint.isHidden(), "the model that runs now knows photographs");
    await it.close();
  });

  test("on a phone: what it can carry, within its width, by keyboard too", async () => {
    const it = await visit("", { memory: 4, viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
    const { page } = it;
    await page.locator("#offers").getByText("about 6.6 tokens/s here").waitFor();
    assert.deepEqual(await page.locator("#offers strong").allInnerTexts(), ["SmolVLM 256M", "SmolVLM2 500M"]);
    await it.show(photograph(128));
    await page.locator("#photo-hint").waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `the page is ${overflow} px wider than the screen`);
    if (process.env.LLAVA_SHOTS) await page.screenshot({ path: path.join(process.env.LLAVA_SHOTS, "phone.png"), fullPage: true });
    await page.locator("#photo-model").focus();
    for (let i = 0; i < 60 && !(await page.evaluate(() => document.activeElement?.matches("#offers button"))); i++) await page.keyboard.press("Tab");
    assert.match(await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? ""), /^Get SmolVLM 256M, 279 MB$/);
    await it.close();
  });

  test("without a catalogue nothing is offered and nothing fails", async () => {
    const { root, remove } = await fakeRoot();
    const other = await serve(root);
    try {
      const it = await open(browser, other.url, PLAIN);
      await it.reaches("ready");
      await it.show(photograph(128));
      await it.page.locator("#photo-hint").waitFor();
      assert(await it.page.locator("#photo-model").isHidden());
      assert(await it.page.locator("#offers").isHidden());
      await it.close();
    } finally {
      await other.stop();
      await remove();
    }
  });

  test("a model that cuts pictures into tiles: the card offers their sizes with the time of each", async () => {
    const plan = { name: "Tiled", parts: [], total_bytes: 3e8, picture_sizes: SIZES, longest_edge: 2048, probe: PROBE };
    hub.add("org/tiled", { "config.json": Buffer.from(JSON.stringify(plan)), "model.safetensors": 9 });
    const it = await visit("?model=org/tiled");
    const card = it.page.locator("#offer");
    const choice = card.getByLabel("Picture size");
    await choice.locator("option", { hasText: "about" }).first().waitFor({ state: "attached" });
    assert.deepEqual(await choice.locator("option").allInnerTexts(), ["512 pixels: about 1.7 s a picture", "2048 pixels: about 22 s a picture"]);
    assert.equal(await choice.inputValue(), "512");
    await card.getByText("512 pixels: chosen so that a picture takes under 10 s here.").waitFor();
    await choice.selectOption("2048");
    await card.getByText("2048 pixels: as you chose.").waitFor();
    await it.page.locator("#offer-load").click();
    await it.reaches("ready");
    assert.match(await it.ask("size?"), /2048 after/);
    // The next visit's card has it.
    await it.page.reload();
    await card.getByText("2048 pixels: as you chose.").waitFor();
    assert.equal(await choice.inputValue(), "2048");
    await it.close();
  });
});

describe("the first screen with the real engine", () => {
  test("the speed is measured with a model of headers; without a network the offers are still there", async () => {
    const server = await serve();
    const browser = await launch({ gpu: false });
    try {
      const it = await open(browser, server.url);
      await it.reaches("ready");
      const speed = it.page.locator("#offers li", { hasText: "SmolVLM 256M" }).getByText(/about [\d.,]+ tokens\/s here/);
      await speed.waitFor();
      const rate = Number(/about ([\d.,]+) tokens/.exec(await speed.innerText())?.[1]);
      console.log(`SmolVLM-256M: ${rate} tokens/s estimated here`);
      assert(rate > 0.5 && rate < 5000, `${rate}`);
      if (process.env.LLAVA_SHOTS) {
        await mkdir(process.env.LLAVA_SHOTS, { recursive: true });
        await it.page.screenshot({ path: path.join(process.env.LLAVA_SHOTS, "first.png") });
      }
      assert(it.requests.every((request) => request.startsWith(server.url) || request.startsWith("blob:")), "only its own files");
      await it.savedForOffline();
      await server.stop();
      await it.page.reload();
      await it.reaches("ready");
      await speed.waitFor();
      await it.show(example("shapes.png"));
      assert.match(await it.ask("What color is the star?"), /\bgreen\b/i);
      assert.deepEqual(it.complaints, []);
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});
