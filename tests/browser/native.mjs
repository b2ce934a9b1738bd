// What the command line answers: browsers are compared with it.

import { execFileSync } from "node:child_process";
import path from "node:path";
import { BIN } from "./harness.mjs";

/** @typedef {{ prompt_ids: number[], ids: number[], text: string }} NativeAnswer */

/** Runs a program of ours. @param {string} program @param {string[]} args */
export const run = (program, args) => execFileSync(path.join(BIN, program), args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 });

/** @type {Map<string, NativeAnswer>} */
const known = new Map();

/**
 * Greedy, without `flags` that say otherwise. Shaders compute what the reference does; the CPU rounds activations to 8 bits, natively as in a browser.
 * @param {string} model a folder @param {string} picture a file
 * @param {{ prompt: string } | { raw: string }} question
 * @param {"webgpu" | "gpu" | "cpu"} backend  `webgpu` is compared with the reference, `gpu` with
 *   the same shaders outside of a browser, for models that would take the reference minutes @param {number} [tokens]
 * @param {string[]} [flags]
 * @returns {NativeAnswer}
 */
export function natively(model, picture, question, backend, tokens = 256, flags = []) {
  const asked = "raw" in question ? ["--raw-prompt", question.raw] : ["--prompt", question.prompt];
  const args = ["--model", model, "--image", picture, ...asked, "--backend", backend === "webgpu" ? "reference" : backend, "--json", "--max-new-tokens", String(tokens), ...flags];
  const key = JSON.stringify(args);
  const answer = known.get(key) ?? JSON.parse(run("chat", args));
  known.set(key, answer);
  return answer;
}
