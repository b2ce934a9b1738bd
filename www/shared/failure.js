// The error type of page and worker. It is structured: the page chooses its words and buttons by `kind` and parses no
// message.

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

  /** Returns the fields as a plain object for messages, since structured clone drops the fields of a subclass of Error.
   * @returns {FailureFields} */
  fields() {
    return { kind: this.kind, place: this.place, message: this.message, hint: this.hint };
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
      return new Failure(/** @type {FailureFields} */ (thrown));
    }
    const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    return new Failure({ kind: "crash", place, message, hint: "Restart the model." });
  }
}
