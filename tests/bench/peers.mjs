// Our engine and others in the same browser, on the same machine, in one run: `./build.sh bench peers`. Ours in every browser:
// `./build.sh bench browsers`.
//
//     node peers.mjs MODELS [--model synthetic|smollm2|browsers] [--size 30m,200m] [--only cpu|webgpu] [--repetitions 3] [--out FOLDER]
//
// `synthetic`: in Chromium, the same LLaMA with the same random 4-bit weights; what is right was answered by onnxruntime's
// native CPU backend. `smollm2`: a published file on the CPU in Chromium, and on WebGPU in Firefox, whose adapter has the
// shader-f16 that wllama needs; what is right was answered by transformers. `browsers`: the same file, our engine alone, on
// the CPU.
//
// First every engine answers prompts, greedily, and is compared with what is right; those runs warm it up and are not
// timed. Then they take turns, in an order that turns with them, each with a browser and a worker of its own.
// transformers.js is not among them: it runs on onnxruntime-web, which is measured with a graph made for it.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Chromium } from "../browser/driver/chromium.mjs";
import { Firefox } from "../browser/driver/firefox.mjs";
import { WebKit } from "../browser/driver/webkit.mjs";
import { BARS, BROWSERS, REAL, SYNTHETIC, amounts } from "./contenders.mjs";
import { Guest, serve } from "./host.mjs";
import { judge, smollm2, synthetic } from "./models.mjs";
import { bars, csv, markdown } from "./table.mjs";

/** @typedef {import("./contenders.mjs").Contender} Contender */
/** @typedef {import("./models.mjs").Model} Model */
/** @typedef {import("./table.mjs").Row} Row */

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.resolve(here, "../..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "synthetic" },
    size: { type: "string", default: "30m,200m" },
    only: { type: "string", default: "" },
    repetitions: { type: "string", default: "3" },
    out: { type: "string" },
  },
});
const models = path.resolve(positionals[0] ?? ".");
// Now, not after ten minutes of measuring.
if (values.out) mkdirSync(values.out, { recursive: true });

/** What an engine may take for all its runs after the first, ms; at least one is made. */
const PATIENCE = 40_000;
/** An engine whose first run took longer is not run again: that run counts, compiling of shaders included, ms. */
const TOO_LONG = 100_000;

/** @param {string} name */
const version = (name) => JSON.parse(readFileSync(path.join(here, "node_modules", name, "package.json"), "utf8")).version;

/** @param {import("./engines/prompt.js").Run} run @param {Row} row */
function note({ ids, rows, prefill_ms, decode_ms }, row) {
  row.prefill.push((rows * 1000) / prefill_ms);
  row.decode.push(((ids.length - 1) * 1000) / decode_ms);
}

/** @param {Pick<Contender, "browser" | "preferences">} where @param {string} url */
const enter = async ({ browser, preferences }, url) => Guest.enter(await { Chromium, Firefox, WebKit }[browser].start({ gpu: browser !== "WebKit", preferences }), url);

/** Loads an engine and compares its answers. @param {Model} model @param {Contender} contender @param {string} url */
async function stage(model, contender, url) {
  const { name, group } = contender;
  const { checks, rows, decoded } = amounts(model.name, group);
  /** @type {Row} */
  const row = { size: model.name, engine: name, group, first: contenders.find((other) => other.group === group) === contender, verdict: "", says: "", tokens: decoded, rows, cold: false, prefill: [], decode: [] };
  const guest = await enter(contender, url);
  row.says = await guest.load(contender, model.task);
  let took = 0;
  const verdicts = [];
  for (const check of model.checks.slice(0, checks)) {
    const begun = performance.now();
    // A timed run decodes as many; where its prompt is another one, what is right may be shorter.
    const run = await guest.answer(check.prompt, model.task.onnx ? decoded + 1 : check.ids.length);
    took = performance.now() - begun;
    verdicts.push(judge(run, check));
    row.cold = Boolean(model.task.onnx) && took > TOO_LONG;
    if (row.cold) note(run, row);
  }
  row.verdict = [...new Set(verdicts)].join("; ");
  console.error(`${model.name} ${name}: ${row.verdict}; the last took ${(took / 1000).toFixed(1)} s; ${row.says}`);
  const runs = row.cold ? 0 : Math.min(Number(values.repetitions), Math.max(1, Math.floor(PATIENCE / took)));
  return { guest, row, runs };
}

