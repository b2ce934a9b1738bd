// A model of real widths in the tab, beside the native program on the same files. `real.mjs` tries whole models,
// `real.test.mjs` one block of each part.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { BIN, www } from "./harness.mjs";

/** Surrounded by no template: with the mark of the beginning, a handful of tokens. */
export const QUESTION = "what is this?";
export const TOKENS = 4;
/** Rows that the cache may grow to: a picture takes 576, and the native program reads a template's words before it.
 * @param {unknown} picture */
const contextFor = (picture) => (picture ? 1024 : 512);

/** @typedef {{ ids: number[], prompt: number[] }} Seen */
/** @typedef {{ ids: number[], prompt_ids: number[], timings_ms: Record<string, number>, logits: Float32Array }} Twin */

/**
 * What the native program answers, and its logits: a row for the prompt and one for every token.
 * @param {string} directory @param {"reference" | "cpu"} backend @param {string | null} [picture] a file of www/
 * @returns {Promise<Twin>}
 */
export async function native(directory, backend, picture = null) {
  const folder = await mkdtemp(path.join(tmpdir(), "llava-logits-"));
  const file = path.join(folder, "logits");
  const asked = picture ? ["--image", path.join(www, picture), "--raw-prompt", `<image>${QUESTION}`] : ["--raw-prompt", QUESTION];
  const words = ["--model", directory, "--backend", backend, ...asked, "--max-new-tokens", String(TOKENS), "--context", String(contextFor(picture))];
  try {
    const answer = JSON.parse(execFileSync(path.join(BIN, "chat"), [...words, "--json", "--logits", file], { maxBuffer: 1 << 26 }).toString());
    const bytes = await readFile(file);
    return { ...answer, logits: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Holds an answer to the native one: the same tokens, or others from a place on where the native program nearly took
 * the other, too. `bound` is how much the logit of its choice may exceed that of ours, in standard deviations of its
 * logits there. Tokens after that place have nothing in common and are not compared.
 * @param {Seen} seen @param {Pick<Twin, "ids" | "prompt_ids" | "logits">} twin @param {number} bound
 * @returns {string} what was found, for people
 */
export function agree(seen, twin, bound) {
  assert.deepEqual(seen.prompt, twin.prompt_ids, "the prompts differ");
  assert(twin.ids.length > 0, "the native program answered nothing");
  const at = twin.ids.findIndex((id, index) => id !== seen.ids[index]);
  if (at < 0 && seen.ids.length === twin.ids.length) return `the same ${twin.ids.length} tokens as the native program`;
  const [theirs = NaN, ours = NaN] = [twin.ids.at(at), seen.ids.at(at)];
  assert(at >= 0 && at < seen.ids.length, `${seen.ids.length} tokens (${seen.ids}), natively ${twin.ids.length} (${twin.ids})`);
  const columns = twin.logits.length / (twin.ids.length + 1);
  const row = twin.logits.subarray(at * columns, (at + 1) * columns);
  const mean = row.reduce((sum, value) => sum + value, 0) / columns;
  const deviation = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns);
  const margin = ((row[theirs] ?? NaN) - (row[ours] ?? NaN)) / deviation;
  const said = `token ${at} is ${ours}, natively ${theirs}, with a margin of ${margin.toFixed(4)} deviations`;
  assert(margin <= bound, `${said}; ${bound} are allowed`);
  return `${said} (${bound} are allowed)`;
}

/**
 * What the page does, without the page: plan, probe, load, ask.
 * @param {import("playwright-core").Page} page
 * @param {{ addresses: string[], keep: boolean, backend: "webgpu" | "cpu", picture?: string | null }} how
 */
export function ask(page, how) {
  return page.evaluate(
    async ({ addresses, keep, backend, picture, question, tokens, context }) => {
      const { EngineLink } = await import(new URL("llava/engine-link.js", document.baseURI).href);
      const link = new EngineLink(console.error);
      const base = document.baseURI;
      const start = performance.now();
      const opened = await link.open({ addresses: addresses.map((name) => new URL(name, base).href), prompt_template: "plain" }, backend);
      const planned = performance.now();
      const probe = await link.call("probe", null);
      const probed = performance.now();
      let received = 0;
      const loaded = await link.call("load", { keep, context }, { onEvent: (/** @type {any} */ event) => (received = event.received ?? received) });
      // Memory of wasm only ever grows: what it is now is the most it was.
      const { wasm } = await link.call("memory", null);
      const ready = performance.now();
      /** @type {object[]} */
      const images = [];
      if (picture) {
        const { encoded } = await link.call("encode", { bytes: await (await fetch(picture)).arrayBuffer(), needed: [] });
        images.push({ image: encoded.id });
      }
      const options = { max_new_tokens: tokens, temperature: 0, top_p: 1, seed: 0 };
      const answered = await link.call("generate", { messages: [{ role: "user", parts: [...images, { text: question }] }], options });
      return {
        plan: { parts: opened.plan.parts.length, bytes: opened.plan.total_bytes, memory: opened.plan.memory, notes: opened.plan.notes },
        probe, wasm, received, report: loaded.report, storage: loaded.storage,
        ids: answered.answer.ids, prompt: answered.answer.prompt_ids, timing: answered.timing,
        ms: { plan: planned - start, probe: probed - planned, load: ready - probed },
      };
    },
    { picture: null, ...how, question: QUESTION, tokens: TOKENS, context: contextFor(how.picture) },
  );
}
