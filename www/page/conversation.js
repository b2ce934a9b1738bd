// What was asked and answered, and what the engine still holds of it.

/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Turn} Turn */

export class Conversation {
  /** @type {(Turn | Note)[]} */
  entries = [];

  get turns() {
    return this.entries.filter((entry) => "question" in entry);
  }

  get last() {
    return this.turns.at(-1);
  }

  /** @param {string} question @returns {Turn} */
  ask(question) {
    /** @type {Turn} */
    const turn = { question, answer: "", state: "streaming", result: null, remembered: false };
    this.entries.push(turn);
    return turn;
  }

  /** What the engine forgets stays readable, under a note that says so.
   * @param {string} note @param {boolean} only the note, and nothing is forgotten */
  forget(note, only) {
    if (only || this.last?.remembered) this.entries.push({ note });
    if (!only) for (const turn of this.turns) turn.remembered = false;
  }
}
