// What the engine is given before the next question is asked: its pictures, and the question as it is typed. The package
// finds by content what it has computed, so that every question brings its whole conversation and costs what is new.

import { chatMessages } from "./conversation.js";
import { followCall } from "./follow-call.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Picture} Picture */

/** Kinds of failure of a picture that does not go with the next question. */
const REFUSED = ["image", "context-full"];

export class EngineMemory {
  /** What was prefilled last. */
  #prefilled = "";
  /** Whether the conversation is of an earlier visit, and the person has only read it yet. */
  onlyShown = false;
  /** Picture that is being encoded, or whose encoding has failed. @type {Picture | null} */
  encoding = null;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** Records that the engine has lost its pictures. */
  forget() {
    this.#prefilled = "";
    for (const picture of this.session.conversation.pictures) picture.seen = null;
  }

  /** Encodes the pictures of the conversation and of the next question that the engine has not encoded. Rejects with the
   * first error. */
  async sync() {
    const { conversation, activity } = this.session;
    const { answered, pending } = conversation;
    this.onlyShown = false;
    this.encoding = null;
    let encoded = false;
    for (const [i, pictures] of [...answered.map(({ pictures }) => pictures), pending].entries()) {
      for (const [j, picture] of pictures.entries()) {
        if (picture.seen) continue;
        await this.#encode(picture, () => chatMessages(answered.slice(0, i), pictures.slice(0, j + 1), ""));
        encoded = true;
      }
    }
    if (encoded) activity.end();
  }

  /** @param {Picture} picture @param {() => import("../llava/chat/types.js").ChatMessage[]} messages up to it */
  async #encode(picture, messages) {
    const { activity, loading } = this.session;
    const model = loading.running;
    if (!model) return;
    this.encoding = picture;
    activity.begin("encoding");
    const signal = activity.stoppable();
    await followCall(this.session, "encoding", async (onProgress) => {
      const seen = await model.encode(picture.blob, { signal, onProgress });
      this.#show(picture, seen.image);
      // Says whether the context has room for it, too.
      await model.prefill(messages(), { signal, onProgress });
      picture.seen = seen;
    });
    this.encoding = null;
    this.#prefilled = "";
  }

  /** Shows what was encoded: the browser's drawing may have replaced a picture. @param {Picture} picture @param {Blob} image */
  #show(picture, image) {
    if (image === picture.blob) return;
    URL.revokeObjectURL(picture.url);
    Object.assign(picture, { blob: image, url: URL.createObjectURL(image) });
  }

  /** Returns the picture of the next question that the engine has refused, if a failure of this kind says so.
   * @param {string} kind */
  refusedPicture(kind) {
    const refused = REFUSED.includes(kind) && this.session.conversation.attached.includes(/** @type {Picture} */ (this.encoding));
    return refused ? this.encoding : null;
  }

  /** Prefills a question that is still being typed. A failure shows only when the question is asked, unless the model is
   * lost. @param {string} question */
  async prefill(question) {
    const { conversation, activity, loading } = this.session;
    const { answered, pending } = conversation;
    const wanted = [answered.length, ...pending.map(({ id }) => id), question].join("\n");
    if (!question || wanted === this.#prefilled) return;
    this.#prefilled = wanted;
    try {
      await followCall(this.session, "ready", async (onProgress) => loading.running?.prefill(chatMessages(answered, pending, question), { onProgress }));
    } catch (thrown) {
      if (!activity.loaded) throw thrown;
      console.info(thrown);
    }
    if (activity.phase === "encoding" || activity.phase === "loading") activity.end();
  }
}
