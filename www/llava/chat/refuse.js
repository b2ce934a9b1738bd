// Errors of requests.

import { Failure, aborted } from "../../shared/failure.js";

/** Returns the error of a request that is not supported, or is wrong.
 * @param {string} where the field, as a path: `request.messages[0].content`
 * @param {string} message @param {string} [hint] */
export function refusal(where, message, hint = "") {
  return new Failure({ kind: "argument", place: where, message, hint });
}

/** @param {AbortSignal | null | undefined} signal @param {string} where */
export function throwIfAborted(signal, where) {
  if (signal?.aborted) throw aborted(signal, where);
}

/** Describes the type of a value, for messages. @param {unknown} value */
export function typeName(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return typeof value;
  const name = Object.getPrototypeOf(value)?.constructor?.name ?? "Object";
  return name === "Object" ? "an object" : name;
}
