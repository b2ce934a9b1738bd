// The CPU backend of our engine beside llama.cpp, natively, on the same GGUF file: `./build.sh bench llama`.
//
//     node llama.mjs PROGRAMS FOLDER [--golden FILE] [--threads 1,2] [--rows 64] [--tokens 16] [--turns 2] [--first ours|llama.cpp]
//
// FOLDER holds a GGUF pair. llama.cpp is node-llama-cpp's build for this processor. First, with what transformers answered
// in a file, both continue its prompts. Then both read the same number of rows and decode the same number of tokens, each
// run a process of its own, in turns whose order alternates; the medians are compared. What ours computes is checked by
// `bench`, too, before it is timed.

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { judge, smollm2 } from "./models.mjs";
import { median } from "./table.mjs";

/** @typedef {{ prefill: number, decode: number }} Speed  tokens per second */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    golden: { type: "string", default: "" },
    threads: { type: "string", default: "1,2" },
    rows: { type: "string", default: "64" },
    tokens: { type: "string", default: "16" },
    turns: { type: "string", default: "2" },
    first: { type: "string", default: "ours" },
  },
});
const [programs = "", folder = ""] = positionals;
const language = readdirSync(folder).find((name) => name.endsWith(".gguf") && !name.includes("mmproj"));
if (!language) throw new Error(`${folder} holds no language model in a GGUF file`);
const file = path.join(folder, language);
const here = path.dirname(fileURLToPath(import.meta.url));
const rows = Number(values.rows);

/** @param {string} program @param {string[]} words */
const run = (program, words) => execFileSync(program, words, { encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "inherit"] });

/**
 * Rows and tokens a second, and what follows a prompt.
 * @typedef {{ speed: (threads: number) => Speed, continues: (prompt: string, ids: number[], tokens: number) => { prompt: number[], ids: number[] } }} Engine
 */

/** @type {Engine} */
const ours = {
  speed(threads) {
    const words = ["--model", folder, "--backend", "cpu", "--threads", String(threads), "--repeat", "2", "--rows", values.rows, "--tokens", values.tokens];
    const [head = [], ...lines] = run(path.join(programs, "bench"), words).split("\n").filter((line) => !line.startsWith("#")).map((line) => line.split(","));
    /** @param {string} stage */
    const ms = (stage) => Number(lines.find(([, part, what]) => part === "stage" && what === stage)?.[head.indexOf("ms")]);
    return { prefill: (rows * 1000) / ms("prefill"), decode: 1000 / ms("decode") };
  },
  continues(prompt, _, tokens) {
    const words = ["--model", folder, "--backend", "cpu", "--raw-prompt", prompt, "--ignore-eos", "--json", "--max-new-tokens", String(tokens)];
    const { prompt_ids, ids } = JSON.parse(run(path.join(programs, "chat"), words));
    return { prompt: prompt_ids, ids };
  },
};
/** @type {Engine} */
const theirs = {
  speed(threads) {
    const ids = [1, ...Array.from({ length: rows - 1 }, (_, row) => 300 + row)];
    const { prefill_ms, decode_ms } = evaluated(ids, Number(values.tokens), threads);
    return { prefill: (rows * 1000) / prefill_ms, decode: (Number(values.tokens) * 1000) / decode_ms };
  },
  continues: (_, prompt, tokens) => ({ prompt, ids: evaluated(prompt, tokens - 1, 2).ids }),
};
/** @type {Record<string, Engine>} */
const ENGINES = { ours, "llama.cpp": theirs };

/** @param {number[]} prompt @param {number} decoded  tokens after the first @param {number} threads
 * @returns {{ ids: number[], prefill_ms: number, decode_ms: number }} */
function evaluated(prompt, decoded, threads) {
  return JSON.parse(run(process.execPath, [path.join(here, "llama-run.mjs"), JSON.stringify({ file, prompt, decoded, threads })]));
}

/** Both continue the prompts that transformers has answered. @param {string} golden */
function compare(golden) {
  for (const check of smollm2(golden).checks) {
    for (const [name, engine] of Object.entries(ENGINES)) {
      const seen = engine.continues(check.prompt.text, check.prompt.ids, check.ids.length);
      console.log(`${name}: ${judge({ ids: seen.ids, rows: seen.prompt.length }, check)}`);
    }
  }
}

/** @param {number} threads @returns {Record<string, Speed>} */
function medians(threads) {
  /** @type {Record<string, Speed[]>} */
  const found = { ours: [], "llama.cpp": [] };
  const order = values.first === "ours" ? ["ours", "llama.cpp"] : ["llama.cpp", "ours"];
  for (let turn = 0; turn < Number(values.turns); turn++) {
    for (const name of turn % 2 ? order.toReversed() : order) {
      const speed = /** @type {Engine} */ (ENGINES[name]).speed(threads);
      console.error(`${name}, ${threads}: prefill ${speed.prefill.toFixed(2)}, decode ${speed.decode.toFixed(2)} tokens/s`);
      found[name]?.push(speed);
    }
  }
  /** @param {Speed[]} runs */
  const middle = (runs) => ({ prefill: median(runs.map(({ prefill }) => prefill)), decode: median(runs.map(({ decode }) => decode)) });
  return Object.fromEntries(Object.entries(found).map(([name, runs]) => [name, middle(runs)]));
}

if (values.golden) compare(values.golden);
const commit = execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
const version = JSON.parse(readFileSync(path.join(here, "node_modules/node-llama-cpp/package.json"), "utf8")).version;
console.log(`${new Date().toISOString().slice(0, 16)}, commit ${commit}, node-llama-cpp ${version}, ${language}, ${statSync(file).size} bytes,`);
console.log(`${os.cpus().length} × ${os.cpus()[0]?.model}, load ${os.loadavg()[0]?.toFixed(1)}; ${values.rows} rows, ${values.tokens} tokens, medians of ${values.turns} turns, tokens/s\n`);
console.log("| threads | ours, prefill | llama.cpp, prefill | ours is × as fast | ours, decode | llama.cpp, decode | ours is × as fast |\n|---|---|---|---|---|---|---|");
for (const threads of values.threads.split(",").map(Number)) {
  const { ours, "llama.cpp": theirs } = medians(threads);
  if (!ours || !theirs) throw new Error("both were measured");
  const cells = /** @type {const} */ (["prefill", "decode"]).flatMap((what) => [ours[what].toFixed(2), theirs[what].toFixed(2), (ours[what] / theirs[what]).toFixed(2)]);
  console.log(`| ${[threads, ...cells].join(" | ")} |`);
}
