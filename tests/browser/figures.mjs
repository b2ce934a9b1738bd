// Prints the figures of the page with the shipped model, in headless Chromium: sizes, loading, encoding, answering.
// `./build.sh figures`. On a shared machine only ratios within one run count.

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { launch, open, serve, www } from "./harness.mjs";
import { startup } from "./startup.mjs";

/** @typedef {import("../../www/shared/protocol.js").Message} Message */

/** Runs per figure; the median is printed. */
const RUNS = 5;
const SHORT_QUESTION = "What color is the star?";
const QUESTION = `${"How many shapes are there? ".repeat(16)}What do you see?`;

/** @param {number[]} values */
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;

/** @param {import("./harness.mjs").Visit} visit @param {string} backend */
function measure(visit, backend) {
  return visit.page.evaluate(async ({ backend, runs, question, short }) => {
    const address = new URL("llava/engine-link.js", document.baseURI).href;
    /** @type {typeof import("../../www/llava/engine-link.js")} */
    const { EngineLink } = await import(address);
    const link = new EngineLink(console.error, { threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
    await link.open({ addresses: [new URL("models/scenes/manifest.json", document.baseURI).href] }, /** @type {any} */ (backend));
    const { report } = await link.call("load", { keep: false, context: null });
    /** Encodes a picture and prefills the prompt up to it, as the page does: `tail` makes it new to the engine, since
     * bytes after the end of a PNG change its hash and nothing else.
     * @param {number[]} tail @returns {Promise<{ ms: number, about: (text: string) => Message[] }>} */
    const look = async (...tail) => {
      const bytes = await new Blob([file, new Uint8Array(tail)]).arrayBuffer();
      const begun = performance.now();
      const { encoded } = await link.call("encode", { bytes, needed: [] });
      const about = (/** @type {string} */ text) => [{ role: /** @type {const} */ ("user"), parts: [{ image: encoded.id }, { text }] }];
      await link.call("prefill", { messages: about("") });
      return { ms: performance.now() - begun, about };
    };
    const file = await (await fetch("examples/shapes.png")).blob();
    const options = { max_new_tokens: 64, temperature: 0, top_p: 1, seed: 0 };
    /** @type {Record<"encode" | "prefill" | "decode" | "typed" | "warm" | "cold", number[]>} */
    const seen = { encode: [], prefill: [], decode: [], typed: [], warm: [], cold: [] };
    for (let run = 0; run <= runs; run++) {
      const first = await look(run);
      const { answer, timing } = await link.call("generate", { messages: first.about(question), options });
      // The same picture and a short question: once with the picture encoded, as after a pause; and once with a new
      // picture, as when it is dropped and asked about immediately.
      const { about } = await look(run);
      const warm = await link.call("generate", { messages: about(short), options });
      // Once more with the question prefilled, as after a pause before Send.
      await look(run);
      await link.call("prefill", { messages: about(short) });
      const typed = await link.call("generate", { messages: about(short), options });
      const second = await look(run, 1);
      const cold = await link.call("generate", { messages: second.about(short), options });
      if (run === 0) continue; // pipelines are made on the first use
      seen.encode.push(first.ms);
      seen.prefill.push(((answer.prompt_ids.length - answer.reused_rows) * 1000) / timing.first_token_ms);
      seen.decode.push(timing.tokens_per_second);
      seen.typed.push(typed.timing.first_token_ms);
      seen.warm.push(warm.timing.first_token_ms);
      seen.cold.push(second.ms + cold.timing.first_token_ms);
    }
    return { adapter: report.adapter, ...seen };
  }, { backend, runs: RUNS, question: QUESTION, short: SHORT_QUESTION });
}

for (const build of ["", "threads/", "relaxed/"]) {
  const file = path.join(www, `pkg/${build}llava_web_bg.wasm`);
  if (!existsSync(file)) continue;
  const wasm = readFileSync(file);
  console.log(`pkg/${build}: ${wasm.length} bytes of wasm, ${gzipSync(wasm, { level: 9 }).length} after gzip -9`);
}
console.log("backend | adapter | page → ready, ms | encode, ms | prefill, rows/s | decode, tokens/s | Send → first token, picture encoded and question prefilled, ms | picture encoded, ms | picture and Send together, ms | shares");
const server = await serve();
for (const backend of ["webgpu", "cpu"]) {
  const browser = await launch({ gpu: backend === "webgpu" });
  const ready = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    const visit = await open(browser, `${server.url}?backend=${backend}`, { serviceWorkers: "block" });
    await visit.reaches("ready");
    ready.push(performance.now() - start);
    await visit.close();
  }
  const visit = await open(browser, `${server.url}?backend=cpu`, { serviceWorkers: "block" });
  const { adapter, encode, prefill, decode, typed, warm, cold } = await measure(visit, backend);
  const row = [backend, adapter, median(ready).toFixed(0), median(encode).toFixed(0), median(prefill).toFixed(0), median(decode).toFixed(1)];
  const shares = [typed, warm].map((ms) => `${((100 * median(ms)) / median(cold)).toFixed(0)} %`).join(", ");
  console.log([...row, median(typed).toFixed(1), median(warm).toFixed(1), median(cold).toFixed(0), shares].join(" | "));
  await browser.close();
}
/** Bytes per ms of a line of 20 Mbit/s. */
const LINE = 2500;
for (const [backend, rate, line] of /** @type {const} */ ([["cpu", Infinity, ""], ["cpu", LINE, ", 20 Mbit/s"], ["webgpu", LINE, ", 20 Mbit/s"]])) {
  const browser = await launch({ gpu: backend === "webgpu" });
  /** @type {Awaited<ReturnType<typeof startup>>[]} */
  const starts = [];
  for (let run = 0; run < RUNS; run++) starts.push(await startup(browser, server.url, backend, rate));
  const ms = (/** @type {"paint" | "interactive" | "ready" | "word"} */ what) => median(starts.map((start) => start[what])).toFixed(0);
  console.log(`first visit, ${backend}, 60 ms a request${line}: first paint ${ms("paint")} ms, interactive ${ms("interactive")} ms, model ready ${ms("ready")} ms, first word of an answer about a picture shown immediately ${ms("word")} ms`);
  await browser.close();
}
await server.stop();
