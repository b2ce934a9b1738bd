// The golden tiny models give the same ids in every browser engine as natively: same worker, same wasm, real WebGPU. On
// Firefox's WebGPU, on lavapipe, in every tier too, with logits within the tier's bound.

import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ENGINES } from "./engines.mjs";
import { repository, rootWith, serve } from "./harness.mjs";
import { natively, run } from "./native.mjs";
import { SOFTWARE, hardware, nmse } from "./tiers.mjs";

/** @typedef {import("./driver/driver.mjs").Driver} Driver */
/** @typedef {import("./tiers.mjs").Tuning} Tuning */

const GOLDEN = path.join(repository, "tests/golden");
const WIDE = path.join(GOLDEN, "wide.png");
const QUESTION = "what is in the picture?";
const TOKENS = 24;
const PAIRS = ["q4_0", "legacy", "k"];
/** Options of sampling: every step of the sampler takes part. */
const SAMPLING = { temperature: 0.9, top_k: 60, top_p: 0.95, min_p: 0.01, repetition_penalty: 1.1, frequency_penalty: 0.2, presence_penalty: 0.1, seed: 7 };

/** Bounds on the logits' normalised mean square error, as in tests/native/golden.rs, and the model whose operations are compared
 * one by one, too. */
const TIERS = [
  { tier: "f32 without tiles", tuning: SOFTWARE, bound: 1e-7, operations: "gqa-q8" },
  { tier: "f32 in tiles", tuning: hardware("f32"), bound: 1e-7, operations: "mha-q4" },
  { tier: "products in f16", tuning: hardware("f16"), bound: 1e-3, operations: "gqa-q8" },
  { tier: "products of bytes", tuning: hardware("int8"), bound: 5e-2, operations: "mha-q4" },
];
/**
 * What the worker answers, asked by the page's own link to it; `tuning` is what an earlier visit would have remembered.
 * @param {Driver} tab @param {{ files: string[], backend: string, tuning?: Tuning, check?: boolean, sampling?: object }} wanted
 */
