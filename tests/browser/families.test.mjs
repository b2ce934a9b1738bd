// Every family of models gives PyTorch's prompts, logits and tokens in every browser engine: opened as a visitor would,
// answered by the same worker, on the same wasm, on real WebGPU. On Firefox's, on lavapipe, with f16 and bytes, too.

import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ENGINES } from "./engines.mjs";
import { FAMILIES, GOLDEN, readTensors, writeFamilies } from "./golden-files.mjs";
import { rootWith, serve } from "./harness.mjs";
import { hardware, nmse } from "./tiers.mjs";

/** @typedef {import("./driver/driver.mjs").Driver} Driver */
/** @typedef {import("./golden-files.mjs").Family} Family */
/** @typedef {import("./tiers.mjs").Tuning} Tuning */

const TOKENS = 32;
/** Bounds on the logits' normalised mean square error: with products of f32, of f16, and of 8 bits. Found with f16: up to
 * 8e-6, but for one step of the GGUF pair, whose error is large with f32, too: 1.1e-3. */
const [EXACT, HALF, INTEGER] = [1e-7, 2e-3, 5e-2];

/**
 * What the worker answers, asked by the page's own link to it.
 * @param {Driver} tab @param {Family} family @param {string} backend
 * @param {{ tuning?: Tuning, quant?: "q8" | "q4" | undefined }} [how]
 */
