// Our engine, loaded as the page loads it. Setting: { backend, threads }.

import { chooseThreads } from "/www/shared/threads.js";
import { Loader } from "/www/worker/loader.js";
import { text } from "./prompt.js";

let loader;
let question = "";

export async function load(task, { backend, threads }) {
  const here = chooseThreads(threads);
  if (here.threads !== threads && backend === "cpu") throw new Error(`${threads} threads were asked for, ${here.threads} can be had: ${here.why}`);
  loader = new Loader(await import(here.pages ? "/www/pkg/threads/llava_web.js" : "/www/pkg/llava_web.js"));
  question = task.question;
  const addresses = ["Q4_0-pure", "mmproj-f16"].map((what) => `${location.origin}/models/${task.size}/synthetic-${task.size}-${what}.gguf`);
  await loader.open({ addresses, prompt_template: "plain" }, backend, undefined, here);
  await loader.load(false, null, () => {});
  const { backend: runs, adapter } = loader.engine.report();
  return [runs, adapter].filter(Boolean).join(" ");
}

export async function answer(turn, tokens) {
  const times = [];
  loader.engine.reset();
  const begun = performance.now();
  const options = { max_new_tokens: tokens, ignore_eos: true, temperature: 0 };
  const { ids, prompt_ids, reused_rows } = await loader.engine.generate(text(question, turn), options, ({ type }) => {
    if (type === "token") times.push(performance.now());
  });
  // The mark of the beginning is the same in every prompt and stays in the cache: it is not counted as read.
  return { ids, rows: prompt_ids.length - reused_rows, prefill_ms: times[0] - begun, decode_ms: times.at(-1) - times[0] };
}
