// One error type on both sides of the worker's wall. It stays structured: the page chooses its words and
// buttons by `kind` and never parses a sentence.

/** @typedef {import("./protocol.js").FailureFields} FailureFields */

export class Failure extends Error {
  /** @param {FailureFields} fields */
  constructor({ kind, place, message, hint = "" }) {
    super(message);
    this.name = "Failure";
    this.kind = kind;
    this.place = place;
    this.hint = hint;
  }

  /** Structured clone drops the fields of an Error's subclass, so they travel as a plain object.
   * @returns {FailureFields} */
  fields() {
    return { kind: this.kind, place: this.place, message: this.message, hint: this.hint };
  }

  /**
   * Whatever was thrown, as a Failure. The engine throws plain objects with these fields.
   * @param {unknown} thrown
   * @param {string} place where it was caught, when it does not say itself
   * @returns {Failure}
   */
  static from(thrown, place) {
    if (thrown instanceof Failure) return thrown;
    if (typeof thrown === "object" && thrown !== null && "kind" in thrown && "message" in thrown) {
      return new Failure(/** @type {FailureFields} */ (thrown));
    }
    const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    return new Failure({ kind: "crash", place, message, hint: "Restart the model." });
  }
}
