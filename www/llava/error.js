// The error of every call of the package.

import { Failure } from "../shared/failure.js";

export class LlavaError extends Error {
  name = "LlavaError";

  /** @param {{ kind: string, where: string, message: string, hint?: string, cause?: unknown }} fields */
  constructor({ kind, where, message, hint = "", cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.where = where;
    this.hint = hint;
  }
}

/** @param {unknown} thrown @param {string} where @returns {LlavaError} */
export function toLlavaError(thrown, where) {
  if (thrown instanceof LlavaError) return thrown;
  const { kind, place, message, hint } = Failure.from(thrown, where);
  return new LlavaError({ kind, where: place, message, hint, cause: thrown });
}
