// A model of a published model's exact shape, never trained, in a tab: its load, its memory, and its time from a picture to
// the first token, on every backend here: `./build.sh real --shape smolvlm-256m`.
//
//     node real-size.mjs FOLDER SHAPE [--only cpu|webgpu] [--edges 512,1024,2048] [--repetitions 3]
//
// FOLDER/SHAPE holds its GGUF pair. The picture is 4:3, and its longer side is scaled to each of the edges, one tile being the
// smallest. What is computed is compared by the tests; here both backends say their tokens.

import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Chromium } from "../browser/driver/chromium.mjs";
import { Firefox } from "../browser/driver/firefox.mjs";
import { Guest, serve } from "./host.mjs";
import { median } from "./table.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.resolve(here, "../..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string", default: "" }, edges: { type: "string", default: "512,1024,2048" }, repetitions: { type: "string", default: "3" } },
});
const [folder = "", shape = ""] = positionals;

/** Bytes a second of a line of 50 Mbit/s. */
const LINE = 50e6 / 8;
/** What is asked about the picture, and the tokens after the first. */
const QUESTION = "what is this?";
const DECODED = { cpu: 64, webgpu: 4 };
/** On two CPU threads, one tile: picture → first token at most, s, and decoded at least, tokens/s. */
const BARS = { first: 4, decode: 40 };
/** What a software adapter takes minutes for is not tried: the longest edges of pictures. */
const PLACES = [
  { name: "Chromium, CPU, two threads", browser: Chromium, backend: "cpu", edges: Infinity },
  { name: "Firefox, WebGPU (lavapipe)", browser: Firefox, backend: "webgpu", edges: 1024 },
  { name: "Chromium, WebGPU (SwiftShader)", browser: Chromium, backend: "webgpu", edges: 512 },
].filter(({ backend }) => backend.startsWith(values.only));

/** @typedef {{ encode_ms: number, ids: number[], rows: number, prefill_ms: number, decode_ms: number,
 *   report: import("../../www/shared/protocol.js").Report, memory: { wasm: number, heap: number } }} Look */

/** @param {number} bytes */
const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
/** @param {number} ms */
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

/** Draws a picture of 4:3 like a photograph's: no two pixels alike. @param {import("../browser/driver/driver.mjs").Driver} driver */
const draw = (driver) => driver.evaluate(async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1600, height: 1200 });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = pen.createImageData(1600, 1200);
  pixels.data.forEach((_, i) => (pixels.data[i] = i % 4 === 3 ? 255 : 128 + 100 * Math.sin(i / 977) * Math.cos(i / (91 + (i % 4)))));
  pen.putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/jpeg", 0.9);
});

/** @param {typeof PLACES[number]} place @param {string} url @param {string[]} files @param {number} bytes */
async function measure({ name, browser, backend, edges }, url, files, bytes) {
  const guest = await Guest.enter(await browser.start({ gpu: backend === "webgpu" }), url);
  const begun = performance.now();
  const [language = "", vision = ""] = files.map((file) => `/models/${shape}/${file}`);
  const says = await guest.load({ module: "ours", setting: { backend, threads: 2 } }, { language, vision, onnx: "", template: undefined, layers: 0, heads: 0, head: 0 });
  const load = performance.now() - begun;
  console.log(`\n${name} (${says}): loaded in ${seconds(load)}`);
  const picture = await draw(guest.driver);
  const tokens = 1 + DECODED[/** @type {"cpu" | "webgpu"} */ (backend)];
  for (const edge of values.edges.split(",").map(Number).filter((edge) => edge <= edges)) {
    /** @type {Look[]} */
    const looks = [];
    // The first one is a visitor's; on the CPU nothing is compiled in it, and more are made.
    const runs = backend === "cpu" && edge <= 1024 ? Number(values.repetitions) : 1;
    for (let run = 0; run < runs; run++) looks.push(await guest.call("look", [picture, edge, QUESTION, tokens]));
    const [first] = looks;
    if (!first) continue;
    const token = median(looks.map(({ encode_ms, prefill_ms }) => encode_ms + prefill_ms));
    const decode = median(looks.map(({ ids, decode_ms }) => ((ids.length - 1) * 1000) / decode_ms));
    const { report, memory } = first;
    console.log(`${edge}: picture → first token ${seconds(token)} (encode ${seconds(median(looks.map(({ encode_ms }) => encode_ms)))}, ${(report.cached ?? 0) - first.ids.length} rows in all ${seconds(median(looks.map(({ prefill_ms }) => prefill_ms)))}), decode ${decode.toFixed(1)} tokens/s; ${runs} runs: ${looks.map(({ encode_ms, prefill_ms }) => seconds(encode_ms + prefill_ms)).join(", ")}`);
    console.log(`  memory: wasm ${mb(memory.wasm)}, heap ${memory.heap ? mb(memory.heap) : "not told"}, weights, cache and activations ${mb(report.device_bytes ?? 0)}${backend === "cpu" ? " (in wasm's)" : " (GPU)"}; cache for ${report.context} rows`);
    console.log(`  tokens: ${first.ids.slice(0, 5)}`);
    const transfer = (bytes / LINE) * 1000;
    console.log(`  first click → first word at 50 Mbit/s: ${mb(bytes)} ${seconds(transfer)} + load ${seconds(load)} + ${seconds(token)} = ${seconds(transfer + load + token)}`);
    if (backend !== "cpu" || edge > 512) continue;
    console.log(`  bars: first token under ${BARS.first} s ${token < BARS.first * 1000 ? "met" : "**missed**"}, decode at least ${BARS.decode} tokens/s ${decode >= BARS.decode ? "met" : "**missed**"}`);
  }
  await guest.leave();
}

const files = readdirSync(path.join(folder, shape)).filter((name) => name.endsWith(".gguf")).sort((a, b) => Number(a.includes("mmproj")) - Number(b.includes("mmproj")));
const sizes = files.map((name) => statSync(path.join(folder, shape, name)).size);
const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: repository, encoding: "utf8" }).trim();
console.log(`${new Date().toISOString().slice(0, 16)}, commit ${commit}, ${shape}, ${os.cpus().length} × ${os.cpus()[0]?.model}, load ${os.loadavg()[0]?.toFixed(1)}`);
files.forEach((name, i) => console.log(`${name}: ${sizes[i]} bytes`));
const host = await serve({ engines: path.join(here, "engines"), www: path.join(repository, "www"), models: path.resolve(folder) });
for (const place of PLACES) await measure(place, host.url, files, sizes.reduce((a, b) => a + b, 0));
host.stop();
