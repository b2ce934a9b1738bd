// A worker of the page learn.html. It owns a module with Burn and a copy of the parameters. One worker leads the run; the
// others compute the gradients of other batches, and apply the same steps.

import { HelperLink, serveLeader } from "./helper-link.js";
import { TrainingLoop } from "./training-loop.js";

/** @typedef {import("../protocol.js").Start} Start */
/** @typedef {import("../protocol.js").Request} Request */
/** @typedef {import("../protocol.js").Told} Told */

const scope = /** @type {DedicatedWorkerGlobalScope & { llavaPanic?: string }} */ (/** @type {unknown} */ (self));

/** @param {Told} told */
const tell = (told) => scope.postMessage(told);

/** Reports what ends the run. @param {unknown} thrown @param {boolean} [missing] whether the module was never built */
function fail(thrown, missing = false) {
  const message = scope.llavaPanic ?? (thrown instanceof Error ? thrown.message : String(thrown));
  tell({ type: "failure", message, missing });
}

/** Fetches a file of the model. @param {string} address */
async function bytesOf(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Loads the module, the model's files, and makes a fresh connector. @param {Start} start */
async function open({ model, fresh, seed, pictures }) {
  const code = await import("../../pkg/learn/llava_learn.js").catch((thrown) => fail(thrown, true));
  if (!code) return null;
  await code.default();
  const manifest = await bytesOf(`${model}manifest.json`);
  const { files, shards } = JSON.parse(new TextDecoder().decode(manifest));
  const [config, tokenizer, ...parts] = await Promise.all([files.config, files.tokenizer, ...shards].map(({ file }) => bytesOf(model + file)));
  if (!config || !tokenizer) throw new Error("the manifest names no configuration or no tokenizer");
  const trainer = new code.Trainer(manifest, config, tokenizer, parts, fresh, seed, pictures);
  return { trainer, source: code.source };
}

/** @param {Start} start */
async function run(start) {
  const opened = await open(start);
  if (!opened) return;
  const { trainer, source } = opened;
  const [port] = start.ports;
  if (!start.leader) {
    if (port) serveLeader(port, trainer, fail);
    return;
  }
  tell({ type: "source", files: JSON.parse(source()) });
  const loop = new TrainingLoop(trainer, start.ports.map((port) => new HelperLink(port)), start.budget, tell);
  loop.show(start.scene);
  scope.addEventListener("message", ({ data }) => loop.receive(/** @type {Request} */ (data)));
  tell({ type: "ready", workers: 1 + start.ports.length });
  await loop.run();
}

scope.addEventListener("message", ({ data }) => {
  if (data.type === "start") run(data).catch((thrown) => fail(thrown));
});
scope.addEventListener("error", ({ error, message }) => fail(error ?? message));
