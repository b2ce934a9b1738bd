// Choosing a model: by address, from the disk, out of the storage; what the page says beforehand; and what
// happens when the GPU is lost.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { FaultyHost, fakeModel } from "./faulty-host.mjs";
import { fakeRoot, launch, open, serve, www, withFake } from "./harness.mjs";

/** @typedef {import("playwright-core").Page} Page */

const EXAMPLE = path.join(www, "examples/shapes.png");
const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };
const MEMORY = { weights: 3.8e9, cache_per_token: 5e5, cache_type: "f16", scratch: 2e8, total: 5e9, conversations: 5.4e8 };

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */ let server;
/** @type {Awaited<ReturnType<typeof fakeRoot>>} */ let served;
/** @type {FaultyHost} */ let host;
/** @type {string} */ let disk;

before(async () => {
  host = await new FaultyHost().listen();
  served = await fakeRoot({ slow: 20 });
  server = await serve(served.root, ["--model-host", host.origin]);
  browser = await launch({ gpu: false });
  disk = await mkdtemp(path.join(tmpdir(), "llava-models-"));
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await served?.remove();
  await host?.close();
  await rm(disk, { recursive: true, force: true });
});

/** @param {Page} page @param {string} text */
const machineSays = (page, text) => page.locator("#machine", { hasText: text }).waitFor({ state: "attached" });

/** Writes a model as a .gguf, or as a folder of a manifest and its parts.
 * @param {string} name @param {boolean} folder */
async function onDisk(name, folder) {
  const model = fakeModel({ parts: 4, seed: 7 });
  if (!folder) {
    const file = path.join(disk, `${name}.gguf`);
    for (const part of model.plan.parts) part.file = `${name}.gguf`;
    model.file.fill(0, 0, model.header);
    model.file.write(JSON.stringify(model.plan));
    await writeFile(file, model.file);
    return file;
  }
  const at = path.join(disk, name);
  await mkdir(path.join(at, "deep"), { recursive: true });
  for (const part of model.plan.parts) {
    await writeFile(path.join(at, `${part.index}.bin`), model.file.subarray(part.offset, part.offset + part.bytes));
    Object.assign(part, { file: `${part.index}.bin`, offset: 0 });
  }
  await writeFile(path.join(at, "manifest.json"), JSON.stringify({ ...model.plan, name: "From a folder" }));
  await writeFile(path.join(at, "deep/config.json"), "{}");
  return at;
}

