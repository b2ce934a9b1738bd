// The golden tiny models give the same ids in the browser as natively: same worker, same wasm, real WebGPU.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN, launch, open, repository, rootWith, serve } from "./harness.mjs";

const GOLDEN = path.join(repository, "tests/golden");
const QUESTION = "what is in the picture?";
const TOKENS = 24;
const PAIRS = ["q4_0", "legacy", "k"];

/** @param {string} program @param {string[]} args */
const run = (program, args) => execFileSync(path.join(BIN, program), args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

/** @typedef {{ prompt_ids: number[], ids: number[] }} Ids */

/**
 * What the worker answers, asked by the page's own link to it.
 * @param {import("./harness.mjs").Visit} visit @param {string[]} files @param {string} backend
 * @returns {Promise<Ids & { backend: string, adapter: string }>}
 */
function inBrowser(visit, files, backend) {
  const args = { files, backend, question: QUESTION, max_new_tokens: TOKENS };
  return visit.page.evaluate(async ({ files, backend, question, max_new_tokens }) => {
    const address = new URL("page/engine-link.js", document.baseURI).href;
    /** @type {typeof import("../../www/page/engine-link.js")} */
    const { EngineLink } = await import(address);
    const link = new EngineLink((failure) => console.error(failure));
    const addresses = files.map((file) => new URL(`models/${file}`, document.baseURI).href);
    const { report } = await link.open({ addresses }, /** @type {any} */ (backend));
    await link.call("load", { keep: false, context: null });
    const bytes = await (await fetch("models/wide.png")).arrayBuffer();
    await link.call("encode", { bytes });
    const options = { max_new_tokens, temperature: 0, top_p: 1, seed: 0 };
    const { answer } = await link.call("generate", { question, options });
    return { backend: report.backend, adapter: report.adapter, prompt_ids: answer.prompt_ids, ids: answer.ids };
  }, args);
}

/** What the command line answers. @param {string} folder @param {string} backend @returns {Ids} */
function natively(folder, backend) {
  const args = ["--model", folder, "--image", path.join(GOLDEN, "wide.png"), "--prompt", QUESTION, "--backend", backend, "--json", "--max-new-tokens", String(TOKENS)];
  return JSON.parse(run("chat", args));
}

describe("golden models", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  before(async () => {
    served = await rootWith(async (root) => {
      await rm(path.join(root, "models"));
      await mkdir(path.join(root, "models"));
      await cp(path.join(GOLDEN, "wide.png"), path.join(root, "models/wide.png"));
      await cp(path.join(GOLDEN, "mha"), path.join(root, "models/mha"), { recursive: true });
      for (const name of PAIRS) {
        await mkdir(path.join(root, "models", name));
        for (const file of [`${name}.gguf`, `${name}-mmproj.gguf`]) await cp(path.join(GOLDEN, "gguf", file), path.join(root, "models", name, file));
      }
      for (const name of ["mha", "gqa"]) {
        for (const quant of ["f32", "q4"]) run("convert", [path.join(GOLDEN, name), path.join(root, "models", `${name}-${quant}`), "--quant", quant]);
      }
    });
    server = await serve(served.root);
  });
  after(async () => {
    await server?.stop();
    await served?.remove();
  });

  // Shaders compute what the twins do; the CPU rounds activations to 8 bits, in a browser as natively.
  const several = os.availableParallelism() > 1;
  for (const [backend, twin, query, instructions] of /** @type {const} */ ([
    ["webgpu", "reference", "", ""],
    ["cpu", "cpu", "", several ? "WebAssembly relaxed SIMD, " : "WebAssembly SIMD, "],
    ["cpu", "cpu", "&threads=1", "WebAssembly SIMD, 1 thread"],
  ])) {
    test(`ids on ${backend}${query} are those of the command line`, async () => {
      const browser = await launch({ gpu: backend === "webgpu" });
      try {
        for (const model of ["mha-f32", "gqa-f32", "mha-q4", "gqa-q4"]) {
          const visit = await open(browser, `${server.url}?model=models/${model}/manifest.json&backend=cpu${query}`);
          const seen = await inBrowser(visit, [`${model}/manifest.json`], backend);
          const native = natively(path.join(served.root, "models", model), twin);
          assert.equal(seen.backend, backend);
          assert(seen.adapter.includes(instructions), seen.adapter);
          assert(native.ids.length > 0);
          assert.deepEqual(seen.prompt_ids, native.prompt_ids, `${model}: prompt`);
          assert.deepEqual(seen.ids, native.ids, `${model}: answer`);
          // The checkpoint that these shards were made of is read as it is.
          if (model === "mha-f32") assert.deepEqual((await inBrowser(visit, ["mha/config.json"], backend)).ids, native.ids, "checkpoint");
          await visit.close();
        }
        // GGUF pairs, by two addresses: of one type, of the older types mixed, of K types mixed.
        for (const name of PAIRS) {
          const visit = await open(browser, `${server.url}?${query}`);
          const native = natively(path.join(served.root, "models", name), twin);
          const seen = await inBrowser(visit, [`${name}/${name}-mmproj.gguf`, `${name}/${name}.gguf`], backend);
          assert.deepEqual([seen.prompt_ids, seen.ids], [native.prompt_ids, native.ids], name);
          await visit.close();
        }
      } finally {
        await browser.close();
      }
    });
  }
});
