// The weights of a float checkpoint: held as they are, as q8 or as q4, as the person chooses on the card. First the
// page with the stand-in engine, then the engine itself.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { FaultyHost, fakeModel } from "./faulty-host.mjs";
import { BIN, fakeRoot, launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** @typedef {import("playwright-core").Page} Page */

const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };
const run = promisify(execFile);

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {FaultyHost} */ let host;

before(async () => {
  host = await new FaultyHost().listen();
  browser = await launch({ gpu: false });
});
after(async () => {
  await browser?.close();
  await host?.close();
});

/** @param {Page} page @param {string} text */
const machineSays = (page, text) => page.locator("#machine", { hasText: text }).waitFor({ state: "attached" });

/** @param {number} speed @param {boolean} [fits] */
const probe = (speed, fits = true) => ({ decode_tokens_per_second: speed, prefill_rows_per_second: 10 * speed, fits, message: fits ? "" : "The GPU gave 9.0 GB." });

describe("a float checkpoint, and the stand-in engine", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof fakeRoot>>} */ let served;
  before(async () => {
    served = await fakeRoot();
    server = await serve(served.root, ["--model-host", host.origin]);
  });
  after(async () => {
    await server?.stop();
    await served?.remove();
  });

  /** @param {Record<"exact" | "q8" | "q4", object>} probes @param {number} seed */
  function floats(probes, seed) {
    const memory = { weights: 13.5e9, cache_per_token: 1e6, cache_type: "f16", scratch: 1e8, total: 14.6e9, conversations: 5e8 };
    const choices = [
      { quant: null, memory: 14.6e9, bytes_per_token: 13e9, probe: probes.exact },
      { quant: "q8", memory: 8.1e9, bytes_per_token: 7e9, probe: probes.q8 },
      { quant: "q4", memory: 5.2e9, bytes_per_token: 4e9, probe: probes.q4 },
    ];
    const model = fakeModel({ parts: 6, seed, more: { total_bytes: 13.5e9, context: 1024, longest_context: 4096, memory, choices, probe: probes.exact } });
    host.files.set(`floats-${seed}.gguf`, model.file);
    for (const part of model.plan.parts) part.file = `floats-${seed}.gguf`;
    model.file.fill(0, 0, model.header);
    model.file.write(JSON.stringify(model.plan));
    return `${server.url}?backend=webgpu&model=${host.origin}/floats-${seed}.gguf`;
  }

  test("the widest type that fits comfortably is proposed; the card has the numbers of all three, and the choice is kept", async () => {
    const visit = await open(browser, floats({ exact: probe(9, false), q8: probe(0.9), q4: probe(7.5) }, 11), { ...PLAIN, viewport: { width: 390, height: 800 } });
    const { page } = visit;
    const card = page.locator("#offer");
    await card.getByText("about 7.5 tokens/s").waitFor();
    const text = await card.innerText();
    for (const words of [
      "as they are: 13.5 GB to download, needs 14.6 GB of graphics memory",
      "nearly exact: 13.5 GB to download, needs 8.1 GB of graphics memory",
      "lossy, answers may differ (proposed): 13.5 GB to download, needs 5.2 GB of graphics memory",
      "q4: the widest type that fits this machine comfortably.",
    ]) assert(text.replace(/\s+/g, " ").includes(words), `${words} in ${text}`);
    assert(await card.getByLabel("q4").isChecked());
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `the page is ${overflow} px wider than a phone`);
    if (process.env.LLAVA_SHOTS) await page.screenshot({ path: path.join(process.env.LLAVA_SHOTS, "weights.png"), fullPage: true });
    // What the person has set stays when another type is looked at; memory and speed follow it.
    await card.getByLabel("Longest conversation").selectOption("2048");
    await card.getByLabel("q8").check();
    await card.getByText("about 0.9 tokens/s").waitFor();
    assert.equal(await card.getByLabel("Longest conversation").inputValue(), "2048");
    assert.match(await card.innerText(), /Needs\s+9\.1 GB of graphics memory/);
    assert.match(await card.innerText(), /q8: as you chose/);
    await card.getByLabel("as they are").check();
    await card.getByText("The GPU gave 9.0 GB. A smaller type for its weights needs less.").waitFor();
    await card.getByLabel("q8").check();
    await card.getByText("about 0.9 tokens/s").waitFor();
    assert.equal(host.asked.filter(({ first }) => first >= 4096 * 2).length, 0, "no weights before the person agrees");
    await card.getByRole("button", { name: "Download and load" }).click();
    await visit.reaches("ready");
    await machineSays(page, "loaded as q8");
    await machineSays(page, "quantised to q8 during loading, as you chose");
    await page.reload();
    await machineSays(page, "13.5 GB");
    assert(await card.getByLabel("q8").isChecked(), "remembered, though the stand-in's total asks again");
    await visit.close();
  });

  test("what fits comfortably as it is stays so; the address decides for a visit", async () => {
    const address = floats({ exact: probe(30), q8: probe(40), q4: probe(60) }, 12);
    const visit = await open(browser, address, PLAIN);
    const card = visit.page.locator("#offer");
    await card.getByText("about 30 tokens/s").waitFor();
    assert(await card.getByLabel("as they are").isChecked());
    await visit.page.goto(`${address}&quant=q4`);
    await card.getByText("about 60 tokens/s").waitFor();
    assert(await card.getByLabel("q4").isChecked());
    await card.getByLabel("q8").check();
    await card.getByText("about 40 tokens/s").waitFor();
    await card.getByRole("button", { name: "Download and load" }).click();
    await visit.reaches("ready");
    assert.equal(new URL(visit.page.url()).searchParams.get("quant"), "q8", "the address says what was chosen");
    // Nonsense in it is no choice.
    await visit.page.evaluate(() => localStorage.clear());
    await visit.page.goto(`${address}&quant=q5`);
    await card.getByText("about 30 tokens/s").waitFor();
    await visit.close();
  });
});

