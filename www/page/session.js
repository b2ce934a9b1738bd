// The page's state: the model, the picture and the conversation. Components read its fields on a "change" of
// `activity`; only its methods change them. Calls to the engine never overlap.

import { Failure } from "../shared/failure.js";
import { Activity } from "./activity.js";
import { Conversation } from "./conversation.js";
import { generateAnswer } from "./generate-answer.js";
import { Loading } from "./loading.js";
import { encodePicture } from "./redraw.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./types.js").Choices} Choices */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

export class Session {
  /** @type {Picture | null} */
  picture = null;
  conversation = new Conversation();
  /** Whether the page's own files are cached, so that the next visit needs no network. */
  offline = false;
  /** Unfinished question that waits to be prefilled. @type {string | null} */
  #draft = null;
  activity = new Activity();

  /** @param {ModelRef} model @param {() => Choices} settings */
  constructor(model, settings) {
    this.settings = settings;
    this.loading = new Loading(model, settings, this.activity, {
      onReset: (note) => this.reset(note),
      onNote: (note) => this.conversation.note(note),
      onLoaded: () => this.encode(),
    });
  }

  get link() {
    return this.loading.link;
  }

  /** Shows a picture and encodes it; a new picture begins a new conversation.
   * @param {Blob} blob @param {string} name */
  async show(blob, name) {
    await this.stop();
    this.reset("A new picture, and a new conversation.");
    this.#setPicture({ blob, name, url: URL.createObjectURL(blob), seen: null });
    if (this.activity.loaded) this.activity.error = null;
    this.activity.changed();
    await this.encode();
  }

  async removePicture() {
    await this.stop();
    this.#setPicture(null);
    await this.newChat();
  }

  /** @param {Picture | null} picture */
  #setPicture(picture) {
    if (this.picture) URL.revokeObjectURL(this.picture.url);
    this.picture = picture;
  }

  async newChat() {
    await this.stop();
    this.conversation = new Conversation();
    if (this.picture) this.picture.seen = null;
    this.activity.dismissError();
    await this.encode();
  }

  /** Prefills a question that is still being typed. A failure shows only when the question is asked.
   * @param {string} question */
  prefill(question) {
    if (!this.activity.loaded || !this.picture) return;
    const queued = this.#draft !== null;
    this.#draft = question;
    if (!queued) this.activity.exclusive(async () => {
      const question = this.#draft ?? "";
      this.#draft = null;
      if (this.activity.phase === "ready" && this.picture?.seen) await this.link.call("prefill", { question }).catch(console.info);
    });
  }

  /** @param {string} question */
  async ask(question) {
    await this.#answer(this.conversation.ask(question));
  }

  async regenerate() {
    const turn = this.conversation.last;
    if (turn && turn.state !== "streaming") await this.#answer(turn);
  }

  /** Cancels encoding or answering; resolves when it has ended. */
  async stop() {
    const turn = this.conversation.last;
    const { phase } = this.activity;
    if (turn?.state === "streaming") turn.state = "stopped";
    if (phase === "encoding" || phase === "generating") this.link.call("cancel", null).catch(() => {});
    await this.activity.idle;
  }

  /** Encodes the picture, unless it is encoded. */
  encode() {
    return this.activity.exclusive(async () => {
      const { picture, activity, loading } = this;
      if (!activity.loaded || picture?.seen) return;
      loading.report = await this.link.call("reset", null);
      if (!picture) return activity.changed();
      activity.begin("encoding");
      try {
        const seen = await encodePicture(this.link, picture, activity.onProgress);
        // A picture whose encoding was cancelled is encoded again when a question needs it.
        picture.seen = seen.encoded.cancelled ? null : seen;
        loading.report = seen.report;
        activity.end();
      } catch (thrown) {
        if (picture !== this.picture) activity.end();
        else if (!(await this.#recovered(thrown))) activity.fail(thrown, "picture", () => this.#retry(thrown, () => this.encode()));
      }
    });
  }

  /** @param {Turn} turn */
  async #answer(turn) {
    const { activity, loading } = this;
    Object.assign(turn, { answer: "", state: "streaming", result: null });
    activity.error = null;
    activity.changed();
    await this.encode();
    await activity.exclusive(async () => {
      if (turn.state === "stopped") return activity.changed();
      if (activity.error || !activity.loaded) {
        turn.state = "error";
        return activity.changed();
      }
      try {
        if (turn.remembered) {
          loading.report = await this.link.call("truncate", { turns: (loading.report?.turns ?? 1) - 1 });
          turn.remembered = false;
        }
        const { link } = this;
        const options = this.settings().generate;
        const result = await generateAnswer(turn, { link, activity, options, recovered: (thrown) => this.#recovered(thrown) });
        Object.assign(turn, { result, answer: result.answer.text, remembered: true });
        turn.state = result.answer.stop === "cancelled" ? "stopped" : "done";
        loading.report = result.report;
        activity.end();
      } catch (thrown) {
        turn.state = Failure.from(thrown, "answer").kind === "cancelled" ? "stopped" : "error";
        activity.fail(thrown, "answer", () => this.#retry(thrown, () => this.regenerate()));
      }
    });
  }

  /** Recovers from a lost GPU: loads the model again, and restores the picture and the conversation.
   * @param {unknown} thrown
   * @returns {Promise<boolean>} whether the state is as before; false for every other failure */
  async #recovered(thrown) {
    const { activity, loading } = this;
    if (Failure.from(thrown, "engine").kind !== "gpu-lost" || !loading.mayRecover()) return false;
    loading.recovering = true;
    try {
      await loading.reload();
      if (!this.picture) return true;
      activity.begin("encoding");
      this.picture.seen = await encodePicture(this.link, this.picture, activity.onProgress);
      // The picture belongs to the first question.
      const past = this.conversation.turns.filter((turn) => turn.remembered);
      const turns = past.map(({ question, result }, i) => ({ question, ids: result?.answer.ids ?? [], images: i === 0 ? 1 : 0 }));
      loading.report = turns.length ? await this.link.call("restore", { turns }) : this.picture.seen.report;
      activity.end();
      return true;
    } catch (again) {
      return this.#recovered(again);
    } finally {
      loading.recovering = false;
    }
  }

  /** Repeats `step`; after a failure of the device, on a new device.
   * @param {unknown} thrown @param {() => Promise<void>} step */
  async #retry(thrown, step) {
    if (["gpu", "gpu-lost", "out-of-memory"].includes(Failure.from(thrown, "engine").kind)) await this.loading.open();
    if (this.activity.loaded) await step();
  }

  /** Marks the picture and the conversation as unknown to the engine.
   * @param {string} note the reason, for the person */
  reset(note) {
    this.conversation.reset(note);
    if (this.picture) this.picture.seen = null;
  }
}
