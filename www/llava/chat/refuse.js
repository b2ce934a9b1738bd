// Errors of requests.

import { LlavaError } from "../error.js";

/** Returns the error of a request that is not supported, or is wrong.
 * @param {string} where the field, as a path: `request.messages[0].content`
 * @param {string} message @param {string} [hint] */
export function refusal(where, message, hint = "") {
  return new LlavaError({ kind: "argument", where, message, hint });
}

/** Returns the error of a call that its caller has aborted. @param {string} where @param {unknown} [cause] reason of the signal */
export function cancellation(where, cause) {
  return new LlavaError({ kind: "cancelled", where, message: "the call was aborted", cause });
}

/** @param {AbortSignal | null | undefined} signal @param {string} where */
export function throwIfAborted(signal, where) {
  if (signal?.aborted) throw cancellation(where, signal.reason);
}

/** Describes the type of a value, for messages. @param {unknown} value */
export function typeName(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return typeof value;
  const name = Object.getPrototypeOf(value)?.constructor?.name ?? "Object";
  return name === "Object" ? "an object" : name;
}
