// What the page knows: the model, the picture, the conversation, and what is happening now. Components
// read its fields when it says "change"; only its methods change them. Calls to the engine never overlap.

import { Failure } from "../shared/failure.js";
import { Activity } from "./activity.js";
import { Conversation } from "./conversation.js";
import { EngineLink } from "./engine-link.js";

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("./types.js").Choices} Choices */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

/** A model larger than this is not downloaded before the person agrees, bytes. */
const ASK_ABOVE = 100e6;

export class Session extends Activity {
  /** @type {import("../shared/protocol.js").Plan | null} */
  plan = null;
  /** @type {import("../shared/protocol.js").Report | null} */
  report = null;
  /** @type {Picture | null} */
  picture = null;
  conversation = new Conversation();
  /** The model is large and waits for a word from the person. */
  awaitsConsent = false;
  /** The service worker has all of it. */
  kept = false;

  #link = new EngineLink((failure) => {
    this.loaded = false;
    this.fail(failure, "worker", () => this.open());
  });

  /** @param {string} manifest address @param {() => Choices} settings */
  constructor(manifest, settings) {
    super();
    this.manifest = manifest;
    this.settings = settings;
  }

  /** Opens the model, anew if there was one. */
  async open() {
    this.loaded = false;
    this.#forget("The model was started again: it does not remember what is above.");
    this.begin("loading");
    try {
      const { plan, report } = await this.#link.open(this.manifest, this.settings().backend);
      Object.assign(this, { plan, report });
    } catch (thrown) {
      this.fail(thrown, "open", () => this.open());
      return;
    }
    this.awaitsConsent = (this.plan?.total_bytes ?? 0) > ASK_ABOVE;
    this.changed();
    if (!this.awaitsConsent) await this.load();
  }

  /** Fetches what is missing of the model. */
  async load() {
    this.awaitsConsent = false;
    this.begin("loading");
    try {
      this.report = await this.#link.call("load", null, { onEvent: this.onProgress });
    } catch (thrown) {
      // Only what was not accepted is fetched again; after anything else the engine itself is in doubt.
      const again = ["network", "shard"].includes(Failure.from(thrown, "load").kind);
      this.fail(thrown, "load", () => (again ? this.load() : this.open()));
      return;
    }
    this.loaded = true;
    this.end();
    await this.#read();
  }

  /** Shows the model a picture and starts to read it; a new picture is a new conversation.
   * @param {Blob} blob @param {string} name */
  async show(blob, name) {
    await this.stop();
    this.#forget("A new picture, and a new conversation.");
    this.#put({ blob, name, url: URL.createObjectURL(blob), seen: null });
    this.trouble = this.loaded ? null : this.trouble;
    this.changed();
    await this.#read();
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
    await this.#read();
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
    if (this.phase === "encoding" || this.phase === "generating") this.#link.call("cancel", null).catch(() => {});
    await this.idle;
  }

  /** Addresses of what the worker has fetched. */
  workerFiles = () => this.#link.call("files", null);

  /** Reads the picture, unless it has been read. */
  #read() {
    return this.exclusive(async () => {
      const picture = this.picture;
      if (!this.loaded || picture?.seen) return;
      this.report = await this.#link.call("reset", null);
      if (!picture) return this.changed();
      this.begin("encoding");
      try {
        const bytes = await picture.blob.arrayBuffer();
        const seen = await this.#link.call("encode", { bytes }, { onEvent: this.onProgress, transfer: [bytes] });
        // A picture whose reading was stopped is read again when a question needs it.
        picture.seen = seen.encoded.cancelled ? null : seen;
        this.report = seen.report;
        this.end();
      } catch (thrown) {
        if (picture !== this.picture) this.end();
        else this.fail(thrown, "picture", () => this.#again(thrown, () => this.#read()));
      }
    });
  }

  /** @param {Turn} turn */
  async #answer(turn) {
    Object.assign(turn, { answer: "", state: "streaming", result: null });
    this.trouble = null;
    this.changed();
    await this.#read();
    await this.exclusive(async () => {
      if (turn.state === "stopped") return this.changed();
      if (this.trouble || !this.loaded) {
        turn.state = "error";
        return this.changed();
      }
      this.begin("generating");
      /** @param {EngineEvent} event */
      const onEvent = (event) => {
        if (event.type === "token") turn.answer = (turn.answer + event.text).trimStart();
        this.onProgress(event);
      };
      try {
        if (turn.remembered) {
          this.report = await this.#link.call("truncate", { turns: (this.report?.turns ?? 1) - 1 });
          turn.remembered = false;
        }
        const args = { question: turn.question, options: this.settings().generate };
        const result = await this.#link.call("generate", args, { onEvent });
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

  /** Repeats `step`; where the device itself is in doubt, on a new one.
   * @param {unknown} thrown @param {() => Promise<void>} step */
  async #again(thrown, step) {
    if (["gpu", "out-of-memory"].includes(Failure.from(thrown, "engine").kind)) await this.open();
    if (this.loaded) await step();
  }

  /** @param {string} note */
  #forget(note) {
    this.conversation.forget(note);
    if (this.picture) this.picture.seen = null;
  }
}