describe("a float checkpoint, and the engine", () => {
  /** @type {string} */ let disk;
  before(async () => {
    disk = await mkdtemp(path.join(tmpdir(), "llava-weights-"));
  });
  after(() => rm(disk, { recursive: true, force: true }));

  test("q4 chosen on the card answers as the converted one does; another choice needs no second download", async () => {
    const models = path.join(disk, "models");
    const halves = path.join(models, "halves");
    await cp(path.join(repository, "tests/golden/mha"), halves, { recursive: true });
    assert((await readFile(path.join(halves, "model.safetensors"))).includes('"dtype":"F16"'));
    // Every model is worth asking about here.
    const { root, remove } = await rootWith(async (root) => {
      for (const [name, constant] of /** @type {const} */ ([["page/loading.js", "ASK_ABOVE"], ["llava/weights.js", "SMALL_MODEL"]])) {
        const folder = path.dirname(name);
        await rm(path.join(root, folder));
        await cp(path.join(www, folder), path.join(root, folder), { recursive: true });
        const file = path.join(root, name);
        const source = await readFile(file, "utf8");
        assert(source.includes(`${constant} = 100e6`));
        await writeFile(file, source.replace(`${constant} = 100e6`, `${constant} = 1e4`));
      }
    });
    const server = await serve(root, ["--models", models]);
    const picture = path.join(repository, "tests/golden/wide.png");
    /** @param {string} model */
    const native = async (model) => {
      const { stdout } = await run(path.join(BIN, "chat"), ["--model", model, "--backend", "cpu", "--image", picture, "--prompt", "what is it?", "--max-new-tokens", "256", "--json"]);
      return JSON.parse(stdout).text.trim();
    };
    try {
      const shards = path.join(disk, "shards");
      /** @type {Record<string, string>} */ const wanted = {};
      for (const quant of ["q4", "q8"]) {
        await run(path.join(BIN, "convert"), [halves, shards, "--quant", quant, "--force"]);
        wanted[quant] = await native(shards);
      }
      assert.notEqual(wanted.q4, wanted.q8, "the answers tell the types apart");
      const visit = await open(browser, `${server.url}?backend=cpu&threads=1&model=${server.url}models-local/halves/config.json`, PLAIN);
      const { page } = visit;
      const card = page.locator("#offer");
      await card.getByText(/about .* tokens\/s/).waitFor();
      const sizes = [...(await card.innerText()).matchAll(/(as they are|q8|q4)[^\n]*: ([\d.]+ [kM]B) to download, needs ([\d.]+) ([kM]B)/g)];
      assert.equal(sizes.length, 3, await card.innerText());
      assert.equal(new Set(sizes.map((size) => size[2])).size, 1, "the bytes to fetch are the same");
      // So small a model is told apart in its first digits alone.
      assert(Number(sizes[2]?.[3]) < Number(sizes[0]?.[3]) && sizes[0]?.[4] === sizes[2]?.[4], `q4 needs less: ${sizes}`);
      await card.getByLabel("q4").check();
      await card.getByText("q4: as you chose").waitFor();
      await card.getByRole("button", { name: "Download and load" }).click();
      await visit.reaches("ready");
      await visit.show(picture);
      await visit.reaches("ready");
      assert.equal(await visit.ask("what is it?"), wanted.q4);
      const weights = () => visit.requests.filter((request) => request.endsWith("model.safetensors")).length;
      assert(weights() > 1);
      for (const quant of ["q4", "q8"]) {
        visit.requests.length = 0;
        const address = new URL(page.url());
        if (quant === "q8") address.searchParams.set("quant", quant);
        await page.goto(address.href);
        await visit.reaches("ready");
        await machineSays(page, `quantised to ${quant}`);
        await visit.showAlone(picture);
        await visit.reaches("ready");
        assert.equal(await visit.ask("what is it?"), wanted[quant]);
        assert(weights() <= 1, `${weights()} requests for weights that are kept: ${visit.requests.join(" ")}`);
      }
      assert.deepEqual(visit.complaints, []);
      await visit.close();
    } finally {
      await server.stop();
      await remove();
    }
  });
});
