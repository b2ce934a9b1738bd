// The text of a streamed answer, without the space around it, as the engine's answers are.

export class AnswerText {
  /** Space that is left out unless text follows it. */
  #space = "";

  /** @param {boolean} continued whether the text continues another, whose space it keeps */
  constructor(continued) {
    this.begun = continued;
  }

  /** Returns the text to show after a piece of the answer; it may be empty. @param {string} piece */
  push(piece) {
    const text = this.begun ? this.#space + piece : piece.trimStart();
    const end = text.trimEnd();
    this.#space = text.slice(end.length);
    this.begun ||= end.length > 0;
    return end;
  }
}
