// Our engine, loaded as the page loads it. Setting: { backend, threads, relaxed }; where `relaxed` is false, without relaxed
// SIMD instructions. Threads beyond the first come through `ports`.

import { chooseThreads } from "/www/shared/threads.js";
import { Loader } from "/www/worker/loader.js";

let loader;

export async function load(task, { backend, threads, relaxed }, ports) {
  const here = chooseThreads(threads);
  if (relaxed === false) here.build = here.build.replace("relaxed/", "threads/");
  if (here.threads !== threads && backend === "cpu") throw new Error(`${threads} threads were asked for, ${here.threads} can be had: ${here.why}`);
  loader = new Loader(await import(here.pages ? "/www/pkg/threads/llava_web.js" : "/www/pkg/llava_web.js"));
  const addresses = [task.language, task.vision].map((file) => new URL(file, location.origin).href);
  await loader.open({ addresses, prompt_template: task.template }, backend, undefined, here, { address: new URL(`/www/pkg/${here.build}llava_web_bg.wasm`, location.origin).href, code: null }, ports);
  await loader.load(false, null, () => {});
  const { backend: runs, adapter } = loader.engine.report();
  const started = await loader.threads;
  if (backend === "cpu" && Number.parseInt(started) !== threads) throw new Error(`${threads} threads were asked for: ${started}`);
  return [runs, adapter, started && `threads ${started}`].filter(Boolean).join(" ");
}

/** @param {string} question @param {string[]} images ids @param {number} tokens */
async function ask(question, images, tokens) {
  const times = [];
  const begun = performance.now();
  const options = { max_new_tokens: tokens, ignore_eos: true, temperature: 0 };
  const messages = [{ role: "user", parts: [...images.map((image) => ({ image })), { text: question }] }];
  const { ids, prompt_ids, reused_rows } = await loader.engine.generate(messages, options, ({ type, id }) => {
    if (type === "token" && id !== undefined) times.push(performance.now());
  });
  // What begins every prompt stays in the cache: it is not counted as read.
  return { ids, rows: prompt_ids.length - reused_rows, prefill_ms: times[0] - begun, decode_ms: times.at(-1) - times[0] };
}

export function answer({ question }, tokens) {
  return ask(question, [], tokens);
}

/** Asks about a picture; tiles are cut from it after its longer side has been scaled to `edge`. */
export async function look(file, edge, question, tokens) {
  const bytes = new Uint8Array(await (await fetch(file)).arrayBuffer());
  loader.engine.set_longest_edge(edge);
  const begun = performance.now();
  const { id } = await loader.engine.encode(bytes, [], () => {});
  const encode_ms = performance.now() - begun;
  return { encode_ms, ...(await ask(question, [id], tokens)), report: loader.engine.report(), memory: loader.memory() };
}