describe("choosing a model", () => {
  test("by address: opened, deep-linked, listed, opened without its host, deleted", async () => {
    const model = fakeModel({ parts: 6 });
    host.files.set("model.gguf", model.file);
    const visit = await open(browser, server.url, PLAIN);
    const { page } = visit;
    await visit.reaches("ready");
    await page.getByRole("button", { name: "Another model" }).click();
    await page.getByLabel("Address of a manifest.json").fill("ftp://example.org/model.gguf");
    await page.keyboard.press("Enter");
    await page.locator("#models-error", { hasText: /not the scheme of a web address/ }).waitFor();
    await page.getByLabel("Address of a manifest.json").fill(`${host.origin}/model.gguf`);
    await page.keyboard.press("Enter");
    await machineSays(page, "Model 1");
    await visit.reaches("ready");
    assert.equal(new URL(page.url()).searchParams.get("model"), `${host.origin}/model.gguf`);
    await page.getByRole("button", { name: "Another model" }).click();
    const row = page.locator("#stored li", { hasText: "Model 1" });
    assert.match(await row.innerText(), /39\d kB · \d{4}-\d\d-\d\d · 127\.0\.0\.1/);
    host.files.delete("model.gguf");
    host.asked.length = 0;
    await row.getByRole("button", { name: "Open" }).click();
    await visit.reaches("loading");
    await visit.reaches("ready");
    await machineSays(page, "Model 1");
    assert.deepEqual(host.asked, [], "nothing is left to ask for but whether it is still there");
    await page.getByRole("button", { name: "Another model" }).click();
    await row.getByRole("button", { name: "Delete" }).click();
    await row.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Back to the small model" }).click();
    await machineSays(page, "A stand-in");
    assert.equal(new URL(page.url()).search, "");
    assert.deepEqual(visit.complaints, []);
    await visit.close();
  });

  test("what is deleted is gone, also while the list is being read", async () => {
    const visit = await open(browser, server.url, PLAIN);
    await visit.reaches("ready");
    const left = await visit.page.evaluate(async () => {
      /** @type {typeof import("../../www/llava/index.js")} */
      const { LLaVA } = await import(String(new URL("llava/index.js", document.baseURI)));
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("llava-web-models");
      for (let round = 0; round < 20; round++) {
        const folder = await root.getDirectoryHandle("many", { create: true });
        const writable = await (await folder.getFileHandle("about.json", { create: true })).createWritable();
        await writable.write(JSON.stringify({ name: "Much is known of it", entry: [], addresses: [], files: {}, much: "x".repeat(4e6) }));
        await writable.close();
        /** @type {string[][]} */
        const seen = [];
        const list = () => LLaVA.cached().then((models) => seen.push(models.map(({ key }) => key)));
        const lists = Array.from({ length: round % 4 }, list);
        // As when a person deletes from the list of the last time, which is still shown.
        await LLaVA.delete(/** @type {any} */ ({ key: "many" }));
        await Promise.all([...lists, list()]);
        if (seen.at(-1)?.includes("many")) return `round ${round}: ${JSON.stringify(seen)}`;
      }
      return "";
    });
    assert.equal(left, "");
    await visit.close();
  });

  test("from the disk: a .gguf and a folder; nothing is copied, nothing is asked of the network", async () => {
    const visit = await open(browser, server.url, PLAIN);
    const { page } = visit;
    await visit.reaches("ready");
    visit.requests.length = 0;
    for (const [id, name, folder] of /** @type {const} */ ([["model-files", "Model 7", false], ["model-folder", "From a folder", true]])) {
      await page.getByRole("button", { name: "Another model" }).click();
      await page.locator(`#${id}`).setInputFiles(await onDisk(name.replaceAll(" ", "-"), folder));
      await machineSays(page, name);
      await visit.reaches("ready");
      await machineSays(page, "files on this machine");
      await machineSays(page, "nothing, as you chose");
    }
    assert(!visit.requests.some((request) => /\.(bin|gguf)$/.test(request)));
    await page.getByRole("button", { name: "Another model" }).click();
    await page.locator("#stored li").first().waitFor();
    assert.equal(await page.locator("#stored li").count(), 1, "only the page's own model is kept");
    await visit.close();
  });

  test("files that are dropped: a model is opened, a picture is shown, a riddle is refused", async () => {
    const visit = await open(browser, server.url, PLAIN);
    const { page } = visit;
    await visit.reaches("ready");
    /** @param {{ name: string, type: string, text: string }[]} files */
    const drop = (files) =>
      page.evaluate((files) => {
        const data = new DataTransfer();
        for (const { name, type, text } of files) data.items.add(new File([text], name, { type }));
        window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
      }, files);
    const part = { index: 0, file: "dropped.gguf", offset: 4096, bytes: 4, sha256: null };
    const plan = { name: "Dropped", parts: [part], total_bytes: 4 };
    await drop([{ name: "dropped.gguf", type: "", text: JSON.stringify(plan).padEnd(4096, "\0") + "1234" }]);
    await machineSays(page, "Dropped");
    await visit.reaches("ready");
    await drop([{ name: "notes.png", type: "image/png", text: "12345678 but no picture" }]);
    await page.locator("#frame:not([data-state=empty])").waitFor();
    await drop(["a", "b", "c"].map((name) => ({ name: `${name}.gguf`, type: "", text: "" })));
    await visit.at("error").waitFor();
    assert.match(await visit.errorText(), /3 models in \.gguf.*together/s);
    await visit.close();
  });

  test("before a large download: what it is, what it needs, how it would run; a context may be chosen", async () => {
    const more = { total_bytes: 4e9, context: 2048, longest_context: 4096, memory: MEMORY, picture: { tiles: 1, rows: 576 }, parameters: 7e9, notes: ["Q6_K is stored as q8"], file_bytes: [{ file: "model.gguf", bytes: 4e9 }], probe: { decode_tokens_per_second: 7.25, prefill_rows_per_second: 288, fits: false, message: "The GPU gave 3.0 GB of 5.0 GB." } };
    const model = fakeModel({ parts: 2, seed: 3, more });
    host.files.set("model.gguf", model.file);
    const visit = await open(browser, `${server.url}?model=${host.origin}/model.gguf`, { ...PLAIN, colorScheme: "dark", viewport: { width: 390, height: 800 } });
    const { page } = visit;
    const card = page.locator("#offer");
    await card.getByText("about 7.3 tokens/s").waitFor();
    const text = await card.innerText();
    for (const words of ["Model 3", "4.0 GB", "5.0 GB of graphics memory", "up to 540 MB more, where there is room", "a picture encoded in 2.0 s", "Q6_K is stored as q8", "The GPU gave 3.0 GB", "Space to save it"]) assert(text.includes(words), `${words} in ${text}`);
    assert.equal(await card.getByLabel("Save it in this browser").isChecked(), true);
    await card.getByLabel("Longest conversation").selectOption("1024");
    await card.getByText("4.5 GB of graphics memory").waitFor();
    assert.equal(host.asked.filter(({ first }) => first >= model.header).length, 0, "no weights before the person agrees");
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `the page is ${overflow} px wider than a phone`);
    if (process.env.LLAVA_SHOTS) await page.screenshot({ path: path.join(process.env.LLAVA_SHOTS, "card.png"), fullPage: true });
    await card.getByLabel("Save it in this browser").uncheck();
    await card.getByRole("button", { name: "Download and load" }).click();
    await visit.reaches("ready");
    await machineSays(page, "of 1024 tokens");
    await machineSays(page, "nothing, as you chose");
    await page.reload();
    await card.getByRole("button", { name: "Cancel" }).click();
    await machineSays(page, "A stand-in");
    await visit.close();
  });
});

