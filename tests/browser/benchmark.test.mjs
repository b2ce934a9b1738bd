// benchmark.html in Chromium, with the shipped model: samples of published formats as folders, chosen and dropped. Scores
// and files are those of the program of the command line; a run continues after a reload; nothing is sent.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, open, serve, www } from "./harness.mjs";
import { run } from "./native.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */
/** A sample: its name and part on the page, and the number of its pictures. @typedef {{ name: string, part: string, pictures: number }} Sample */

/** @type {Sample[]} */
const SAMPLES = [
  { name: "pope", part: "coco", pictures: 2 },
  { name: "textvqa", part: "val", pictures: 3 },
  { name: "mmbench", part: "dev", pictures: 2 },
  { name: "mme", part: "all", pictures: 3 },
  { name: "scenes", part: "all", pictures: 1 },
];

/** Returns the entries of a ZIP file without compression. @param {Buffer} zip @returns {Map<string, Buffer>} */
function unzip(zip) {
  const entries = new Map();
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50; ) {
    const [size, name] = [zip.readUInt32LE(at + 18), zip.readUInt16LE(at + 26)];
    const begin = at + 30 + name;
    entries.set(zip.toString("utf8", at + 30, begin), zip.subarray(begin, begin + size));
    at = begin + size;
  }
  return entries;
}

/** Returns the files below a folder, by their paths. @param {string} folder @returns {Promise<Map<string, Buffer>>} */
async function filesBelow(folder) {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return new Map(await Promise.all(names.map(async (entry) => {
    const file = path.join(entry.parentPath, entry.name);
    return /** @type {[string, Buffer]} */ ([path.relative(folder, file), await readFile(file)]);
  })));
}