/** @param {Model} model @param {Contender[]} contenders @param {string} url @returns {Promise<Row[]>} */
async function measure(model, contenders, url) {
  const staged = [];
  for (const contender of contenders.filter(({ group }) => group.startsWith(values.only))) staged.push(await stage(model, contender, url));
  for (let turn = 1; turn <= Number(values.repetitions); turn++) {
    for (const { guest, row, runs } of turn % 2 ? staged : staged.toReversed()) {
      if (turn > runs) continue;
      const failed = (/** @type {Error} */ error) => void (row.verdict += `; **failed**: ${error.message.slice(0, 100)}`);
      const run = await guest.answer(model.prompt(turn, row.rows), row.tokens + 1).catch(failed);
      if (run) note(run, row);
    }
  }
  for (const { guest } of staged) await guest.leave();
  return staged.map(({ row }) => row);
}

/** What was compared where. @param {Contender[]} contenders @param {string} url */
async function about(contenders, url) {
  const lines = [];
  for (const browser of new Set(contenders.map(({ browser }) => browser))) {
    const guest = await enter({ browser }, url);
    const [agent, adapter] = await guest.driver.evaluate(async () => {
      const found = await /** @type {any} */ (navigator).gpu?.requestAdapter();
      const { info = {}, features = new Set() } = found ?? {};
      return [navigator.userAgent, found ? `${info.vendor} ${info.architecture} (${info.description || "no description"}), shader-f16: ${features.has("shader-f16")}` : "none"];
    });
    await guest.leave();
    lines.push(`${/(?:Firefox|Chrome)\/\S+/.exec(agent)?.[0] ?? `${browser} (${/Version\/\S+/.exec(agent)?.[0]})`} headless, adapter ${adapter}.`);
  }
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: repository, encoding: "utf8" }).trim();
  return [
    `${new Date().toISOString().slice(0, 16)}, commit ${commit}, \`peers.mjs ${process.argv.slice(2).join(" ")}\`.`,
    ...lines,
    `${os.cpus().length} × ${os.cpus()[0]?.model}, load ${os.loadavg()[0]?.toFixed(1)}.`,
    `${contenders === BROWSERS ? "" : `wllama ${version("@wllama/wllama")}, onnxruntime-web ${version("onnxruntime-web")}. `}Medians; spread is half of the range.`,
  ].join("\n");
}

/** @type {Record<string, Contender[]>} */
const LISTS = { synthetic: SYNTHETIC, smollm2: REAL, browsers: BROWSERS };
const contenders = LISTS[values.model] ?? [];
if (!contenders.length) throw new Error(`--model ${values.model}: synthetic, smollm2 or browsers`);
const list = contenders !== SYNTHETIC ? [smollm2(path.join(repository, "tests/golden/smollm2.json"))] : values.size.split(",").map((size) => synthetic(models, size));
const host = await serve({ engines: path.join(here, "engines"), node_modules: path.join(here, "node_modules"), www: path.join(repository, "www"), models });
const words = await about(contenders, host.url);
/** @type {Row[]} */
const rows = [];
for (const model of list) rows.push(...(await measure(model, contenders, host.url)));
const said = [markdown(rows, words, contenders === BROWSERS ? "Chromium" : "ours"), ...bars(rows, contenders === REAL ? BARS : {})].join("\n");
console.log(said);
if (values.out) {
  writeFileSync(path.join(values.out, `peers-${values.model}.md`), said);
  writeFileSync(path.join(values.out, `peers-${values.model}.csv`), csv(rows));
}
host.stop();
