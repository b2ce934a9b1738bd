// wllama, which is llama.cpp in WebAssembly. Setting: { threads, layers }, with the layers that are offered to the GPU.
//
// As its documentation recommends: JSPI and 64-bit memory where the browser has them (this one has), flash attention
// at `auto`, one sequence, and the whole prompt in one batch of computation. Without shader-f16 it takes no layer to a
// GPU, and says nothing, or that there is no adapter.

import { LoggerWithoutDebug, Wllama } from "/node_modules/@wllama/wllama/esm/index.js";

let wllama;
const said = [];

export async function load(task, { threads, layers }) {
  const keep = (...words) => void said.push(words.join(" "));
  const logger = { ...LoggerWithoutDebug, debug: keep, log: keep, warn: keep };
  wllama = new Wllama({ default: `${location.origin}/node_modules/@wllama/wllama/esm/wasm/wllama.wasm` }, { logger });
  wllama.setCompat(null);
  const blob = await (await fetch(task.language)).blob();
  await wllama.loadModel([blob], { n_ctx: 1024, n_batch: 512, n_ubatch: 512, n_parallel: 1, n_threads: threads, n_gpu_layers: layers });
  const device = said.filter((line) => /webgpu|f16|offload/i.test(line)).join(" | ");
  return `${wllama.getNumThreads()} threads; ${device || "no word of a GPU"}`;
}

export async function answer({ text: prompt }, tokens) {
  const ids = [];
  const times = [];
  let rows;
  const begun = performance.now();
  await wllama.createCompletion({
    prompt, max_tokens: tokens, temperature: 0, top_k: 1, ignore_eos: true, cache_prompt: false, stream: true, logprobs: 1,
    onData: ({ choices, timings, usage }) => {
      rows = timings?.prompt_n ?? rows;
      for (const token of choices?.[0]?.logprobs?.content ?? []) {
        times.push(performance.now());
        ids.push(token.id);
      }
    },
  });
  return { ids, rows, prefill_ms: times[0] - begun, decode_ms: times.at(-1) - times[0] };
}
