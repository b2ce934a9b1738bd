// Records www/proof/reference.json: the tokens that the reference kernels compute for the questions of proof.html. Run
// `cargo build --bin chat`, then `LLAVA_BIN=target/debug node tests/browser/record-proof.mjs`.

import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { MODELS, SAMPLING, TOKENS } from "../../www/proof/models.js";
import { repository } from "./harness.mjs";
import { natively } from "./native.mjs";

const www = path.join(repository, "www");
export const REFERENCE = path.join(www, "proof/reference.json");

/** Returns the tokens of one model. @param {import("../../www/proof/models.js").ProofModel} model */
export function record({ entry, cases, quant, cache_type }) {
  const folder = path.join(www, path.dirname(entry[0] ?? ""));
  const types = [...(quant ? ["--quant", quant] : []), ...(cache_type ? ["--cache-type", cache_type] : [])];
  const sampling = Object.entries(SAMPLING).flatMap(([option, value]) => [`--${option.replaceAll("_", "-")}`, String(value)]);
  const ids = (/** @type {import("../../www/proof/models.js").Case} */ { picture, question }, /** @type {number} */ tokens, /** @type {string[]} */ flags) =>
    natively(folder, path.join(picture.startsWith("../") ? path.join(www, "proof") : www, picture), { prompt: question }, "webgpu", tokens, [...types, ...flags]).ids;
  const [first] = cases;
  if (!first) throw new Error("a model without a question");
  return { greedy: cases.map((one) => ids(one, TOKENS.greedy, [])), sampled: ids(first, TOKENS.sampled, sampling) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const entries = MODELS.map((model) => [model.name, record(model)]);
  await writeFile(REFERENCE, `${JSON.stringify(Object.fromEntries(entries))}\n`);
}
