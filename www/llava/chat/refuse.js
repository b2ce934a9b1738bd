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

/** Returns the failure of a call, with the place of a message or of the format as the request names it.
 * @param {unknown} thrown @param {string} root path of what has the messages: "request." or "" */
export function inRequest(thrown, root) {
  const failure = Failure.from(thrown, "chat");
  if (!/^(messages|response_format)\b/.test(failure.where)) return failure;
  return new Failure({ ...failure.fields(), place: root + failure.where.replace(".parts[", ".content[") }, thrown);
}
