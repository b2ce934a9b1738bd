// Names of models as people write them: read, listed by a stand-in of the hub, paired, opened.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { findModels, pairsOfType, proposePair, quantOf } from "../../www/shared/hub-files.js";
import { parseName } from "../../www/shared/hub-name.js";
import { besideHub } from "./fake-hub.mjs";
import { fakeModel } from "./faulty-host.mjs";
import { open, www } from "./harness.mjs";

const HUB = "https://huggingface.co";
const CATALOGUE = path.join(www, "models/catalogue.json");
const BASE = "http://localhost:8080/";

describe("names", () => {
  /** @param {string} text */
  const repository = (text) => {
    const name = parseName(text, BASE);
    assert("repository" in name, `${text}: ${JSON.stringify(name)}`);
    const { id, revision, folder, quant, file } = name.repository;
    return [id, revision, folder, quant, file].join("|");
  };

  test("a repository, however it is written", () => {
    for (const text of ["org/name", "hf.co/org/name", "huggingface.co/org/name", "https://hf.co/org/name", `${HUB}/org/name`, `${HUB}/org/name/`, `${HUB}/org/name?library=gguf#files`, `  ${HUB}/org/name/tree/main\n`, "hf://org/name", "org/name:latest", "https://www.huggingface.co/org/name"]) {
      assert.equal(repository(text), "org/name|main|||", text);
    }
    for (const text of ["org/name:Q4_K_M", "hf.co/org/name:Q4_K_M", `${HUB}/org/name:Q4_K_M`]) assert.equal(repository(text), "org/name|main||Q4_K_M|", text);
    assert.equal(repository("Qwen_2/na-me.v1.5-GGUF:q8_0"), "Qwen_2/na-me.v1.5-GGUF|main||q8_0|");
    assert.equal(repository(`${HUB}/org/name/tree/v1/a%20b/c`), "org/name|v1|a b/c||");
    assert.equal(repository(`${HUB}/org/name/tree/refs%2Fpr%2F1`), "org/name|refs%2Fpr%2F1|||");
    assert.equal(repository(`${HUB}/org/name/blob/main/sub/x-Q4_0.gguf`), "org/name|main|sub||sub/x-Q4_0.gguf");
    assert.equal(repository(`${HUB}/org/name/resolve/main/x.gguf?download=true`), "org/name|main|||x.gguf");
  });

  test("a file, on the hub and elsewhere", () => {
    /** @type {[string, string][]} */
    const files = [
      [`${HUB}/org/name/blob/main/config.json`, `${HUB}/org/name/resolve/main/config.json`],
      [`${HUB}/org/name/resolve/v2/a%20b/manifest.json?download=true`, `${HUB}/org/name/resolve/v2/a%20b/manifest.json`],
      ["https://example.org/model.gguf?key=1", "https://example.org/model.gguf?key=1"],
      ["models/llava/", `${BASE}models/llava/manifest.json`],
      ["models-local/x.gguf", `${BASE}models-local/x.gguf`],
      ["./a/b", `${BASE}a/b`],
    ];
    for (const [text, address] of files) assert.deepEqual(parseName(text, BASE), { address }, text);
  });

  test("other pages of the hub are refused in words", () => {
    for (const text of [`${HUB}/datasets/org/name`, `${HUB}/org`, "hf.co/spaces/org/name", `${HUB}/org/name/discussions/3`, `${HUB}/org/name/blob/main`]) {
      assert.throws(() => parseName(text, BASE), /not a model's/, text);
    }
  });
});

describe("files of a repository", () => {
  /** @param {[string, number][]} list */
  const files = (...list) => list.map(([path, bytes]) => ({ path, bytes: bytes * 1e6 }));

  test("the type of the weights is read from names of all spellings", () => {
    /** @type {Record<string, string>} */
    const types = { "a-Q4_K_M.gguf": "Q4_K_M", "a.Q8_0.gguf": "Q8_0", "ggml-model-q4_k.gguf": "Q4_K", "a-f16.gguf": "F16", "a-BF16.gguf": "BF16", "a_fp16.gguf": "F16", "a-int4.gguf": "INT4", "q5_1.gguf": "Q5_1", "Q6_K/a-Q6_K-00001-of-00003.gguf": "Q6_K", "a-IQ3_XS.gguf": "IQ3_XS", "a-UD-Q4_K_XL.gguf": "Q4_K_XL", "a.gguf": "" };
    for (const [name, type] of Object.entries(types)) assert.equal(quantOf(name), type, name);
  });

  test("each language model is paired with the mmproj that suits it", () => {
    const smol = findModels(files(["S-256M-Q8_0.gguf", 175], ["S-256M-f16.gguf", 328], ["mmproj-S-256M-Q8_0.gguf", 104], ["mmproj-S-256M-f16.gguf", 190], ["README.md", 1]));
    assert.deepEqual(smol.pairs.map(({ quant, paths, bytes }) => [quant, paths[1], bytes / 1e6]), [["Q8_0", "mmproj-S-256M-Q8_0.gguf", 279], ["F16", "mmproj-S-256M-Q8_0.gguf", 432]]);
    const two = findModels(files(["7b/m-q4_k.gguf", 4], ["7b/mmproj.gguf", 1], ["13b/m-q4_k.gguf", 8], ["13b/mmproj.gguf", 2]));
    assert.deepEqual(two.pairs.map(({ paths }) => paths), [["7b/m-q4_k.gguf", "7b/mmproj.gguf"], ["13b/m-q4_k.gguf", "13b/mmproj.gguf"]]);
    const named = findModels(files(["x-7b-Q4_0.gguf", 4], ["x-13b-Q4_0.gguf", 8], ["x-13b-mmproj-f16.gguf", 1], ["x-7b-mmproj-f16.gguf", 1]));
    assert.deepEqual(named.pairs.map(({ paths }) => paths[1]), ["x-7b-mmproj-f16.gguf", "x-13b-mmproj-f16.gguf"]);
    const vision = findModels(files(["n-text-f16.gguf", 4], ["n-vision-f16.gguf", 1]));
    assert.deepEqual(vision.pairs.map(({ paths }) => paths), [["n-text-f16.gguf", "n-vision-f16.gguf"]]);
  });

  test("a name that speaks of vision is a language model where only its folder or owner does", () => {
    const found = findModels(files(["my-vision/x-Q4_0.gguf", 4], ["my-vision/mmproj-x.gguf", 1]));
    assert.deepEqual(found.pairs.map(({ paths }) => paths), [["my-vision/x-Q4_0.gguf", "my-vision/mmproj-x.gguf"]]);
  });

  test("split files count as one, and not where a piece is missing", () => {
    const pieces = files(["m-Q8_0-00001-of-00002.gguf", 40], ["m-Q8_0-00002-of-00002.gguf", 30], ["m-Q4_0-00001-of-00002.gguf", 20], ["mmproj.gguf", 1]);
    assert.deepEqual(findModels(pieces).pairs, [{ quant: "Q8_0", paths: ["m-Q8_0-00001-of-00002.gguf", "mmproj.gguf"], bytes: 71e6 }]);
  });

  test("types that the engine does not read are not offered", () => {
    const { pairs, unread } = findModels(files(["m-Q2_K.gguf", 2], ["m-IQ4_NL.gguf", 3], ["m-Q4_0_4_4.gguf", 4], ["m-Q4_0.gguf", 4], ["mmproj.gguf", 1]));
    assert.deepEqual([pairs.map(({ quant }) => quant), unread.length], [["Q4_0"], 3]);
  });

  test("a checkpoint and shards are found by their main files", () => {
    assert.equal(findModels(files(["config.json", 0], ["model.safetensors", 9])).config, "config.json");
    assert.equal(findModels(files(["config.json", 0], ["README.md", 9])).config, "");
    assert.equal(findModels(files(["a/b/config.json", 0], ["a/b/model.safetensors", 9], ["a/config.json", 0], ["a/model.safetensors", 9])).config, "a/config.json");
    assert.equal(findModels(files(["q4/manifest.json", 0], ["q4/0123456789abcdef.bin", 9])).manifest, "q4/manifest.json");
    assert.equal(findModels(files(["manifest.json", 0], ["weights.bin", 9])).manifest, "");
  });

  test("the proposed type is the widest that fits and is no long download", () => {
    /** @param {[string, number][]} list */
    const pairs = (...list) => findModels([...files(["mmproj-f16.gguf", 600]), ...list.flatMap(([type, bytes]) => files([`m-${type}.gguf`, bytes]))]).pairs;
    const large = pairs(["Q4_0", 3830], ["Q4_K_M", 4080], ["Q5_K_M", 4780], ["Q8_0", 7160], ["f16", 13_500]);
    const type = (/** @type {number} */ memory, list = large) => proposePair(list, memory * 1e9)?.quant;
    assert.deepEqual([32, 5.15, 4.5, 1].map((memory) => type(memory)), ["Q4_K_M", "Q4_K_M", "Q4_0", "Q4_0"]);
    const small = pairs(["Q4_K_M", 108], ["Q8_0", 175], ["f16", 328]);
    assert.deepEqual([32, 1].map((memory) => type(memory, small)), ["Q8_0", "Q8_0"]);
    assert.deepEqual(pairsOfType(large, "q4_k").map(({ quant }) => quant), ["Q4_K_M"]);
    assert.deepEqual(pairsOfType(large, "fp16").map(({ quant }) => quant), ["F16"]);
    assert.deepEqual(pairsOfType(large, "Q6_K"), []);
  });
});

describe("a model of the hub", () => {
  const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof besideHub>>["server"]} */ let server;
  /** @type {import("./fake-hub.mjs").FakeHub} */ let hub;
  let stop = async () => {};
  before(async () => void ({ hub, server, browser, stop } = await besideHub()));
  after(() => stop());

  /** A .gguf for the stand-in engine. @param {string} name @param {number} [seed] @param {object} [more] */
  function gguf(name, seed = 1, more = {}) {
    const { file, plan, header } = fakeModel({ parts: 4, seed, more: { name: `Model of ${name}`, ...more } });
    for (const part of plan.parts) part.file = name;
    file.fill(0, 0, header).write(JSON.stringify(plan));
    return file;
  }

  /** Opens the page with a model, and the hub in its place. @param {string} model @param {string} [more] */
  async function visit(model, more = "") {
    Object.assign(hub, { asked: [], expired: 0, expires: () => false, limit: Infinity });
    const visit = await open(browser, "about:blank", PLAIN);
    await hub.serveTo(visit.context);
    await visit.page.goto(`${server.url}?model=${encodeURIComponent(model)}${more}`);
    return visit;
  }
  /** @param {import("playwright-core").Page} page @param {string} text */
  const machineSays = (page, text) => page.locator("#machine", { hasText: text }).waitFor({ state: "attached" });

  test("org/name: listed over pages, paired, opened over signed redirects; its files are in the page's address", async () => {
    hub.add("org/pair", { "README.md": 10, "m-Q2_K.gguf": 3e6, "m-Q4_0.gguf": gguf("m-Q4_0.gguf"), "m-Q8_0.gguf": gguf("m-Q8_0.gguf", 2), "mmproj-f16.gguf": 1000 });
    hub.pageLength = 2;
    const { page, requests, complaints } = await visit("org/pair");
    await machineSays(page, "Model of m-Q8_0.gguf");
    await page.locator("[data-testid=status][data-state=ready]").waitFor();
    const { searchParams } = new URL(page.url());
    assert.deepEqual([searchParams.get("model"), searchParams.get("mmproj")], [`${HUB}/org/pair/resolve/main/m-Q8_0.gguf`, `${HUB}/org/pair/resolve/main/mmproj-f16.gguf`]);
    assert.equal(hub.asked.filter((address) => address.startsWith("/api/")).length, 3, `${hub.asked}`);
    assert(requests.some((request) => request.startsWith(`${hub.signedOrigin}/org/pair/m-Q8_0.gguf?signature=`)));
    assert.deepEqual(complaints, []);
    // The next visit opens the files, and does not ask for the listing.
    hub.asked.length = 0;
    await page.reload();
    await machineSays(page, "Model of m-Q8_0.gguf");
    assert(hub.asked.every((address) => !address.startsWith("/api/")), `${hub.asked}`);
    hub.pageLength = 1000;
    await page.context().close();
  });

  test("a type in the name, a page of a file, and another type on the card", async () => {
    const big = { total_bytes: 4e8 };
    hub.add("org/types", { "m-Q4_K_M.gguf": gguf("m-Q4_K_M.gguf", 3, big), "m-Q8_0.gguf": gguf("m-Q8_0.gguf", 4, big), "mmproj-f16.gguf": 1000 });
    for (const name of ["org/types:Q4_K_M", "hf.co/org/types:q4_k", `${HUB}/org/types/blob/main/m-Q4_K_M.gguf`]) {
      const { page } = await visit(name);
      const card = page.locator("#offer");
      await card.getByRole("heading", { name: "Model of m-Q4_K_M.gguf" }).waitFor();
      const choice = card.getByLabel("Version");
      assert.match(await choice.locator("option:checked").innerText(), /^Q4_K_M: /);
      assert.deepEqual(await choice.locator("option").count(), 2);
      await choice.selectOption({ index: (await choice.locator("option").allInnerTexts()).findIndex((text) => text.startsWith("Q8_0")) });
      await card.getByRole("heading", { name: "Model of m-Q8_0.gguf" }).waitFor();
      assert.match(new URL(page.url()).searchParams.get("model") ?? "", /m-Q8_0\.gguf$/);
      await page.context().close();
    }
  });

  test("in the dialog, by its name; what is wrong is said there", async () => {
    hub.add("org/dialog", { "m-Q8_0.gguf": gguf("m-Q8_0.gguf", 5), "mmproj-f16.gguf": 1000 });
    const { page } = await visit("models/scenes/manifest.json");
    await page.locator("[data-testid=status][data-state=ready]").waitFor();
    await page.getByRole("button", { name: "Another model" }).click();
    const field = page.getByLabel("Name of a model on Hugging Face");
    for (const [name, words] of /** @type {const} */ ([["org/nothing", /org\/nothing: the hub has no public model of this name/], ["org/dialog:Q5_K_M", /org\/dialog:Q5_K_M: this repository has no such type of weights\. It has Q8_0\./]])) {
      await field.fill(name);
      await page.keyboard.press("Enter");
      await page.locator("#models-error", { hasText: words }).waitFor();
    }
    await field.fill("org/dialog");
    await page.keyboard.press("Enter");
    await machineSays(page, "Model of m-Q8_0.gguf");
    await page.context().close();
  });

  /** @type {[string, string, Record<string, Buffer | number>, Partial<import("./fake-hub.mjs").Repository>, RegExp][]} */
  const refused = [
    ["a model that needs an account", "org/closed", { "config.json": 9 }, { closed: true }, /needs an account.*Sign in at https:\/\/huggingface\.co\/org\/closed.*from your disk/s],
    ["files that need an account", "org/gated", { "m-Q8_0.gguf": 9000, "mmproj.gguf": 9000 }, { gated: true }, /answered 401.*agreement.*from your disk/s],
    ["a language model alone", "org/alone", { "m-Q4_0.gguf": 9 }, {}, /a language model \(m-Q4_0\.gguf\) but no mmproj.*second field/s],
    ["types that are not read", "org/narrow", { "m-Q2_K.gguf": 9, "mmproj.gguf": 9 }, {}, /such as the engine does not read: m-Q2_K\.gguf/],
    ["no model", "org/data", { "README.md": 9, "train.csv": 9 }, {}, /holds no model that the engine can open: README\.md, train\.csv/],
    ["nothing", "org/empty", {}, {}, /it holds no files/],
  ];
  for (const [what, id, files, more, words] of refused) {
    test(`${what}: said in words`, async () => {
      hub.add(id, files, more);
      const it = await visit(id);
      await it.at("error").waitFor();
      assert.match(await it.errorText(), words);
      await it.close();
    });
  }

  test("a limit on requests: said with the time to wait", async () => {
    hub.add("org/limited", { "config.json": 9 });
    const it = await visit("models/scenes/manifest.json");
    await it.reaches("ready");
    hub.limit = 0;
    await it.page.getByRole("button", { name: "Another model" }).click();
    await it.page.getByLabel("Name of a model on Hugging Face").fill("org/limited");
    await it.page.keyboard.press("Enter");
    await it.page.locator("#models-error", { hasText: /limits how often it may be asked \(429\)/ }).waitFor();
    await it.close();
  });

  test("a checkpoint is opened by its config.json, and shards by their manifest", async () => {
    const plan = JSON.stringify({ name: "A checkpoint", parts: [], total_bytes: 0 });
    hub.add("org/checkpoint", { "config.json": Buffer.from(plan), "model.safetensors": 9000 });
    hub.add("org/shards", { "manifest.json": Buffer.from(plan), "0123456789abcdef.bin": 9000 });
    for (const [id, file] of [["org/checkpoint", "config.json"], ["org/shards", "manifest.json"]]) {
      const it = await visit(String(id));
      await machineSays(it.page, "A checkpoint");
      assert.equal(new URL(it.page.url()).searchParams.get("model"), `${HUB}/${id}/resolve/main/${file}`);
      await it.close();
    }
  });

  test("what the catalogue knows of a model: its template, whichever way it is named", async () => {
    const id = "xtuner/llava-phi-3-mini-gguf";
    const [language, projector] = ["llava-phi-3-mini-int4.gguf", "llava-phi-3-mini-mmproj-f16.gguf"];
    hub.add(id, { [language]: gguf(language, 12), "llava-phi-3-mini-f16.gguf": 9000, [projector]: 1000 });
    const pair = `${HUB}/${id}/resolve/main/${language}`;
    for (const [name, more] of [[`${id}:INT4`, ""], [pair, `&mmproj=${HUB}/${id}/resolve/main/${projector}`]]) {
      const it = await visit(String(name), more);
      await machineSays(it.page, "template phi_3");
      await it.close();
    }
  });

  test("the card says what is known to go wrong with a model of the catalogue", async () => {
    const id = "xtuner/llava-phi-3-mini-gguf";
    const [language, projector] = ["llava-phi-3-mini-int4.gguf", "llava-phi-3-mini-mmproj-f16.gguf"];
    hub.add(id, { [language]: gguf(language, 12, { total_bytes: 2e9 }), [projector]: 1000 });
    const it = await visit(`${id}:int4`);
    await it.page.locator("#offer-facts").getByText("Its answers end with the token <|end|>, 32007").waitFor();
    await it.close();
  });

  test("every model of the catalogue is suggested where a name is typed, and its name means its files", async () => {
    const it = await visit("models/scenes/manifest.json");
    await it.reaches("ready");
    await it.page.getByRole("button", { name: "Another model" }).click();
    const options = it.page.locator("#known-models option");
    await options.first().waitFor({ state: "attached" });
    const values = await options.evaluateAll((list) => list.map((option) => /** @type {HTMLOptionElement} */ (option).value));
    const { models } = JSON.parse(await readFile(CATALOGUE, "utf8"));
    const variants = models.flatMap((/** @type {any} */ { variants }) => variants).filter((/** @type {any} */ { repository }) => repository);
    assert.equal(values.length, variants.length);
    for (const { repository, name, files } of variants) {
      const paths = files.map((/** @type {any} */ { path }) => path);
      if (paths.includes(null)) continue;
      const text = `${repository}:${name}`;
      assert(values.includes(text), text);
      const all = variants.filter((/** @type {any} */ other) => other.repository === repository).flatMap((/** @type {any} */ other) => other.files);
      const found = proposePair(pairsOfType(findModels(all).pairs, name), 1e12);
      assert.deepEqual(found?.paths, paths, text);
    }
    await it.close();
  });

  test("a language model of the hub with an mmproj from elsewhere", async () => {
    hub.add("org/language", { "m-Q8_0.gguf": gguf("m-Q8_0.gguf", 6) });
    const it = await visit("org/language", `&mmproj=${encodeURIComponent(`${HUB}/org/pair/resolve/main/mmproj-f16.gguf`)}`);
    await machineSays(it.page, "Model of m-Q8_0.gguf");
    await it.close();
  });

  test("signatures that expire: the hub's address gives another, and loading goes on", async () => {
    hub.add("org/expires", { "m-Q8_0.gguf": gguf("m-Q8_0.gguf", 8), "mmproj-f16.gguf": 1000 });
    const it = await open(browser, "about:blank", PLAIN);
    await hub.serveTo(it.context);
    // Every other one, the first included.
    Object.assign(hub, { expired: 0, expires: (/** @type {number} */ number) => number % 2 === 0 });
    try {
      await it.page.goto(`${server.url}?model=org/expires`);
      await it.reaches("ready");
      await machineSays(it.page, "Model of m-Q8_0.gguf");
      await machineSays(it.page, "all of it");
      assert(hub.expired > 1, `${hub.expired} had expired`);
    } finally {
      hub.expires = () => false;
      await it.close();
    }
  });
});
