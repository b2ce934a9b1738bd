// The conversation: questions with their pictures and answers, and the pictures of the next question.

/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

/** @param {Blob} blob @param {string} name @param {Picture["source"]} source @returns {Picture} */
export function newPicture(blob, name, source) {
  const id = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  return { id, blob, name, source, url: URL.createObjectURL(blob), seen: null };
}

/** Returns the messages of turns and of a question after them.
 * @param {Turn[]} turns @param {Picture[]} pictures of the question @param {string} question may be empty
 * @returns {import("../llava/chat/types.js").ChatMessage[]} */
export function chatMessages(turns, pictures, question) {
  const images = pictures.map(({ blob }) => /** @type {const} */ ({ type: "image", image: blob }));
  const text = question || !images.length ? [/** @type {const} */ ({ type: "text", text: question })] : [];
  const before = turns.flatMap((turn) => [...chatMessages([], turn.pictures, turn.question), /** @type {const} */ ({ role: "assistant", content: turn.answer })]);
  return [...before, { role: "user", content: [...images, ...text] }];
}

export class Conversation {
  /** @type {(Turn | Note)[]} */
  entries = [];
  /** Pictures that go with the next question. @type {Picture[]} */
  attached = [];

  get turns() {
    return this.entries.filter((entry) => "question" in entry);
  }

  get last() {
    return this.turns.at(-1);
  }

  /** The turns that later questions follow. */
  get answered() {
    return this.turns.filter((turn) => turn.result);
  }

  /** Pictures of the question that is being answered, or of the next one. */
  get pending() {
    return this.last?.state === "streaming" ? this.last.pictures : this.attached;
  }

  /** All pictures, in order. */
  get pictures() {
    return [...this.turns.flatMap((turn) => turn.pictures), ...this.attached];
  }

  /** Adds a picture to the next question. Of those that replace each other only the last stays.
   * @param {Picture} picture */
  attach(picture) {
    const { source } = picture;
    this.attached = [...this.attached.filter((other) => !source || other.source !== source), picture];
  }

  /** @param {Picture} picture */
  detach(picture) {
    this.attached = this.attached.filter((other) => other !== picture);
  }

  /** Asks with the attached pictures. @param {string} question @param {Picture[]} [pictures] before them
   * @returns {Turn} */
  ask(question, pictures = []) {
    /** @type {Turn} */
    const turn = { question, pictures: [...pictures, ...this.attached], answer: "", state: "streaming", result: null, model: "" };
    this.attached = [];
    this.entries.push(turn);
    return turn;
  }

  /** Returns the pictures of a question without an answer to the next question. @param {Turn} turn */
  giveBack(turn) {
    this.#passOn(turn, turn.pictures);
    turn.pictures = [];
  }

  /** Gives pictures to the question after `turn`, which may have been asked already, while `turn` was being stopped.
   * Nothing is given where a later edit has removed `turn`.
   * @param {Turn} turn @param {Picture[]} pictures */
  #passOn(turn, pictures) {
    const { turns } = this;
    if (!turns.includes(turn)) return;
    const next = turns[turns.indexOf(turn) + 1];
    if (next) next.pictures = [...pictures, ...next.pictures];
    else this.attached = [...pictures, ...this.attached];
  }

  /** Asks another question in the place of `turn`, with its pictures; what follows it is removed.
   * @param {Turn} turn @param {string} question @param {boolean} withAttached whether attached pictures go with it
   * @returns {{ turn: Turn, undo: () => void }} the new turn, and how to restore the old ones */
  replace(turn, question, withAttached) {
    const { entries, attached } = this;
    this.entries = entries.slice(0, entries.indexOf(turn));
    if (!withAttached) this.attached = [];
    const asked = this.ask(question, turn.pictures);
    if (!withAttached) this.attached = attached;
    const undo = () => {
      const at = this.entries.indexOf(asked);
      if (at < 0) return;
      this.#passOn(asked, withAttached ? attached : []);
      this.entries = [...entries, ...this.entries.slice(at + 1)];
    };
    return { turn: asked, undo };
  }

  /** Notes which model answers from here on, if another one has answered before.
   * @param {string} model its key @param {string} name */
  continueWith(model, name) {
    const end = this.entries.at(-1);
    if (end && "note" in end && end.model) this.entries.pop();
    const last = this.answered.at(-1);
    if (last && last.model !== model) this.entries.push({ note: `From here on ${name} answers. It is given the conversation above.`, model });
  }

  /** Adds a note between turns. @param {string} note */
  note(note) {
    this.entries.push({ note });
  }
}
