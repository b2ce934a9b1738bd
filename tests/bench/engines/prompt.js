// What every engine is asked, and what it answers.

/** One prompt: the question that our engine puts into the model's template, the text with that template, and, where an
 * engine has no tokenizer, its ids.
 * @typedef {{ question: string, text: string, ids: number[] }} Prompt */
/** A model, as addresses below the host's root; `onnx` is a folder. `template`: in place of the file's own.
 * @typedef {{ language: string, vision: string, onnx: string, template: string | undefined, layers: number, heads: number, head: number }} Task */
/**
 * @typedef {object} Run
 * @property {number[]} ids
 * @property {number} rows  prompt tokens that were read
 * @property {number} prefill_ms  until the first token is known
 * @property {number} decode_ms  from there to the last
 */
/**
 * @typedef {object} Engine
 * @property {(task: Task, setting: any, ports: MessagePort[]) => Promise<string>} load  gives what it says of itself
 * @property {(prompt: Prompt, tokens: number) => Promise<Run>} answer
 */

/** @template T @param {T[]} list @param {number} by @returns {T[]} */
export const turned = (list, by) => [...list.slice(by), ...list.slice(0, by)];

/** Token ids: the mark of the beginning stays first. @param {number[]} prompt @param {number} turn */
export const ids = ([begin, ...rest], turn) => [/** @type {number} */ (begin), ...turned(rest, turn)];

/** The same as text. @param {string} question @param {number} turn */
export const text = (question, turn) => turned(question.split(" "), turn).join(" ");
