// Generates one answer, through the loss of a GPU if need be.

import { LlavaError } from "../llava/index.js";

/** @typedef {import("../shared/protocol.js").Answered} Answered */
/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("../llava/index.js").Model["link"]} EngineLink */
/** @typedef {import("./types.js").Turn} Turn */

/**
 * Generates the answer of `turn`. After a lost GPU it continues from the tokens so far.
 * @param {Turn} turn
 * @param {object} session
 * @param {EngineLink} session.link
 * @param {Activity} session.activity
 * @param {GenerateOptions} session.options
 * @param {(thrown: unknown) => Promise<boolean>} session.recovered  recovers from a lost GPU, and
 *   returns false for every other failure
 * @returns {Promise<Answered>}
 */
export async function generateAnswer(turn, { link, activity, options, recovered }) {
  /** @type {number[]} */
  const ids = [];
  /** @param {EngineEvent} event */
  const onEvent = (event) => {
    if (event.type === "token") {
      turn.answer = (turn.answer + event.text).trimStart();
      if (event.id !== undefined) ids.push(event.id);
    }
    activity.onProgress(event);
  };
  for (;;) {
    activity.begin("generating");
    // Text whose ids are unknown cannot be continued: the answer begins again.
    if (!ids.length) turn.answer = "";
    try {
      const continued = { ...options, ...(ids.length && { begin: [...ids] }) };
      return await link.call("generate", { question: turn.question, options: continued }, { onEvent });
    } catch (thrown) {
      if (!(await recovered(thrown))) throw thrown;
      if (/** @type {string} */ (turn.state) === "stopped") throw new LlavaError({ kind: "cancelled", place: "answer", message: "stopped by you" });
    }
  }
}
