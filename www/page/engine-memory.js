// What the engine holds of the conversation, and how it is given what it lacks: after an edit, a lost GPU, a reload,
// or the choice of another model. The engine keeps encoded pictures and computed rows, so that giving it the same
// beginning again costs little.

import { LlavaError } from "../llava/index.js";
import { encodePicture } from "../llava/redraw.js";

/** @typedef {import("../shared/protocol.js").Report} Report */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

/** Kinds of failure of a picture that does not go with the next question. */
const REFUSED = ["image", "context-full"];

export class EngineMemory {
  /** Whether the two lists are what the engine holds. */
  #known = false;
  /** @type {Turn[]} */
  #turns = [];
  /** Pictures that the engine holds for the next question. @type {Picture[]} */
  #pictures = [];
  /** Question that the engine has prefilled. */
  #prefilled = "";
  /** Whether the conversation is of an earlier visit, and the person has only read it yet. */
  onlyShown = false;
  /** Picture that is being encoded, or whose encoding has failed. @type {Picture | null} */
  encoding = null;

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** Marks everything as unknown: the next `sync` gives the engine all again. */
  forget() {
    this.#known = false;
    for (const picture of this.session.conversation.pictures) picture.seen = null;
  }

  /** Records that the engine has answered `turn`. @param {Turn} turn */
  answered(turn) {
    this.#turns.push(turn);
    this.#pictures = [];
  }

  /** Makes the engine hold the conversation, on a new device if its GPU was lost. Rejects with the first error, up to
   * which all is given. */
  async sync() {
    const { activity, loading } = this.session;
    this.onlyShown = false;
    try {
      const report = await this.#update();
      if (!report) return;
      Object.assign(loading, { report });
      this.#prefilled = "";
      activity.end();
    } catch (thrown) {
      if (!(await this.recovered(thrown))) throw thrown;
    }
  }

  /** Recovers from a lost GPU: loads the model again, and gives it the conversation.
   * @param {unknown} thrown
   * @returns {Promise<boolean>} whether the state is as before; false for every other failure */
  async recovered(thrown) {
    const { loading } = this.session;
    if (LlavaError.from(thrown, "engine").kind !== "gpu-lost" || !loading.mayRecover()) return false;
    loading.recovering = true;
    try {
      await loading.reload();
      this.forget();
      await this.sync();
      return true;
    } catch (again) {
      return this.recovered(again);
    } finally {
      loading.recovering = false;
    }
  }

  /** Returns the picture of the next question that the engine has refused, if a failure of this kind says so.
   * @param {string} kind */
  refusedPicture(kind) {
    const refused = REFUSED.includes(kind) && this.session.conversation.attached.includes(/** @type {Picture} */ (this.encoding));
    return refused ? this.encoding : null;
  }

  /** Prefills a question that is still being typed. A failure shows only when the question is asked.
   * @param {string} question */
  async prefill(question) {
    if (!question || question === this.#prefilled) return;
    this.#prefilled = question;
    await this.session.link.call("prefill", { question }).catch(console.info);
  }

  /** @returns {Promise<Report | null>} after a change */
  async #update() {
    const { conversation, link, modelKey } = this.session;
    const { answered, pending } = conversation;
    this.encoding = null;
    let report = await this.#cut(answered, pending);
    for (const turn of answered.slice(this.#turns.length)) {
      await this.#attach(turn.pictures);
      const { question, result, model, pictures } = turn;
      const answer = model === modelKey ? { ids: result?.answer.ids ?? [] } : { text: turn.answer };
      report = await link.call("restore", { turns: [{ question, images: pictures.length, ...answer }] });
      this.answered(turn);
    }
    return (await this.#attach(pending)) ?? report;
  }

  /** Removes from the engine what it should not hold.
   * @param {Turn[]} turns that it should hold @param {Picture[]} pictures that it should hold for the next question */
  async #cut(turns, pictures) {
    const { link } = this.session;
    const differs = this.#turns.findIndex((turn, i) => turn !== turns[i]);
    const shared = differs < 0 ? this.#turns.length : differs;
    const removed = this.#turns[shared];
    // After a cut the engine holds the pictures of the first removed turn for the next question.
    const kept = removed ? removed.pictures : this.#pictures;
    const next = turns[shared]?.pictures ?? pictures;
    if (!this.#known || !kept.every((picture, i) => picture === next[i])) {
      const report = await link.call("reset", null);
      [this.#turns, this.#pictures, this.#known] = [[], [], true];
      return report;
    }
    if (!removed) return null;
    const report = await link.call("truncate", { turns: shared });
    [this.#turns, this.#pictures] = [this.#turns.slice(0, shared), [...kept]];
    return report;
  }

  /** @param {Picture[]} pictures for the next question, of which the engine may hold the first */
  async #attach(pictures) {
    const { link, activity } = this.session;
    /** @type {Report | null} */
    let report = null;
    for (const picture of pictures.slice(this.#pictures.length)) {
      this.encoding = picture;
      activity.begin("encoding");
      const seen = await encodePicture(link, picture, activity.onProgress);
      if (seen.encoded.cancelled) {
        this.forget();
        throw new LlavaError({ kind: "cancelled", place: "picture", message: "stopped by you" });
      }
      picture.seen = seen;
      this.session.loading.running?.learnPace(seen);
      report = seen.report;
      this.#pictures.push(picture);
      this.encoding = null;
    }
    return report;
  }
}
