// The catalogue of models, and ./build.sh check-catalogue against a stand-in of the hub.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { checkCatalogue } from "./catalogue-schema.mjs";
import { FakeHub } from "./fake-hub.mjs";
import { here, repository, www } from "./harness.mjs";

const FILE = path.join(www, "models/catalogue.json");
/** @returns {Promise<any>} */
const read = async () => JSON.parse(await readFile(FILE, "utf8"));
/** Names of prompt templates, in the engine's source. */
const templates = async () => [...(await readFile(path.join(repository, "src/prompt.rs"), "utf8")).matchAll(/Self::\w+ => "(\w+)"/g)].map(([, name = ""]) => name);

describe("the catalogue", () => {
  test("is as its schema says", async () => {
    const known = await templates();
    assert(known.includes("phi_3") && known.length >= 6, `${known}`);
    assert.deepEqual(checkCatalogue(await read(), known), []);
  });

  test("a wrong field is named", async () => {
    const known = await templates();
    /** @type {[string, (catalogue: any) => void, RegExp][]} */
    const wrongs = [
      ["another field at the top", (catalogue) => (catalogue.more = 1), /one list/],
      ["no name", ({ models }) => delete models[1].name, /no name/],
      ["an unknown field", ({ models }) => (models[1].speed = 3), /unknown field speed/],
      ["a length in words", ({ models }) => (models[1].variants[0].files[0].bytes = "175 MB"), /bytes is "175 MB"/],
      ["a length of nothing", ({ models }) => (models[1].variants[0].files[0].bytes = 0), /bytes is 0/],
      ["an address of another host", ({ models }) => (models[1].variants[0].repository = "https://example.org/x"), /repository is/],
      ["a path out of the repository", ({ models }) => (models[1].variants[0].files[0].path = "../x.gguf"), /path is/],
      ["a template that the engine does not know", ({ models }) => (models[1].template = "smol"), /template is "smol"/],
      ["what it knows", ({ models }) => (models[1].knows = "cats"), /knows is "cats"/],
      ["a trap without words", ({ models }) => (models[1].traps = [" "]), /traps is/],
      ["an id that occurs twice", ({ models }) => (models[1].id = models[2].id), /is there twice/],
      ["less memory than weights", ({ models }) => (models[1].variants[0].memory = 1000), /needs 1000 for/],
      ["more bytes a token than there are", ({ models }) => (models[1].variants[0].bytes_per_token = 9e12), /a token reads/],
      ["an offer whose files have no names", ({ models }) => (models[1].variants[0].files[1].path = null), /is offered/],
    ];
    for (const [what, change, complaint] of wrongs) {
      const catalogue = await read();
      change(catalogue);
      assert.match(checkCatalogue(catalogue, known).join("\n"), complaint, what);
    }
  });

  test("says of the shipped model what is true", async () => {
    const { models } = await read();
    const shipped = models.find((/** @type {any} */ { knows }) => knows === "shapes");
    const folder = path.join(www, "models/scenes");
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(path.join(folder, name))).size));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    assert(Math.abs(shipped.variants[0].files[0].bytes - bytes) < bytes / 20, `${bytes}`);
    const manifest = JSON.parse(await readFile(path.join(folder, "manifest.json"), "utf8"));
    assert.equal(shipped.parameters, manifest.parameters);
  });
});

describe("check-catalogue", () => {
  /** @type {FakeHub} */ let hub;
  before(async () => {
    hub = await new FakeHub().listen();
  });
  after(() => hub.close());

  /** @param {string[]} more */
  async function check(...more) {
    const child = spawn(process.execPath, [path.join(here, "check-catalogue.mjs"), "--host", hub.origin, ...more], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
    const [code] = await once(child, "close");
    return { code, said };
  }

  /** Gives the stand-in every file of the catalogue, of the length that it says. */
  async function fill() {
    hub.repositories.clear();
    for (const { page, variants } of (await read()).models) {
      if (page && !hub.repositories.has(page)) hub.add(page, { "README.md": 100 });
      for (const { repository: id, files } of variants) {
        if (!id) continue;
        const known = Object.fromEntries(hub.repositories.get(id)?.files ?? []);
        hub.add(id, { ...known, ...Object.fromEntries(files.filter((/** @type {any} */ file) => file.path).map((/** @type {any} */ file) => [file.path, file.bytes])) });
      }
    }
  }

  test("finds the catalogue right where the hub agrees, over pages of its listing", async () => {
    await fill();
    hub.pageLength = 2;
    const { code, said } = await check();
    assert.equal(code, 0, said);
    assert.match(said, /ok +ggml-org\/SmolVLM-256M-Instruct-GGUF\/SmolVLM-256M-Instruct-Q8_0\.gguf: 175,054,528 bytes/);
    assert.match(said, /about 792,000,000 bytes \(exactly 792,000,000\)/);
    assert.match(said, /The catalogue is right\./);
    assert(hub.asked.some((address) => address.includes("cursor=2")));
    hub.pageLength = 1000;
  });

  test("names each file that differs, is not there, or is not for everybody", async () => {
    await fill();
    const smol = "ggml-org/SmolVLM-256M-Instruct-GGUF";
    hub.repositories.get(smol)?.files.set("SmolVLM-256M-Instruct-Q8_0.gguf", 175_054_529);
    hub.repositories.get(smol)?.files.delete("mmproj-SmolVLM-256M-Instruct-Q8_0.gguf");
    hub.repositories.get("ZiangWu/MobileVLM_V2-1.7B-GGUF")?.files.set("ggml-model-q4_k.gguf", 900e6);
    Object.assign(hub.repositories.get("mys/ggml_bakllava-1") ?? {}, { gated: true });
    hub.repositories.delete("mtgv/MobileVLM_V2-1.7B");
    const { code, said } = await check();
    assert.equal(code, 1, said);
    for (const line of [
      /differs +ggml-org\/SmolVLM-256M-Instruct-GGUF\/SmolVLM-256M-Instruct-Q8_0\.gguf: the catalogue says 175,054,528 bytes, its host 175,054,529/,
      /not there +ggml-org\/SmolVLM-256M-Instruct-GGUF\/mmproj-\S+: the listing does not have it/,
      /differs +ZiangWu\/MobileVLM_V2-1\.7B-GGUF\/ggml-model-q4_k\.gguf: the catalogue says about/,
      /not there +mys\/ggml_bakllava-1\/ggml-model-q4_k\.gguf: status 401/,
      /not there +mtgv\/MobileVLM_V2-1\.7B: status 401 RepoNotFound/,
      /6 to correct/,
    ]) assert.match(said, line);
  });

  test("says when no host answers", async () => {
    const { code, said } = await check("--host", "http://127.0.0.1:9");
    assert.equal(code, 1);
    assert.match(said, /not there +HuggingFaceTB\/SmolVLM-256M-Instruct: fetch failed/);
  });
});
