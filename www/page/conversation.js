// The conversation: questions and answers, and which of them the engine holds.

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

  /** Adds a note between turns. @param {string} note */
  note(note) {
    this.entries.push({ note });
  }

  /** Marks every turn as unknown to the engine, below a note that says why. @param {string} note */
  reset(note) {
    if (this.last?.remembered) this.note(note);
    for (const turn of this.turns) turn.remembered = false;
  }
}
