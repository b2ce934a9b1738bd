// onnxruntime-web. Setting: { provider: "wasm" | "webgpu", threads, accuracy }.
//
// As its documentation recommends for speed: graph optimisation at its highest level; on WebGPU the keys and values
// stay in GPU buffers that are made once and shared between past and present; validation is off.

/** Rows of the shared cache. */
const CONTEXT = 320;

let ort, session, task, webgpu, shared;

export async function load(what, { provider, threads, accuracy }) {
  task = what;
  webgpu = provider === "webgpu";
  ort = await import(`/node_modules/onnxruntime-web/dist/ort.${provider}.min.mjs`);
  ort.env.wasm.wasmPaths = "/node_modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const folder = task.onnx;
  session = await ort.InferenceSession.create(`${folder}/accuracy-${accuracy}.onnx`, {
    executionProviders: [webgpu ? { name: "webgpu", validationMode: "disabled" } : "wasm"],
    externalData: [{ path: "model.data", data: `${folder}/model.data` }],
    graphOptimizationLevel: "all",
    ...(webgpu && { preferredOutputLocation: Object.fromEntries(names("present").map((name) => [name, "gpu-buffer"])) }),
  });
  if (!webgpu) return `${provider}, ${threads} threads`;
  const device = await ort.env.webgpu.device;
  shared = await Promise.all(names("past").map(() => onGpu(device)));
  return `webgpu ${device.adapterInfo?.description || device.adapterInfo?.vendor}, f16 ${device.features.has("shader-f16")}`;
}

const names = (when) => Array.from({ length: task.layers }, (_, i) => [`${when}.${i}.key`, `${when}.${i}.value`]).flat();

function onGpu(device) {
  const dims = [1, task.heads, CONTEXT, task.head];
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const buffer = device.createBuffer({ size: 4 * dims.reduce((a, b) => a * b), usage: STORAGE | COPY_SRC | COPY_DST });
  return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
}

/** The likeliest token after `ids`, the last of `total` rows. */
async function step(cache, ids, total) {
  const feeds = {
    input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
    seqlens_k: new ort.Tensor("int32", Int32Array.of(total - 1), [1]),
    total_sequence_length: new ort.Tensor("int32", Int32Array.of(total), []),
  };
  names("past").forEach((name, i) => (feeds[name] = cache[i]));
  const fetches = shared ? { logits: null, ...Object.fromEntries(names("present").map((name, i) => [name, cache[i]])) } : undefined;
  const out = await session.run(feeds, fetches);
  const logits = out.logits.data;
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return { best, cache: shared ? cache : names("present").map((name) => out[name]) };
}

export async function answer({ ids: prompt }, tokens) {
  let cache = shared ?? names("past").map(() => new ort.Tensor("float32", new Float32Array(0), [1, task.heads, 0, task.head]));
  const ids = [];
  const begun = performance.now();
  let first = begun;
  for (let next = prompt, total = prompt.length; ids.length < tokens; next = ids.slice(-1), total++) {
    const done = await step(cache, next, total);
    cache = done.cache;
    ids.push(done.best);
    if (ids.length === 1) first = performance.now();
  }
  return { ids, rows: prompt.length, prefill_ms: first - begun, decode_ms: performance.now() - first };
}
