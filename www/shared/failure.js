// The error type of the package and its workers. It is structured: a page chooses its words and buttons by `kind` and
// parses no message. The package exports it as LlavaError.

/** @typedef {import("./protocol.js").FailureFields} FailureFields */

/**
 * An error of the package. `kind` is for programs: an engine `Kind` or one of the package; src/docs/package.md lists
 * them.
 */
export class Failure extends Error {
  /** @param {FailureFields} fields @param {unknown} [cause] */
  constructor({ kind, place, message, hint = "" }, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "LlavaError";
    /** What went wrong, for programs. @type {string} */
    this.kind = kind;
    /** The file, tensor, field or option that it concerns. @type {string} */
    this.where = place;
    /** What to do about it; may be empty. @type {string} */
    this.hint = hint;
  }

  /** Returns the fields as a plain object for messages, since structured clone drops the fields of a subclass of Error.
   * @internal @returns {FailureFields} */
  fields() {
    return { kind: this.kind, place: this.where, message: this.message, hint: this.hint };
  }

  /**
   * Converts a thrown value to a Failure. The engine throws plain objects with these fields.
   * @param {unknown} thrown
   * @param {string} place where it was caught, for values that have no place
   * @returns {Failure}
   */
  static from(thrown, place) {
    if (thrown instanceof Failure) return thrown;
    if (typeof thrown === "object" && thrown !== null && "kind" in thrown && "message" in thrown) {
      return new Failure(/** @type {FailureFields} */ (thrown), thrown);
    }
    const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    return new Failure({ kind: "crash", place, message, hint: "Restart the model." }, thrown);
  }
}

/** Returns the failure of work that its caller has aborted. @param {AbortSignal} signal @param {string} place */
export const aborted = (signal, place) => new Failure({ kind: "cancelled", place, message: "it was aborted" }, signal.reason);

/** Returns what `work` gives, unless `signal` is aborted first: then it rejects at once, and `onAbort` may end the work.
 * @template T @param {AbortSignal | undefined} signal @param {string} place @param {() => Promise<T>} work
 * @param {(why: Failure) => void} [onAbort] @returns {Promise<T>} */
export async function untilAborted(signal, place, work, onAbort = () => {}) {
  if (!signal) return work();
  if (signal.aborted) throw aborted(signal, place);
  /** @type {(reason: Failure) => void} */
  let reject = () => {};
  const stopped = new Promise((_, rejects) => (reject = rejects));
  const stop = () => {
    const why = aborted(signal, place);
    reject(why);
    onAbort(why);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work(), /** @type {Promise<never>} */ (stopped)]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
