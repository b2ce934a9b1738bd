// Generates one answer.

import { chatMessages } from "./conversation.js";
import { followCall } from "./follow-call.js";

/** @typedef {import("../llava/chat/types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("../llava/index.js").ChatStream} ChatStream */
/** @typedef {import("../llava/index.js").Model} Model */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Turn} Turn */

/**
 * Generates the answer of `turn`. One that is stopped is what there is of it, unless the engine had not begun with it.
 * @param {Turn} turn @param {Session} session @param {Model} model @returns {Promise<ChatCompletion>}
 */
export function generateAnswer(turn, session, model) {
  const { activity, conversation } = session;
  const { max_new_tokens: max_tokens, temperature, top_p, seed } = session.settings().generate;
  const messages = chatMessages(conversation.answered, turn.pictures, turn.question);
  activity.begin("generating");
  const notBegun = new AbortController();
  /** @type {ChatStream | null} */
  let stream = null;
  activity.stoppable().addEventListener("abort", () => (stream?.controller ?? notBegun).abort());
  return followCall(session, "generating", async (onProgress) => {
    stream = await model.chat.completions.create({ messages, stream: true, max_tokens, temperature, top_p, seed, attention: session.looking.on }, { signal: notBegun.signal, onProgress });
    for await (const { choices } of stream) {
      turn.answer += choices[0]?.delta.content ?? "";
      activity.showProgress();
    }
    return stream.finalChatCompletion();
  });
}
