// The worker owns the engine and the GPU; the page owns the person. Here calls are answered, time is
// measured, and events are passed on; loading is in loader.js and everything else is the engine's. Which build of the
// engine it is, worker.js and worker-threads.js say.

import { adapterName } from "../shared/adapter.js";
import { answerCalls } from "../shared/messenger.js";
import { Loader } from "./loader.js";

/** @typedef {import("../shared/protocol.js").Event} Event */
/** @typedef {import("../shared/protocol.js").Report} Report */

/** @param {import("./loader.js").Build} build */
export function answerWith(build) {
  const loader = new Loader(build);
  const ready = () => loader.engine;

  /** What is known while threads are on their way. @returns {Promise<Report>} */
  async function machine() {
    const report = ready().report();
    if (report.adapter || report.backend !== "webgpu") return report;
    return { ...report, adapter: await adapterName() };
  }

  /** @returns {Promise<Report>} */
  async function report() {
    const threads = await loader.threads;
    return { ...(await machine()), ...(threads && { threads }) };
  }

  const scope = /** @type {Parameters<typeof answerCalls>[0]} */ (/** @type {unknown} */ (self));

  answerCalls(scope, {
    async open({ model, backend, tuning, threads, code, ports }) {
      const plan = await loader.open(model, backend, tuning, threads, code, ports);
      return { plan, report: await machine(), storage: await loader.storage() };
    },

    probe: () => loader.probe(),

    choose: ({ quant }) => loader.choose(quant),

    storage: () => loader.storage(),

    async load({ keep, context }, emit) {
      await loader.load(keep, context, emit);
      return { report: await report(), storage: await loader.storage() };
    },

    async encode({ bytes }, emit) {
      const start = performance.now();
      const encoded = await ready().encode(new Uint8Array(bytes), emit);
      return { encoded, encode_ms: performance.now() - start, report: await report() };
    },

    prefill: ({ question }, emit) => ready().prefill(question, emit),

    async bench({ options }, emit) {
      await ready().bench(options, (/** @type {string} */ text) => emit({ type: "line", text }));
      return report();
    },

    async generate({ question, options }, emit) {
      const start = performance.now();
      let first = start;
      let last = start;
      let count = 0;
      const answer = await ready().generate(question, options, (/** @type {Event} */ event) => {
        if (event.type === "token") {
          last = performance.now();
          if (count === 0) first = last;
          count = event.count;
        }
        emit(event);
      });
      const timing = {
        first_token_ms: first - start,
        total_ms: performance.now() - start,
        tokens_per_second: last > first ? ((count - 1) * 1000) / (last - first) : 0,
      };
      return { answer, timing, report: await report() };
    },

    async cancel() {
      loader.cancel();
      return null;
    },

    async truncate({ turns }) {
      ready().truncate(turns);
      return report();
    },

    async reset() {
      ready().reset();
      return report();
    },

    async restore({ turns }) {
      ready().restore(turns);
      return report();
    },

    memory: async () => loader.memory(),

    async files() {
      // The page's own; the model's are kept by the store.
      const ours = new URL("..", import.meta.url).href;
      const folders = ["worker/", "shared/", "pkg/"].map((folder) => ours + folder);
      const names = performance.getEntriesByType("resource").map((entry) => entry.name);
      const used = names.filter((name) => folders.some((folder) => name.startsWith(folder)));
      // What threads have used is in no list of ours; most of it is the same.
      return Number.parseInt(await loader.threads) > 1 ? [...used, `${ours}worker/pool-thread.js`] : used;
    },
  });
}