function inBrowser(tab, wanted) {
  return tab.evaluate(async ({ files, backend, tuning, check, sampling, question, max_new_tokens }) => {
    const address = new URL("llava/engine-link.js", document.baseURI).href;
    /** @type {typeof import("../../www/llava/engine-link.js")} */
    const { EngineLink } = await import(address);
    const link = new EngineLink((failure) => console.error(failure), { threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
    const addresses = files.map((file) => new URL(`models/${file}`, document.baseURI).href);
    if (tuning) await link.rememberTuning(/** @type {any} */ ({ tuning }));
    await link.open({ addresses }, /** @type {any} */ (backend));
    const { report } = await link.call("load", { keep: false, context: null });
    const bytes = await (await fetch("models/wide.png")).arrayBuffer();
    const { encoded } = await link.call("encode", { bytes, needed: [] });
    const options = { max_new_tokens, temperature: 0, top_p: 1, seed: 0, keep_logits: Boolean(tuning), ...sampling };
    const { answer } = await link.call("generate", { messages: [{ role: "user", parts: [{ image: encoded.id }, { text: question }] }], options });
    // Measuring begins with every kind of operation against its definition, and fails where one is beyond its bound.
    if (check) await link.call("bench", { options: { rows: 16, tokens: 2, repeat: 1 } });
    link.close();
    return { backend: report.backend, adapter: report.adapter, tuning: report.tuning, prompt_ids: answer.prompt_ids, ids: answer.ids, logits: answer.logits?.flat() ?? [] };
  }, { ...wanted, question: QUESTION, max_new_tokens: TOKENS });
}

/**
 * Holds an answer to the reference's: ids, and logits row by row. Where the bound allows errors that are larger than
 * f32's, two logits that are as close as the error may change places; from there on the texts differ.
 * @param {{ ids: number[], logits: number[] }} seen @param {{ ids: number[], logits: Float32Array }} wanted
 * @param {number} bound @param {string} what
 */
function compare(seen, wanted, bound, what) {
  const rows = wanted.ids.length + 1;
  const words = wanted.logits.length / rows;
  let error = 0;
  for (let row = 0; row < rows; row++) {
    const [found, reference] = [seen.logits.slice(row * words, (row + 1) * words), wanted.logits.subarray(row * words, (row + 1) * words)];
    error = Math.max(error, nmse(found, reference));
    assert(error <= bound, `${what}: NMSE of the logits before token ${row} is ${error}, above ${bound}`);
    const [chosen = 0, right = 0] = [seen.ids[row], wanted.ids[row]];
    if (chosen === right) continue;
    const gap = (reference[right] ?? NaN) - (reference[chosen] ?? NaN);
    const power = reference.reduce((sum, value) => sum + value * value, 0) / words;
    assert(bound > 1e-6 && gap < 4 * Math.sqrt(bound * power), `${what}: token ${row} is ${chosen} instead of ${right}, ${gap} below`);
    return { tokens: row, error };
  }
  return { tokens: wanted.ids.length, error };
}

describe("golden models", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  /** @param {string} model */
  const folder = (model) => path.join(served.root, "models", model);
  before(async () => {
    served = await rootWith(async (root) => {
      await rm(path.join(root, "models"));
      await mkdir(path.join(root, "models"));
      await cp(WIDE, path.join(root, "models/wide.png"));
      await cp(path.join(GOLDEN, "mha"), path.join(root, "models/mha"), { recursive: true });
      for (const name of PAIRS) {
        await mkdir(path.join(root, "models", name));
        for (const file of [`${name}.gguf`, `${name}-mmproj.gguf`]) await cp(path.join(GOLDEN, "gguf", file), path.join(root, "models", name, file));
      }
      for (const [name, quants] of /** @type {const} */ ([["mha", ["f32", "q4"]], ["gqa", ["f32", "q4", "q8"]]])) {
        for (const quant of quants) run("convert", [path.join(GOLDEN, name), path.join(root, "models", `${name}-${quant}`), "--quant", quant]);
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
  const alone = ENGINES.filter(({ name }) => name === "Chromium, CPU").map((engine) => ({ ...engine, query: "&threads=1" }));
  for (const { name, backend, query, start } of [...ENGINES, ...alone]) {
    const threads = query.includes("threads") ? query : "";
    test(`ids in ${name}${threads} are those of the command line`, async () => {
      const tab = await start();
      try {
        // One page for all: every load of it compiles the engine, for which Firefox takes seconds.
        await tab.goto(`${server.url}?model=models/mha-f32/manifest.json&backend=cpu${threads}`);
        for (const model of ["mha-f32", "gqa-f32", "mha-q4", "gqa-q4"]) {
          const seen = await inBrowser(tab, { files: [`${model}/manifest.json`], backend });
          const native = natively(folder(model), WIDE, { prompt: QUESTION }, backend, TOKENS);
          assert.equal(seen.backend, backend);
          if (threads) assert(seen.adapter.includes("WebAssembly SIMD, 1 thread"), seen.adapter);
          else if (name === "Chromium, CPU" && several) assert(seen.adapter.includes("WebAssembly relaxed SIMD, "), seen.adapter);
          assert(native.ids.length > 0);
          assert.deepEqual(seen.prompt_ids, native.prompt_ids, `${model}: prompt`);
          assert.deepEqual(seen.ids, native.ids, `${model}: answer`);
          if (model.endsWith("f32")) {
            // On every device and in every browser the same draws: those of the reference.
            const flags = Object.entries(SAMPLING).flatMap(([option, value]) => [`--${option.replaceAll("_", "-")}`, String(value)]);
            const wanted = natively(folder(model), WIDE, { prompt: QUESTION }, "webgpu", TOKENS, flags);
            assert.notDeepEqual(wanted.ids, native.ids);
            assert.deepEqual((await inBrowser(tab, { files: [`${model}/manifest.json`], backend, sampling: SAMPLING })).ids, wanted.ids, `${model}: sampled`);
          }
          // The checkpoint that these shards were made of is read as it is.
          if (model === "mha-f32") assert.deepEqual((await inBrowser(tab, { files: ["mha/config.json"], backend })).ids, native.ids, "checkpoint");
        }
        // GGUF pairs, by two addresses: of one type, of the older types mixed, of K types mixed.
        for (const pair of PAIRS) {
          const native = natively(folder(pair), WIDE, { prompt: QUESTION }, backend, TOKENS);
          const seen = await inBrowser(tab, { files: [`${pair}/${pair}-mmproj.gguf`, `${pair}/${pair}.gguf`], backend });
          assert.deepEqual([seen.prompt_ids, seen.ids], [native.prompt_ids, native.ids], pair);
        }
      } finally {
        await tab.close();
      }
    });
  }

  /** The reference's logits of the answer, row after row. @param {string} model */
  async function reference(model) {
    const file = path.join(folder(model), "logits.f32");
    const args = ["--model", folder(model), "--image", WIDE, "--prompt", QUESTION, "--backend", "reference", "--json", "--max-new-tokens", String(TOKENS), "--logits", file];
    const { ids } = /** @type {{ ids: number[] }} */ (JSON.parse(run("chat", args)));
    const bytes = await readFile(file);
    return { ids, logits: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) };
  }

  // SwiftShader, which Chromium has here, computes no 16-bit floats, and where there are barriers takes its time.
  for (const { name, start } of ENGINES.filter(({ name }) => name.startsWith("Firefox, WebGPU"))) {
    test(`every tier in ${name}: ids of the reference, logits within the tier's bound, every operation within its own`, async () => {
      const tab = await start();
      try {
        await tab.goto(`${server.url}?model=models/mha-f32/manifest.json&backend=cpu&threads=1`);
        for (const { tier, tuning, bound, operations } of TIERS) {
          // Without tiles, matrices of floats are those of the test above.
          for (const model of ["mha-q4", "gqa-q8", ...(tier === "f32 in tiles" ? ["gqa-f32"] : [])]) {
            const wanted = await reference(model);
            const seen = await inBrowser(tab, { files: [`${model}/manifest.json`], backend: "webgpu", tuning, check: model === operations });
            // What a device cannot compute is not taken from the memory: the tier would not have run.
            assert.deepEqual(seen.tuning, tuning, `${tier} is not offered`);
            const { tokens, error } = compare(seen, wanted, bound, `${tier}, ${model}`);
            console.log(`${name}, ${tier}, ${model}: ${tokens} of ${wanted.ids.length} tokens, logits' NMSE ${error.toExponential(1)} of ${bound}`);
          }
        }
      } finally {
        await tab.close();
      }
    });
  }
});
