// Who is compared with whom, where, and how much each has to do.

/**
 * Engines of one group are compared with the first of it: `cpu 1`, `cpu 2`, `webgpu`. `preferences` are Firefox's.
 * @typedef {{ name: string, module: "ours" | "wllama" | "onnx", group: string, browser: "Chromium" | "Firefox" | "WebKit", setting: any,
 *   preferences?: Record<string, boolean> }} Contender
 */

/** @param {number} threads */
const named = (threads) => `${threads} thread${threads > 1 ? "s" : ""}`;
/** @param {number} threads @returns {Contender} */
const ours = (threads) => ({ name: `ours, CPU, ${named(threads)}`, module: "ours", group: `cpu ${threads}`, browser: "Chromium", setting: { backend: "cpu", threads } });
/** @param {number} threads @returns {Contender} */
const wllama = (threads) => ({ name: `wllama, ${named(threads)}`, module: "wllama", group: `cpu ${threads}`, browser: "Chromium", setting: { threads, layers: 0 } });
/** @param {number} threads @returns {Contender} */
const onnx = (threads) => ({ name: `onnxruntime-web wasm, ${named(threads)}`, module: "onnx", group: `cpu ${threads}`, browser: "Chromium", setting: { provider: "wasm", threads, accuracy: 4 } });

/** @type {Contender[]} */
export const SYNTHETIC = [
  ...[1, 2].flatMap((threads) => [ours(threads), wllama(threads), onnx(threads)]),
  { name: "ours, WebGPU", module: "ours", group: "webgpu", browser: "Chromium", setting: { backend: "webgpu", threads: 2 } },
  { name: "onnxruntime-web WebGPU", module: "onnx", group: "webgpu", browser: "Chromium", setting: { provider: "webgpu", threads: 1, accuracy: 4 } },
];

/** Promises that wasm may wait for, which wllama's authors want. */
const JSPI = { "javascript.options.wasm_js_promise_integration": true };

/** @type {Contender[]} */
export const REAL = [
  ...[1, 2].flatMap((threads) => [ours(threads), wllama(threads)]),
  { name: "ours, WebGPU", module: "ours", group: "webgpu", browser: "Firefox", setting: { backend: "webgpu", threads: 2 } },
  { name: "wllama, WebGPU", module: "wllama", group: "webgpu", browser: "Firefox", preferences: JSPI, setting: { threads: 2, layers: 99999 } },
];

/** Ours in every browser, with relaxed instructions where threads and the browser have them, and without.
 * @type {Contender[]} */
export const BROWSERS = /** @type {const} */ ([
  ["Chromium", 1, true],
  ["Firefox", 1, true],
  ["WebKit", 1, true],
  ["Chromium", 2, true],
  ["Chromium", 2, false],
  ["Firefox", 2, true],
  ["Firefox", 2, false],
  ["WebKit", 2, true],
]).map(([browser, threads, relaxed]) => ({ name: `${browser}, ${named(threads)}${relaxed ? "" : ", not relaxed"}`, module: "ours", group: `cpu ${threads}`, browser, setting: { backend: "cpu", threads, relaxed } }));

/** By group of `REAL`: the least ratio of our speed to theirs, in prefill and in decode. @type {Record<string, number>} */
export const BARS = { "cpu 1": 3.5, "cpu 2": 3.5, webgpu: 10 };

/**
 * Answers that are compared with what is right, rows of a timed prompt, and tokens after the first of it. A software adapter
 * takes seconds for a token in some engines.
 * @param {string} model @param {string} group
 */
export function amounts(model, group) {
  if (group !== "webgpu") return { checks: 3, rows: 256, decoded: 32 };
  // wllama gives up where a batch takes its GPU half a minute.
  return { checks: 1, rows: 64, decoded: { "30m": 8, "200m": 2 }[model] ?? 4 };
}
