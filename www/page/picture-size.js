// Changes the size of pictures: that of the offered model, or of the running one, which is given the conversation again.

import { rememberSize } from "./remembered-choices.js";

/** @typedef {import("./session.js").Session} Session */

/** @param {Session} session @param {number} longest_edge */
export async function changeSize(session, longest_edge) {
  const { activity, loading, memory, conversation } = session;
  if (!activity.loaded) return loading.planAgain({ longest_edge });
  // The person need not wait for a picture that is encoded again. An answer is not interrupted.
  if (activity.phase === "encoding" && conversation.last?.state !== "streaming") await session.stop();
  await activity.exclusive(async () => {
    if (!activity.loaded) return;
    await loading.running?.setPictureSize(longest_edge);
    rememberSize(loading.storage?.key ?? "", longest_edge);
    memory.forget();
    activity.changed();
  });
  if (!memory.onlyShown) await session.prepare();
}