describe("benchmark.html", { concurrency: false }, () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {string} */ let folder;

  before(async () => {
    assert(existsSync(path.join(www, "pkg/benchmark/llava_benchmark_bg.wasm")), "no module of benchmark.html: ./build.sh build builds it");
    [server, browser, folder] = [await serve(), await launch({ gpu: false }), await mkdtemp(path.join(tmpdir(), "llava-benchmark-"))];
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Writes a sample, and returns its folder. @param {string} name @param {number} pictures @param {string} [as] */
  function sample(name, pictures, as = name) {
    const to = path.join(folder, as);
    run("benchmark", [name, "--sample", to, "--count", String(pictures)]);
    return to;
  }

  /** Asks the sample with the program, and returns its files and the rows of its table.
   * @param {string} name @param {string} part @param {string} data */
  async function natively(name, part, data) {
    const out = path.join(folder, `${name}-native`);
    const flags = ["--model", path.join(www, "models/scenes"), "--backend", "cpu", "--split", part];
    const text = run("benchmark", [name, "--data", data, "--out", out, ...flags]);
    const rows = text.split("\n").filter((line) => /^\| .* \| \d+ \|$/.test(line));
    return { rows: rows.map((line) => line.slice(2, -2).split(" | ")), files: await filesBelow(out) };
  }

  /** Opens the page; every request that carries something is a complaint. */
  async function visit() {
    const visit = await open(browser, `${server.url}benchmark.html`);
    visit.context.on("request", (request) => {
      if (request.method() !== "GET" || request.postData() !== null) visit.complaints.push(`${request.method()} ${request.url()}`);
    });
    return visit;
  }

  /** Chooses a folder, and waits until its benchmark is recognised. @param {Visit} visit @param {string} data */
  async function choose({ page }, data) {
    await page.locator("#files").setInputFiles(data);
    await page.locator("body[data-state=ready] #folder", { hasText: `${path.basename(data)}:` }).waitFor();
  }

  /** Starts, and waits for the end. @param {Visit} visit */
  async function finish({ page }) {
    await page.locator("#start").click();
    await page.locator("body[data-state=ready]").waitFor();
    assert.equal(await page.locator("#error").textContent(), "");
    return page.locator("#status").innerText();
  }

  /** Saves the archive, and returns its files. @param {Visit} visit @param {string} name */
  async function save({ page }, name) {
    const downloading = page.waitForEvent("download");
    await page.locator("#offered a").first().click();
    const download = await downloading;
    assert.equal(download.suggestedFilename(), `${name}-scenes.zip`);
    return unzip(await readFile(await download.path()));
  }

  /** Compares scores and files of the page with those of the program. @param {Visit} visit @param {Sample} sample
   * @param {string} data */
  async function compare(visit, { name, part }, data) {
    const native = await natively(name, part, data);
    const rows = await visit.page.locator("#scores tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
    assert(native.rows.length > 0);
    assert.deepEqual(rows, native.rows, name);
    const saved = await save(visit, name);
    native.files.delete("journal.jsonl");
    assert.deepEqual([...saved.keys()].sort(), [...native.files.keys()].sort());
    for (const [file, contents] of native.files) {
      if (file === "scores.json") {
        const [ours, theirs] = [saved.get(file), contents].map((bytes) => JSON.parse(String(bytes)));
        assert.deepEqual([ours.scores, ours.notes], [theirs.scores, theirs.notes], name);
        assert.equal(ours.settings.questions, theirs.settings.questions, "the same questions");
      } else {
        assert.equal(String(saved.get(file)), String(contents), `${name}: ${file}`);
      }
    }
  }

  test("scores and files are those of the program", async () => {
    const visitor = await visit();
    for (const one of SAMPLES) {
      const data = sample(one.name, one.pictures);
      await choose(visitor, data);
      assert.deepEqual(JSON.parse(await visitor.page.locator("#benchmark").inputValue()), { name: one.name, part: one.part });
      assert.match(await finish(visitor), /^Finished: \d+ questions, 0 of them/);
      await compare(visitor, one, data);
      const marks = await visitor.page.locator("#answers tr").evaluateAll((rows) => rows.map((row) => [row.children[4]?.textContent, row.children[5]?.textContent]));
      assert(marks.length > 0 && marks.every(([expected, mark]) => expected && mark && mark !== "not scored here"), JSON.stringify(marks));
    }
    const foreign = visitor.requests.filter((address) => !address.startsWith(server.url) && !address.startsWith("blob:"));
    assert.deepEqual([foreign, visitor.complaints], [[], []], "nothing is sent");
    await visitor.close();
  });

  test("a dropped folder is asked, paused, stopped, and continued after a reload", async () => {
    const data = sample("vqav2", 4);
    const visitor = await visit();
    const { page } = visitor;
    const session = await visitor.context.newCDPSession(page);
    const drop = { x: 300, y: 300, data: { items: [], files: [data], dragOperationsMask: 1 } };
    for (const type of /** @type {const} */ (["dragEnter", "dragOver", "drop"])) await session.send("Input.dispatchDragEvent", { type, ...drop });
    await page.locator("body[data-state=ready]").waitFor();
    assert.match(await page.locator("#folder").innerText(), /^vqav2: \d+ files/);
    await page.locator("#start").click();
    const answers = page.locator("#answers tr");
    await answers.nth(1).waitFor();
    await page.locator("#pause").click();
    await page.locator("#pause", { hasText: "Resume" }).waitFor();
    // The answer that is being given may still come.
    await page.waitForTimeout(1500);
    const paused = await page.locator("#answers").innerHTML();
    await page.waitForTimeout(700);
    assert.equal(await page.locator("#answers").innerHTML(), paused, "nothing is asked in a pause");
    await page.locator("#stop").click();
    await page.locator("body[data-state=ready]").waitFor();
    assert.match(await page.locator("#status").innerText(), /^Stopped: \d+ of \d+/);
    await page.reload();
    await choose(visitor, data);
    const [, all, kept] = /^Finished: (\d+) questions, (\d+) of them/.exec(await finish(visitor)) ?? assert.fail();
    assert(Number(kept) >= 2 && Number(kept) < Number(all), `${kept} of ${all}`);
    await compare(visitor, { name: "vqav2", part: "val", pictures: 4 }, data);
    await page.reload();
    await choose(visitor, data);
    assert.match(await finish(visitor), new RegExp(`^Finished: ${all} questions, ${all} of them`));
    await page.locator("#forget").click();
    await page.locator("#status", { hasText: "are deleted" }).waitFor();
    assert.deepEqual(visitor.complaints, []);
    await visitor.close();
  });

  test("malformed files and missing pictures are refused with line and field", async () => {
    const data = sample("pope", 2, "malformed");
    const file = path.join(data, "coco/coco_pope_random.json");
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace('"label":"no"', '"label":"nein"'));
    const visitor = await visit();
    const error = visitor.page.locator("#error:not(:empty)");
    await choose(visitor, data);
    await visitor.page.locator("#start").click();
    assert.equal(await error.innerText(), "coco/coco_pope_random.json: line 2: field `label` is `nein`, neither yes nor no");
    await writeFile(file, text);
    const [picture] = await readdir(path.join(data, "val2014"));
    await rm(path.join(data, "val2014", picture ?? ""));
    await choose(visitor, data);
    await visitor.page.locator("#start").click();
    await error.waitFor();
    assert.match(await error.innerText(), /^val2014\/COCO_val2014_\d+\.jpg: does not exist; question 1 is about it, and \d+ more lack theirs$/);
    await visitor.close();
  });
});
