// The models that engines are compared on: a synthetic LLaMA, and a published one with what transformers answers.

import { readFileSync } from "node:fs";
import path from "node:path";
import { ids, text, turned } from "./engines/prompt.js";

/** @typedef {import("./engines/prompt.js").Prompt} Prompt */
/** @typedef {import("./engines/prompt.js").Task} Task */
/** What is right: `ids`, and by how much the logit of each leads the next.
 * @typedef {{ prompt: Prompt, rows: number, ids: number[], leads: number[], close: number }} Check  `prompt.ids` where they are known */
/** `prompt` changes with the turn, so that no engine can reuse what it read before. `rows`: about how many tokens.
 * @typedef {{ name: string, task: Task, checks: Check[], prompt: (turn: number, rows: number) => Prompt }} Model */

/** Another token than the one expected may be chosen where its logit leads by less than this, since every engine multiplies
 * activations of 8 bits. Of SmolLM2 they change leads by 0.12 to 0.15 (root mean square, src/docs/numerics.md): thrice that. */
const CLOSE = { synthetic: 0.1, smollm2: 0.45 };
/** Tokens that begin every prompt, which an engine may keep from the last one. */
const SHARED = 4;

/** Says whether an answer is right; that of another prompt never is.
 * @param {{ ids: number[], rows: number }} run @param {Check} check */
export function judge({ ids, rows }, { ids: right, leads, rows: wanted, close }) {
  if (rows > wanted || rows < wanted - SHARED) return `**another prompt**: ${rows} tokens instead of ${wanted}`;
  const at = right.findIndex((id, i) => i < ids.length && id !== ids[i]);
  if (at < 0) return `right: ${Math.min(ids.length, right.length)} tokens`;
  const lead = leads[at] ?? NaN;
  return lead < close ? `right: ${at} tokens, then another for one that leads by ${lead.toFixed(3)}` : `**wrong** from token ${at + 1} on (lead of the right one ${lead.toFixed(2)})`;
}

/** @param {string} file */
const json = (file) => JSON.parse(readFileSync(file, "utf8"));

/** Random weights; onnxruntime's native CPU backend has answered. @param {string} folder @param {string} size @returns {Model} */
export function synthetic(folder, size) {
  const expected = json(path.join(folder, size, "expected.json"));
  const at = `/models/${size}/`;
  const [language, vision] = ["Q4_0-pure", "mmproj-f16"].map((what) => `${at}synthetic-${size}-${what}.gguf`);
  /** The same letters for everyone, a token each. @param {number} turn @returns {Prompt} */
  const prompt = (turn) => ({ question: text(expected.question, turn), text: text(expected.question, turn), ids: ids(expected.prompt, turn) });
  return {
    name: size,
    task: { ...expected, language, vision, onnx: at, template: "plain" },
    checks: [{ prompt: prompt(0), rows: expected.prompt.length, ids: expected.ids, leads: expected.leads, close: CLOSE.synthetic }],
    prompt,
  };
}

const WORDS = "time people way water day part place work week case point government company number group problem fact hand school night";

/**
 * SmolLM2-135M-Instruct; transformers has answered (tests/golden/generate_smollm2.py).
 * @param {string} golden its answers @returns {Model}
 */
export function smollm2(golden) {
  /** @param {string} question @returns {Prompt} */
  const asked = (question) => ({ question, text: `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, ids: [] });
  /** @type {{ question: string | null, ids: number[], greedy: number[], margin: number[] }[]} */
  const answers = json(golden).answers;
  // One of them has no question: a text to be continued, which the page cannot ask.
  const checks = answers.flatMap(({ question, ids, greedy, margin }) => {
    if (question === null) return [];
    // Engines end there, unless the end of a turn is forbidden to them.
    const end = greedy.indexOf(2);
    const upTo = end < 0 ? greedy.length : end;
    return [{ prompt: { ...asked(question), ids }, rows: ids.length, ids: greedy.slice(0, upTo), leads: margin, close: CLOSE.smollm2 }];
  });
  return {
    name: "SmolLM2-135M Q4_1",
    task: { language: "/models/smollm2.gguf", vision: "/models/mmproj.gguf", onnx: "", template: undefined, layers: 30, heads: 9, head: 64 },
    checks,
    prompt(turn, rows) {
      const words = turned(WORDS.split(" "), turn);
      return asked(Array.from({ length: rows - 10 }, (_, i) => words[i % words.length]).join(" "));
    },
  };
}
