// What every engine is asked: one prompt per turn, the same letters from another one on, so that none can reuse what it
// read before.

/** @typedef {{ size: string, question: string, prompt: number[], layers: number, heads: number, head: number }} Task */
/**
 * @typedef {object} Run
 * @property {number[]} ids
 * @property {number} rows  prompt tokens that were read
 * @property {number} prefill_ms  until the first token is known
 * @property {number} decode_ms  from there to the last
 */
/**
 * @typedef {object} Engine
 * @property {(task: Task, setting: any) => Promise<string>} load  gives what it says of itself
 * @property {(turn: number, tokens: number) => Promise<Run>} answer  `turn` changes the prompt, so that nothing is reused
 */

/** @template T @param {T[]} list @param {number} by @returns {T[]} */
export const turned = (list, by) => [...list.slice(by), ...list.slice(0, by)];

/** Token ids: the mark of the beginning stays first. @param {number[]} prompt @param {number} turn */
export const ids = ([begin, ...rest], turn) => [/** @type {number} */ (begin), ...turned(rest, turn)];

/** The same as text. @param {string} question @param {number} turn */
export const text = (question, turn) => turned(question.split(" "), turn).join(" ");
