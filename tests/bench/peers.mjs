// Our engine and others in the same Chromium, on the same machine, in one run: `./build.sh bench peers`.
//
//     node peers.mjs MODELS [--size 30m,200m] [--only cpu|webgpu] [--repetitions 3] [--out FOLDER]
//
// Same LLaMA, same random 4-bit weights. First every engine answers one prompt, greedily, and is compared with what
// onnxruntime's native CPU backend answered; that run warms it up and is not timed. Then they take turns, in an order
// that turns with them, each with a page and a worker of its own. transformers.js is not among them: it runs on
// onnxruntime-web, which is measured with a graph made for it.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { CHROMIUM, FLAGS } from "../browser/harness.mjs";
import { Guest, serve } from "./host.mjs";
import { csv, markdown } from "./table.mjs";

/** @typedef {import("./table.mjs").Row} Row */
/** @typedef {{ name: string, module: string, setting: object, group: string }} Engine */
/** @typedef {{ ids: number[], leads: number[], prompt: number[] }} Expected */

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.resolve(here, "../..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: "string", default: "30m,200m" },
    only: { type: "string", default: "" },
    repetitions: { type: "string", default: "3" },
    out: { type: "string" },
  },
});
const models = path.resolve(positionals[0] ?? ".");
// Now, not after ten minutes of measuring.
if (values.out) mkdirSync(values.out, { recursive: true });

/** Another token than the one expected may be chosen where the logits of both are so close: int8 activations. */
const CLOSE = 0.1;
/** Tokens after the first of the prompt. A software adapter takes seconds for each in some engines. */
const DECODED = { cpu: 32, webgpu: { "30m": 8, "200m": 2 } };
/** What an engine may take for all its runs after the first, ms; at least one is made. */
const PATIENCE = 40_000;
/** An engine whose first run took longer is not run again: that run counts, compiling of shaders included, ms. */
const TOO_LONG = 100_000;

/** @param {string} engine @param {number} threads @returns {Engine[]} */
const onCpu = (engine, threads) => [
  { name: `${engine}, ${threads} thread${threads > 1 ? "s" : ""}`, module: engine === "wllama" ? "wllama" : "onnx", group: `cpu ${threads}`, setting: engine === "wllama" ? { threads } : { provider: "wasm", threads, accuracy: 4 } },
];
/** @type {Engine[]} */
const ENGINES = [
  { name: "ours, CPU, 1 thread", module: "ours", group: "cpu 1", setting: { backend: "cpu", threads: 1 } },
  ...onCpu("wllama", 1),
  ...onCpu("onnxruntime-web wasm", 1),
  { name: "ours, CPU, 2 threads", module: "ours", group: "cpu 2", setting: { backend: "cpu", threads: 2 } },
  ...onCpu("wllama", 2),
  ...onCpu("onnxruntime-web wasm", 2),
  { name: "ours, WebGPU", module: "ours", group: "webgpu", setting: { backend: "webgpu", threads: 2 } },
  { name: "onnxruntime-web WebGPU", module: "onnx", group: "webgpu", setting: { provider: "webgpu", threads: 1, accuracy: 4 } },
];

/** @param {string} name */
const version = (name) => JSON.parse(readFileSync(path.join(here, "node_modules", name, "package.json"), "utf8")).version;

/** @param {number[]} ids @param {Expected} expected */
function judge(ids, { ids: right, leads }) {
  const at = ids.findIndex((id, i) => id !== right[i]);
  if (at < 0) return `right: ${ids.length} of ${ids.length} tokens`;
  const lead = leads[at] ?? NaN;
  return lead < CLOSE ? `right: ${at} tokens, then a tie (${lead.toFixed(3)})` : `**wrong** from token ${at + 1} on (lead of the right one ${lead.toFixed(2)})`;
}

/** @param {import("./engines/prompt.js").Run} run @param {Row} row */
function note({ ids, rows, prefill_ms, decode_ms }, row) {
  row.prefill.push((rows * 1000) / prefill_ms);
  row.decode.push(((ids.length - 1) * 1000) / decode_ms);
}

/** @param {string} size @param {import("playwright-core").Browser} browser @param {string} url @returns {Promise<Row[]>} */
async function measure(size, browser, url) {
  const expected = JSON.parse(readFileSync(path.join(models, size, "expected.json"), "utf8"));
  const staged = [];
  for (const { name, module, setting, group } of ENGINES.filter(({ group }) => group.startsWith(values.only))) {
    const decoded = group === "webgpu" ? DECODED.webgpu[/** @type {"30m"} */ (size)] : DECODED.cpu;
    /** @type {Row} */
    const row = { size, engine: name, group, ours: module === "ours", verdict: "", says: "", tokens: decoded, cold: false, prefill: [], decode: [] };
    const guest = await Guest.enter(browser, url);
    row.says = await guest.call("load", { name: module, task: { ...expected, size }, setting });
    const begun = performance.now();
    const run = await guest.call("answer", { turn: 0, tokens: decoded + 1 });
    const took = performance.now() - begun;
    row.verdict = run.rows === expected.prompt.length ? judge(run.ids, expected) : `**another prompt**: ${run.rows} tokens`;
    console.error(`${size} ${name}: ${row.verdict}; ${(took / 1000).toFixed(1)} s; ${row.says}`);
    row.cold = took > TOO_LONG;
    if (row.cold) note(run, row);
    const runs = row.cold ? 0 : Math.min(Number(values.repetitions), Math.max(1, Math.floor(PATIENCE / took)));
    staged.push({ guest, row, runs });
  }
  for (let turn = 1; turn <= Number(values.repetitions); turn++) {
    for (const { guest, row, runs } of turn % 2 ? staged : staged.toReversed()) {
      if (turn <= runs) note(await guest.call("answer", { turn, tokens: row.tokens + 1 }), row);
    }
  }
  for (const { guest } of staged) await guest.leave();
  return staged.map(({ row }) => row);
}

/** What was compared where. @param {import("playwright-core").Browser} browser @param {Guest} guest */
async function about(browser, guest) {
  const adapter = await guest.page.evaluate(async () => {
    const found = await /** @type {any} */ (navigator).gpu?.requestAdapter();
    return found ? `${found.info.vendor} ${found.info.architecture} (${found.info.description || "no description"}), shader-f16: ${found.features.has("shader-f16")}` : "none";
  });
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: repository, encoding: "utf8" }).trim();
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}, \`./build.sh bench peers ${process.argv.slice(3).join(" ")}\`, 256-token prompt.`,
    `Chromium ${browser.version()} headless, adapter ${adapter}; ${os.cpus().length} × ${os.cpus()[0]?.model}.`,
    `wllama ${version("@wllama/wllama")}, onnxruntime-web ${version("onnxruntime-web")}. Medians; spread is half of the range.`,
  ].join("\n");
}

const host = await serve({ engines: path.join(here, "engines"), node_modules: path.join(here, "node_modules"), www: path.join(repository, "www"), models });
const browser = await chromium.launch({ executablePath: CHROMIUM ?? "chromium", headless: true, args: FLAGS });
const visitor = await Guest.enter(browser, host.url);
const words = await about(browser, visitor);
await visitor.leave();
/** @type {Row[]} */
const rows = [];
for (const size of values.size.split(",")) rows.push(...(await measure(size, browser, host.url)));
console.log(markdown(rows, words));
if (values.out) {
  writeFileSync(path.join(values.out, "peers.md"), markdown(rows, words));
  writeFileSync(path.join(values.out, "peers.csv"), csv(rows));
}
await browser.close();
host.stop();
