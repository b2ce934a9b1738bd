// Where the answers looked: kept for this visit beside their turns, and found again for answers made without.

import { chatMessages } from "./conversation.js";
import { followCall } from "./follow-call.js";

/** @typedef {import("../llava/chat/types.js").AnswerAttention} AnswerAttention */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */
/** The attention of an answer, and the pictures of its prompt in order. @typedef {{ attention: AnswerAttention, pictures: Picture[] }} Looks */

export class Looking {
  /** Whether answers are made with it. */
  on = false;
  /** By turn; it goes when the turn does. @type {WeakMap<Turn, Looks>} */
  #known = new WeakMap();

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @param {Turn} turn */
  of(turn) {
    return this.#known.get(turn) ?? null;
  }

  /** @param {Turn} turn @param {Picture[]} pictures of its prompt @param {AnswerAttention | undefined} attention */
  keep(turn, pictures, attention) {
    if (attention) this.#known.set(turn, { attention, pictures });
  }

  /** Finds where the answer of a turn looked, by letting the model read it again.
   * @param {Turn} turn @returns {Promise<void>} */
  again(turn) {
    const { activity, conversation, memory, loading } = this.session;
    return activity.exclusive(async () => {
      const { answered } = conversation;
      const at = answered.indexOf(turn);
      if (at < 0 || !activity.loaded) return;
      try {
        await memory.sync();
        const model = loading.running;
        if (!model) return;
        const messages = chatMessages(answered.slice(0, at + 1), [], "").slice(0, -1);
        activity.begin("generating");
        const signal = activity.stoppable();
        const attention = await followCall(this.session, "generating", (onProgress) => model.attention(messages, { signal, onProgress }));
        this.keep(turn, answered.slice(0, at + 1).flatMap(({ pictures }) => pictures), attention);
        activity.end();
      } catch (thrown) {
        activity.fail(thrown, "attention", () => this.again(turn));
      }
    });
  }
}
