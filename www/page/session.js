// What the page knows: the model, the picture, the conversation, and what is happening now. Components
// read its fields when it says "change"; only its methods change them. Calls to the engine never overlap.

import { Failure } from "../shared/failure.js";
import { Conversation } from "./conversation.js";
import { Loading } from "./loading.js";
import { encodePicture } from "./redraw.js";

/** @typedef {import("../shared/protocol.js").Answered} Answered */
/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

export class Session extends Loading {
  /** @type {Picture | null} */
  picture = null;
  conversation = new Conversation();
  /** The page's own files are kept too: the next visit needs no network. */
  kept = false;
  /** What is there of a question and has not been read. @type {string | null} */
  #drafted = null;

  /** Shows the model a picture and starts to read it; a new picture is a new conversation.
   * @param {Blob} blob @param {string} name */
  async show(blob, name) {
    await this.stop();
    this.forget("A new picture, and a new conversation.");
    this.#put({ blob, name, url: URL.createObjectURL(blob), seen: null });
    this.trouble = this.loaded ? null : this.trouble;
    this.changed();
    await this.read();
  }

  async removePicture() {
    await this.stop();
    this.#put(null);
    await this.newChat();
  }

  /** @param {Picture | null} picture */
  #put(picture) {
    if (this.picture) URL.revokeObjectURL(this.picture.url);
    this.picture = picture;
  }

  async newChat() {
    await this.stop();
    this.conversation = new Conversation();
    if (this.picture) this.picture.seen = null;
    this.dismiss();
    await this.read();
  }

  /** What is there of a question is read while it is being written; whatever goes wrong shows when it is asked.
   * @param {string} question */
  draft(question) {
    if (!this.loaded || !this.picture) return;
    const waiting = this.#drafted !== null;
    this.#drafted = question;
    if (!waiting) this.exclusive(async () => {
      const question = this.#drafted ?? "";
      this.#drafted = null;
      if (this.phase === "ready" && this.picture?.seen) await this.link.call("prefill", { question }).catch(console.info);
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

  /** Cancels what runs; resolves when it has ended. */
  async stop() {
    const turn = this.conversation.last;
    if (turn?.state === "streaming") turn.state = "stopped";
    if (this.phase === "encoding" || this.phase === "generating") this.link.call("cancel", null).catch(() => {});
    await this.idle;
  }

  /** Addresses of what the worker has fetched. */
  workerFiles = () => this.link.call("files", null);

  /** Reads the picture, unless it has been read. */
  read() {
    return this.exclusive(async () => {
      const picture = this.picture;
      if (!this.loaded || picture?.seen) return;
      this.report = await this.link.call("reset", null);
      if (!picture) return this.changed();
      this.begin("encoding");
      try {
        const seen = await encodePicture(this.link, picture, this.onProgress);
        // A picture whose reading was stopped is read again when a question needs it.
        picture.seen = seen.encoded.cancelled ? null : seen;
        this.report = seen.report;
        this.end();
      } catch (thrown) {
        if (picture !== this.picture) this.end();
        else if (!(await this.#recovered(thrown))) this.fail(thrown, "picture", () => this.#again(thrown, () => this.read()));
      }
    });
  }

  /** @param {Turn} turn */
  async #answer(turn) {
    Object.assign(turn, { answer: "", state: "streaming", result: null });
    this.trouble = null;
    this.changed();
    await this.read();
    await this.exclusive(async () => {
      if (turn.state === "stopped") return this.changed();
      if (this.trouble || !this.loaded) {
        turn.state = "error";
        return this.changed();
      }
      try {
        if (turn.remembered) {
          this.report = await this.link.call("truncate", { turns: (this.report?.turns ?? 1) - 1 });
          turn.remembered = false;
        }
        const result = await this.#generate(turn);
        Object.assign(turn, { result, answer: result.answer.text, remembered: true });
        turn.state = result.answer.stop === "cancelled" ? "stopped" : "done";
        this.report = result.report;
        this.end();
      } catch (thrown) {
        turn.state = Failure.from(thrown, "answer").kind === "cancelled" ? "stopped" : "error";
        this.fail(thrown, "answer", () => this.#again(thrown, () => this.regenerate()));
      }
    });
  }

  /** An answer; one that a lost GPU cut off goes on where it was. @param {Turn} turn @returns {Promise<Answered>} */
  async #generate(turn) {
    /** @type {number[]} */
    const ids = [];
    /** @param {EngineEvent} event */
    const onEvent = (event) => {
      if (event.type === "token") {
        turn.answer = (turn.answer + event.text).trimStart();
        if (event.id !== undefined) ids.push(event.id);
      }
      this.onProgress(event);
    };
    for (;;) {
      this.begin("generating");
      // Without their ids the words so far cannot be gone on with: they are said again.
      if (!ids.length) turn.answer = "";
      try {
        const options = { ...this.settings().generate, ...(ids.length && { begin: [...ids] }) };
        return await this.link.call("generate", { question: turn.question, options }, { onEvent });
      } catch (thrown) {
        if (!(await this.#recovered(thrown))) throw thrown;
        if (/** @type {string} */ (turn.state) === "stopped") throw new Failure({ kind: "cancelled", place: "answer", message: "stopped by you" });
      }
    }
  }

  /** Whether what was thrown is a lost GPU, and all is as it was before: the model loaded, the picture and the
   * conversation read again. @param {unknown} thrown @returns {Promise<boolean>} */
  async #recovered(thrown) {
    if (Failure.from(thrown, "engine").kind !== "gpu-lost" || !this.mayRecover()) return false;
    this.recovering = true;
    try {
      await this.reopen();
      if (!this.picture) return true;
      this.begin("encoding");
      this.picture.seen = await encodePicture(this.link, this.picture, this.onProgress);
      // The picture belongs to the first question.
      const past = this.conversation.turns.filter((turn) => turn.remembered);
      const turns = past.map(({ question, result }, i) => ({ question, ids: result?.answer.ids ?? [], images: i === 0 ? 1 : 0 }));
      this.report = turns.length ? await this.link.call("restore", { turns }) : this.picture.seen.report;
      this.end();
      return true;
    } catch (again) {
      return this.#recovered(again);
    } finally {
      this.recovering = false;
    }
  }

  /** Repeats `step`; where the device itself is in doubt, on a new one.
   * @param {unknown} thrown @param {() => Promise<void>} step */
  async #again(thrown, step) {
    if (["gpu", "gpu-lost", "out-of-memory"].includes(Failure.from(thrown, "engine").kind)) await this.open();
    if (this.loaded) await step();
  }

  /** @param {string} note @param {boolean} [only] something is said, and nothing forgotten */
  forget(note, only = false) {
    this.conversation.forget(note, only);
    if (this.picture && !only) this.picture.seen = null;
  }
}
