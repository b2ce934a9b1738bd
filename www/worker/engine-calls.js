// The worker's side of the page's calls: passes them to the engine and to loader.js, measures times, and forwards
// events. worker.js and worker-threads.js choose the build of the engine.

import { adapterName } from "../shared/adapter.js";
import { serveCalls } from "../shared/messenger.js";
import { constrained, useGrammarCode } from "./grammar.js";
import { Loader } from "./loader.js";

/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Report} Report */

/** @typedef {import("../shared/protocol.js").Timing} Timing */

/**
 * Runs a call that answers, and times it by its tokens.
 * @template T
 * @param {(onEvent: (event: Event) => void) => Promise<T>} answer
 * @param {(event: Event) => void} emit
 * @returns {Promise<{ answer: T, timing: Timing }>}
 */
async function timed(answer, emit) {
  const start = performance.now();
  let [first, last, tokens] = [start, start, 0];
  const value = await answer((event) => {
    if (event.type === "token") {
      last = performance.now();
      if (tokens === 0) first = last;
      tokens += 1;
    }
    emit(event);
  });
  const timing = {
    first_token_ms: first - start,
    total_ms: performance.now() - start,
    tokens_per_second: last > first ? ((tokens - 1) * 1000) / (last - first) : 0,
  };
  return { answer: value, timing };
}

/** @param {import("./loader.js").Build} build */
export function startEngineWorker(build) {
  const loader = new Loader(build);
  const engine = () => loader.engine;

  /** Returns the report without the threads, which may still be starting. @returns {Promise<Report>} */
  async function deviceReport() {
    const report = engine().report();
    if (report.adapter || report.backend !== "webgpu") return report;
    return { ...report, adapter: await adapterName() };
  }

  /** @returns {Promise<Report>} */
  async function report() {
    const threads = await loader.threads;
    return { ...(await deviceReport()), ...(threads && { threads }) };
  }

  const scope = /** @type {Parameters<typeof serveCalls>[0]} */ (/** @type {unknown} */ (self));

  serveCalls(scope, {
    async open({ model, backend, tuning, threads, address, code, grammar, ports }) {
      if (grammar) useGrammarCode(grammar);
      const plan = await loader.open(model, backend, tuning, threads, { address, code }, ports);
      return { plan, report: await deviceReport(), storage: await loader.storage() };
    },

    probe: () => loader.probe(),

    choose: ({ quant, cache_type }) => loader.choose({ quant: quant ?? "exact", ...(cache_type && { cache_type }) }),

    pictureSize: ({ longest_edge }) => loader.choose({ longest_edge }),

    storage: () => loader.storage(),

    async load({ keep, context }, emit) {
      await loader.load(keep, context, emit);
      return { report: await report(), storage: await loader.storage() };
    },

    async bench({ options }, emit) {
      await engine().bench(options, (/** @type {string} */ text) => emit({ type: "line", text }));
      return report();
    },

    async check_operations(_, emit) {
      await engine().check_operations((checked) => emit({ type: "checked", ...checked }));
      return null;
    },

    tiers: async () => engine().tiers(),

    async encode({ bytes, needed }, emit) {
      const start = performance.now();
      const encoded = await engine().encode(new Uint8Array(bytes), needed, emit);
      return { encoded, encode_ms: performance.now() - start, report: await report() };
    },

    missing_pictures: async ({ messages }) => engine().missing_pictures(messages),

    prefill: ({ messages }, emit) => engine().prefill(messages, emit),

    async generate({ messages, options }, emit) {
      const answered = await timed((onEvent) => constrained(engine(), options, (rest) => engine().generate(messages, rest, onEvent)), emit);
      return { ...answered, report: await report() };
    },

    save_state: () => /** @type {Promise<Uint8Array<ArrayBuffer>>} */ (engine().save_state()),

    restore_state: ({ bytes }) => engine().restore_state(bytes),

    async cancel() {
      loader.cancel();
      return null;
    },

    memory: async () => loader.memory(),

    async files() {
      // Scripts and code of the page. The model's files are in the model cache.
      const root = new URL("..", import.meta.url).href;
      const folders = ["worker/", "shared/", "pkg/"].map((folder) => root + folder);
      const names = performance.getEntriesByType("resource").map((entry) => entry.name);
      const used = names.filter((name) => folders.some((folder) => name.startsWith(folder)));
      // Files that threads have loaded are not in this list; most of them are the same.
      return Number.parseInt(await loader.threads) > 1 ? [...used, `${root}worker/pool-thread.js`] : used;
    },
  });
}
