// The golden model as the original LLaVA-1.5 is published (files of PyTorch, the CLIP tower elsewhere) gives the same
// ids in the browser as on the command line: from two addresses, and from files of the person.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN, launch, open, repository, rootWith, serve } from "./harness.mjs";

const GOLDEN = path.join(repository, "tests/golden");
const QUESTION = "what is in the picture?";
const TOKENS = 12;
const PARTS = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
const MAIN = ["config.json", "generation_config.json", "tokenizer.json", "pytorch_model.bin.index.json", ...PARTS];
const TOWER = ["config.json", "preprocessor_config.json", "pytorch_model.bin"];

/** @typedef {{ prompt_ids: number[], ids: number[] }} Ids */

/** What the worker answers, asked by the page's own link to it. `chosen`: paths of files that a person picks.
 * @param {import("./harness.mjs").Visit} visit @param {{ addresses?: string[], chosen?: string[] }} model
 * @returns {Promise<Ids>} */
function inBrowser(visit, model) {
  return visit.page.evaluate(async ({ addresses, chosen, question, max_new_tokens }) => {
    /** @param {string} name */
    const ours = (name) => import(new URL(name, document.baseURI).href);
    /** @param {string} name */
    const address = (name) => new URL(`models/${name}`, document.baseURI).href;
    /** @param {string} name */
    const fetched = async (name) => (await fetch(address(name))).arrayBuffer();
    /** @type {typeof import("../../www/llava/engine-link.js")} */
    const { EngineLink } = await ours("llava/engine-link.js");
    /** @type {typeof import("../../www/shared/address.js")} */
    const { modelFromFiles } = await ours("shared/address.js");
    /** @type {typeof import("../../www/page/deep-link.js")} */
    const { looksLikeModel } = await ours("page/deep-link.js");
    const list = await Promise.all((chosen ?? []).map(async (path) => ({ path, file: new File([await fetched(path)], path.split("/").pop() ?? "") })));
    if (chosen && !looksLikeModel(list.filter(({ path }) => path.endsWith(".bin")))) throw new Error("files of PyTorch are taken for pictures");
    const link = new EngineLink((failure) => console.error(failure), { threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
    await link.open(chosen ? modelFromFiles(list) : { addresses: (addresses ?? []).map(address) }, "cpu");
    await link.call("load", { keep: false, context: null });
    const { encoded } = await link.call("encode", { bytes: await fetched("wide.png"), needed: [] });
    const { answer } = await link.call("generate", { messages: [{ role: "user", parts: [{ image: encoded.id }, { text: question }] }], options: { max_new_tokens, temperature: 0, top_p: 1, seed: 0 } });
    return { prompt_ids: answer.prompt_ids, ids: answer.ids };
  }, { ...model, question: QUESTION, max_new_tokens: TOKENS });
}

describe("files of PyTorch", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  /** @type {import("playwright-core").Browser} */ let browser;
  before(async () => {
    served = await rootWith(async (root) => {
      const models = path.join(root, "models");
      await rm(models);
      await mkdir(models);
      await cp(path.join(GOLDEN, "wide.png"), path.join(models, "wide.png"));
      await cp(path.join(GOLDEN, "pickle"), path.join(models, "llava"), { recursive: true });
      for (const [name, to] of /** @type {const} */ ([["tokenizer.json", ""], ["generation_config.json", ""], ["preprocessor_config.json", "vision_tower"]])) {
        await cp(path.join(GOLDEN, "mha", name), path.join(models, "llava", to, name));
      }
      // The tower where its own repository is, too.
      await cp(path.join(models, "llava/vision_tower"), path.join(models, "clip"), { recursive: true });
      await cp(path.join(GOLDEN, "mha"), path.join(models, "mha"), { recursive: true });
    });
    server = await serve(served.root);
    browser = await launch({ gpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await served?.remove();
  });

  test("from two addresses and from a folder, as the command line and as the safetensors they were made of", async () => {
    /** @param {string} name @returns {Ids} */
    const natively = (name) => {
      const args = ["--model", path.join(served.root, "models", name), "--image", path.join(GOLDEN, "wide.png"), "--prompt", QUESTION];
      return JSON.parse(execFileSync(path.join(BIN, "chat"), [...args, "--backend", "cpu", "--json", "--max-new-tokens", String(TOKENS)], { encoding: "utf8" }));
    };
    const [wanted, pickles] = [natively("mha"), natively("llava")];
    assert(wanted.ids.length > 0);
    assert.deepEqual([pickles.prompt_ids, pickles.ids], [wanted.prompt_ids, wanted.ids], "the command line");
    const visit = await open(browser, `${server.url}?model=models/mha/config.json&backend=cpu&threads=1`);
    for (const model of [
      { addresses: ["llava/config.json", "clip/config.json"] },
      { chosen: [...MAIN.map((name) => `llava/${name}`), ...TOWER.map((name) => `llava/vision_tower/${name}`)] },
    ]) {
      const seen = await inBrowser(visit, model);
      assert.deepEqual([seen.prompt_ids, seen.ids], [wanted.prompt_ids, wanted.ids], JSON.stringify(model));
    }
    await visit.close();
  });
});
