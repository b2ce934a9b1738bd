// wllama, which is llama.cpp in WebAssembly. Setting: { threads }.
//
// As its documentation recommends: JSPI and 64-bit memory where the browser has them (this one has), flash attention
// at `auto`, one sequence, and the whole prompt in one batch of computation. All layers are offered to the GPU, as is
// its default; without shader-f16 it takes none of them and says nothing, or that there is no adapter.

import { LoggerWithoutDebug, Wllama } from "/node_modules/@wllama/wllama/esm/index.js";
import * as prompts from "./prompt.js";

let wllama, task;
const said = [];

export async function load(what, { threads }) {
  task = what;
  const keep = (...words) => void said.push(words.join(" "));
  const logger = { ...LoggerWithoutDebug, debug: keep, log: keep, warn: keep };
  wllama = new Wllama({ default: `${location.origin}/node_modules/@wllama/wllama/esm/wasm/wllama.wasm` }, { logger });
  wllama.setCompat(null);
  const blob = await (await fetch(`/models/${task.size}/synthetic-${task.size}-Q4_0-pure.gguf`)).blob();
  await wllama.loadModel([blob], { n_ctx: 1024, n_batch: 512, n_ubatch: 512, n_parallel: 1, n_threads: threads, n_gpu_layers: 99999 });
  const device = said.filter((line) => /webgpu|f16|offload/i.test(line)).join(" | ");
  return `${wllama.getNumThreads()} threads; ${device || "no word of a GPU"}`;
}

export async function answer(turn, tokens) {
  // It takes text only: the same letters, a token each.
  const prompt = prompts.text(task.question, turn);
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
