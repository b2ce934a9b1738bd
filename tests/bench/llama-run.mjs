// One run of llama.cpp on the CPU, in a process of its own: llama-run.mjs '{ "file", "prompt", "decoded", "threads" }'.
// It reads the prompt's ids and chooses `decoded` tokens greedily after the first one, twice: the first run brings the file
// into memory. Prints `{ ids, prefill_ms, decode_ms }` of the second.

/** Installed by `./build.sh bench llama` only: the check of types does without it. @type {string} */
const LIBRARY = "node-llama-cpp";
const { getLlama } = await import(LIBRARY);

const { file, prompt, decoded, threads } = JSON.parse(process.argv[2] ?? "");
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logger: () => {} });
const model = await llama.loadModel({ modelPath: file, useMmap: true });
const context = await model.createContext({ threads, contextSize: prompt.length + decoded + 8, batchSize: prompt.length });
const sequence = context.getSequence();
let last;
for (let run = 0; run < 2; run++) {
  await sequence.clearHistory();
  const ids = [];
  const times = [performance.now()];
  for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now());
    ids.push(id);
    if (ids.length > decoded) break;
  }
  const [begun = 0, first = 0] = times;
  last = { ids, prefill_ms: first - begun, decode_ms: (times.at(-1) ?? 0) - first };
}
console.log(JSON.stringify(last));
process.exit(0);