describe("browsers that lack something", () => {
  for (const [name, offers, kept, again] of /** @type {const} */ ([["the private file system", "[cacheApi]", "all of it", 0], ["any storage", "[]", "nothing: this browser gives the page no storage", 6]])) {
    test(`without ${name} the model loads${again ? "" : ", and is kept"}`, async () => {
      const { root, remove } = await fakeRoot();
      await rm(path.join(root, "worker"));
      await cp(path.join(www, "worker"), path.join(root, "worker"), { recursive: true });
      const folders = path.join(root, "worker/folders.js");
      const source = await readFile(folders, "utf8");
      assert(source.includes("[opfs, cacheApi]"));
      await writeFile(folders, source.replace("[opfs, cacheApi]", offers));
      const lacking = await serve(root);
      try {
        const visit = await open(browser, lacking.url, PLAIN);
        await visit.reaches("ready");
        await machineSays(visit.page, kept);
        visit.requests.length = 0;
        await visit.page.reload();
        await visit.reaches("ready");
        assert.equal(visit.requests.filter((request) => request.endsWith(".bin")).length, again);
        await visit.page.getByRole("button", { name: "Another model" }).click();
        await visit.page.locator("#stored-note", { hasText: again ? "last as long as the tab" : /saved/ }).waitFor();
        await visit.close();
      } finally {
        await lacking.stop();
        await remove();
      }
    });
  }
});

describe("a GPU that is lost", () => {
  test("is replaced, and the answer goes on where it was", async () => {
    const visit = await open(browser, `${server.url}?backend=webgpu`, PLAIN);
    await visit.show(EXAMPLE);
    await visit.reaches("ready");
    assert.match(await visit.ask("first"), /first/);
    const answer = await visit.ask("lose 4 and go on to the very end");
    assert.equal(answer, "You asked: lose 4 and go on to the very end (1 image, turn 2)");
    assert(await visit.at("error").isHidden());
    assert.equal(visit.requests.filter((request) => request.endsWith("worker/worker.js")).length, 2);
    const weights = visit.requests.filter((request) => request.endsWith(".bin"));
    assert.equal(weights.length, new Set(weights).size, "the weights came from the storage");
    const { turns } = JSON.parse(await visit.ask("what is held"));
    assert.deepEqual(turns[0], { question: "first", images: 1, text: "You asked: first (1 image, turn 1)" }, "the new engine reads the whole answer");
    assert.equal(turns.length, 2);
    await visit.close();
  });

  test("is replaced while the person stops the answer, which stays as it was", () =>
    withFake({ slow: 60, push_ms: 250 }, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?backend=webgpu`, PLAIN);
      await visit.reaches("ready");
      await visit.at("question").fill("lose 3 a b c d e f g h i j k l m n o p q r s t u v w x y z");
      await visit.at("send").click();
      await visit.page.locator("#status-text", { hasText: "The GPU was lost" }).waitFor();
      await visit.at("stop").click();
      await visit.reaches("ready");
      assert.match(await visit.answered("stopped"), /^You asked: lose/);
      assert.match(await visit.ask("well"), /well \(0 image, turn 2\)/);
      assert.doesNotMatch(await visit.at("answer").first().innerText(), /x y z/);
      await visit.close();
    }));

  test("again and again ends in words and a button", async () => {
    const visit = await open(browser, `${server.url}?backend=webgpu`, PLAIN);
    await visit.show(EXAMPLE);
    await visit.reaches("ready");
    await visit.at("question").fill("lose 2 always");
    await visit.at("send").click();
    await visit.at("error").waitFor();
    assert.match(await visit.errorText(), /lost, again/);
    assert.equal(visit.requests.filter((request) => request.endsWith("worker/worker.js")).length, 3, "two recoveries");
    await visit.answered("error");
    await visit.page.getByRole("button", { name: "Retry" }).click();
    await visit.at("error").waitFor({ state: "hidden" });
    await visit.close();
  });
});
