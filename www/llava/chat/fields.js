// Reads fields of requests.

import { refusal, typeName } from "./refuse.js";

/** Returns the entry of a table under a name that comes from a request; names of the prototype have none.
 * @template T @param {Record<string, T>} table @param {unknown} name @returns {T | undefined} */
export function entryOf(table, name) {
  return typeof name === "string" && Object.hasOwn(table, name) ? table[name] : undefined;
}

/** @param {unknown} value @param {string} where @returns {Record<string, unknown>} */
export function readObject(value, where) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return /** @type {Record<string, unknown>} */ (value);
  throw refusal(where, `is ${typeName(value)}, not an object`);
}

/** Reads a field that may be absent. @param {unknown} value @param {string} where @returns {boolean | undefined} */
export function readBoolean(value, where) {
  if (value === null || value === undefined || typeof value === "boolean") return value ?? undefined;
  throw refusal(where, `is ${typeName(value)}, not a boolean`);
}

/** Reads a field that may be absent. `range` is the lowest and highest value, and whether it is whole.
 * @param {unknown} value @param {string} where @param {[number, number, boolean?]} range @returns {number | undefined} */
export function readNumber(value, where, [low, high, whole]) {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== "number") throw refusal(where, `is ${typeName(value)}, not a number`);
  if (whole && !Number.isInteger(value)) throw refusal(where, `${value} is not a whole number`);
  if (!(value >= low && value <= high)) throw refusal(where, `${value} is not between ${low} and ${high}`);
  return value;
}