function inBrowser(tab, { name, entry, picture, question, template }, backend, { tuning, quant } = {}) {
  return tab.evaluate(async ({ name, entry, picture, question, template, backend, tuning, quant, max_new_tokens }) => {
    const address = new URL("llava/engine-link.js", document.baseURI).href;
    /** @type {typeof import("../../www/llava/engine-link.js")} */
    const { EngineLink } = await import(address);
    const link = new EngineLink((failure) => console.error(failure), { threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
    const addresses = entry.map((file) => new URL(`models/${name}/${file}`, document.baseURI).href);
    if (tuning) await link.rememberTuning(/** @type {any} */ ({ tuning }));
    const start = performance.now();
    await link.open({ addresses, ...(template && { prompt_template: template }) }, /** @type {any} */ (backend));
    if (quant) await link.call("choose", { quant });
    const { report } = await link.call("load", { keep: false, context: null });
    const bytes = await (await fetch(`models/${picture}`)).arrayBuffer();
    const { encoded } = await link.call("encode", { bytes, needed: [] });
    const options = { max_new_tokens, temperature: 0, top_p: 1, seed: 0, keep_logits: true, ignore_eos: true };
    const { answer } = await link.call("generate", { messages: [{ role: "user", parts: [{ image: encoded.id }, { text: question }] }], options });
    link.close();
    const seconds = (performance.now() - start) / 1000;
    return { backend: report.backend, tuning: report.tuning, prompt_ids: answer.prompt_ids, ids: answer.ids, logits: answer.logits ?? [], seconds };
  }, { name, entry, picture, question, template, backend, tuning, quant, max_new_tokens: TOKENS });
}

/**
 * Holds an answer to PyTorch's. Two logits that are as close as the error may change places; from there on the texts
 * differ.
 * @param {{ prompt_ids: number[], ids: number[], logits: number[][] }} seen @param {Family} family @param {number} bound
 * @param {string} what
 */
async function compare(seen, { golden, label, steps }, bound, what) {
  const file = await readTensors(path.join(GOLDEN, golden));
  /** @param {string} name */
  const values = (name) => file.get(label + name) ?? assert.fail(`${golden} has no ${label}${name}`);
  assert.deepEqual(seen.prompt_ids, [...values("ids")], `${what}: prompt`);
  const [greedy, margins, logits] = [values("greedy"), values("margin"), values(steps ? "logits" : "step_logits")];
  assert.equal(greedy.length, TOKENS);
  assert.equal(seen.ids.length, TOKENS, what);
  const same = [...greedy].findIndex((id, step) => id !== seen.ids[step]);
  const tokens = same < 0 ? TOKENS : same;
  const words = seen.logits[0]?.length ?? assert.fail(`${what}: no logits`);
  const kept = steps ?? Array.from({ length: logits.length / words }, (_, step) => step);
  let error = 0;
  for (const [row, step] of kept.entries()) {
    if (step > tokens) break;
    error = Math.max(error, nmse(seen.logits[step] ?? [], logits.subarray(row * words, (row + 1) * words)));
    assert(error <= bound, `${what}: NMSE of the logits before token ${step} is ${error}, above ${bound}`);
  }
  const power = [...logits].reduce((sum, value) => sum + value * value, 0) / logits.length;
  const tie = bound === EXACT ? 1e-3 : 4 * Math.sqrt(bound * power);
  assert(tokens === TOKENS || (margins[tokens] ?? NaN) < tie, `${what}: token ${tokens} is ${seen.ids[tokens]} instead of ${greedy[tokens]}, which is ${margins[tokens]} above the next`);
  return { tokens, error };
}

describe("families of models", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  /** What the report prints. @type {string[]} */
  const lines = [];
  before(async () => {
    served = await rootWith(async (root) => {
      await rm(path.join(root, "models"));
      await mkdir(path.join(root, "models"));
      await writeFamilies(path.join(root, "models"));
    });
    server = await serve(served.root);
  });
  after(async () => {
    await server?.stop();
    await served?.remove();
    console.log(lines.join("\n"));
  });

  /** @param {string} where @param {Family} family @param {{ tokens: number, error: number }} found @param {number} seconds */
  const note = (where, { name, layout }, { tokens, error }, seconds) =>
    lines.push(`${where.padEnd(42)} ${name.padEnd(11)} ${layout.padEnd(24)} ${tokens} of ${TOKENS} tokens, logits' NMSE ${error.toExponential(1)} (${seconds.toFixed(1)} s)`);

  for (const { name: browser, backend, start } of ENGINES) {
    test(`prompts, logits and tokens of PyTorch in ${browser}`, async () => {
      const tab = await start();
      try {
        await tab.goto(`${server.url}?backend=cpu`);
        for (const family of FAMILIES) {
          const seen = await inBrowser(tab, family, backend);
          assert.equal(seen.backend, backend);
          // The CPU rounds activations to 8 bits where weights are integers.
          const bound = backend === "cpu" && family.layout.includes("Q8_0") ? INTEGER : EXACT;
          note(browser, family, await compare(seen, family, bound, `${browser}, ${family.name}`), seen.seconds);
        }
      } finally {
        await tab.close();
      }
    });
  }

  // SwiftShader, which Chromium has here, computes no 16-bit floats.
  for (const { name: browser, start } of ENGINES.filter(({ name }) => name.startsWith("Firefox, WebGPU"))) {
    test(`products of f16 and of bytes in ${browser}`, async () => {
      const tab = await start();
      try {
        await tab.goto(`${server.url}?backend=cpu`);
        for (const [operands, bound, names] of /** @type {const} */ ([["f16", HALF, ["smolvlm", "siglip", "next", "qwen2-pair"]], ["int8", INTEGER, ["smolvlm"]]])) {
          const tuning = hardware(operands);
          for (const family of FAMILIES.filter(({ name }) => /** @type {readonly string[]} */ (names).includes(name))) {
            const seen = await inBrowser(tab, family, "webgpu", { tuning, quant: family.exact });
            // What a device cannot compute is not taken from the memory: the tier would not have run.
            assert.deepEqual(seen.tuning, tuning, `${operands} is not offered`);
            const where = `${browser}, ${operands}${family.exact ? `, ${family.exact}` : ""}`;
            note(where, family, await compare(seen, family, bound, `${where}, ${family.name}`), seen.seconds);
          }
        }
      } finally {
        await tab.close();
      }
    });
  }
});
