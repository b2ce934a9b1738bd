// The page's state: the model and the conversation. Components read its fields on a "change" of `activity`; only its
// methods change them. Calls to the engine never overlap.

import { LlavaError } from "../llava/index.js";
import { Activity } from "./activity.js";
import { Conversation, newPicture } from "./conversation.js";
import { EngineMemory } from "./engine-memory.js";
import { generateAnswer } from "./generate-answer.js";
import { Loading } from "./loading.js";
import { Looking } from "./looking.js";
import { clearSaved, loadSaved, save } from "./saved-conversation.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./types.js").Choices} Choices */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */

export class Session {
  conversation = new Conversation();
  memory = new EngineMemory(this);
  looking = new Looking(this);
  /** Whether the page's own files are cached, so that the next visit needs no network. */
  offline = false;
  /** Reason why the conversation is not stored; empty where it is. */
  unsaved = "";
  /** Unfinished question; empty where nothing is typed. */
  #draft = "";
  activity = new Activity();

  /** @param {ModelRef} model that is shipped with the page @param {() => Choices} settings */
  constructor(model, settings) {
    this.shipped = model;
    this.settings = settings;
    this.loading = new Loading(model, settings, this.activity, {
      onReset: () => this.memory.forget(),
      onNote: (note) => this.conversation.note(note),
      onLoaded: () => this.#loaded(),
    });
  }

  /** The picture that is shown large: the last one of the next question, or of the conversation. */
  get picture() {
    return this.conversation.pictures.at(-1) ?? null;
  }

  /** Identifies the model whose tokens an answer has. */
  get modelKey() {
    const { plan } = this.loading;
    return plan ? `${plan.name}|${plan.total_bytes}` : "";
  }

  /** Shows the conversation of the last visit, unless another one has begun. */
  async resume() {
    const saved = await loadSaved();
    const { entries, last, attached } = this.conversation;
    if (!saved || last || attached.length) return;
    this.conversation.entries = [...saved, ...entries];
    this.memory.onlyShown = true;
    this.activity.changed();
  }

  async #loaded() {
    const { conversation, activity } = this;
    conversation.continueWith(this.modelKey, this.loading.plan?.name ?? "");
    activity.changed();
    if (!this.memory.onlyShown || conversation.attached.length || this.#draft) await this.prepare();
  }

  /** Adds a picture to the next question, and encodes it.
   * @param {Blob} blob @param {string} name @param {Picture["source"]} [source] */
  async attach(blob, name, source = "") {
    this.conversation.attach(newPicture(blob, name, source));
    if (this.activity.loaded) this.activity.error = null;
    this.activity.changed();
    await this.prepare();
  }

  /** Removes a picture from the next question. @param {Picture} picture */
  async detach(picture) {
    this.conversation.detach(picture);
    this.activity.changed();
    if (this.memory.encoding === picture) await this.stop();
    await this.prepare();
  }

  /** Erases the conversation, here and in this browser's storage, and begins a new one. */
  async newConversation() {
    await this.stop();
    for (const { url } of this.conversation.pictures) URL.revokeObjectURL(url);
    this.conversation = new Conversation();
    this.#draft = "";
    clearSaved();
    this.activity.dismissError();
    await this.prepare();
  }

  /** Prefills a question that is still being typed. A failure shows only when the question is asked.
   * @param {string} question */
  prefill(question) {
    this.#draft = question;
    if (question) this.prepare();
  }

  /** @param {string} question */
  async ask(question) {
    const turn = this.conversation.ask(question);
    await this.#answer(turn, () => this.conversation.giveBack(turn), () => this.regenerate());
  }

  /** Asks another question in the place of `turn`; the turns after it are removed.
   * @param {Turn} turn @param {string} question */
  async edit(turn, question) {
    const replaced = this.conversation.replace(turn, question, true);
    await this.#answer(replaced.turn, replaced.undo, () => this.edit(turn, question));
  }

  async regenerate() {
    const { last } = this.conversation;
    if (!last || last.state === "streaming") return;
    const replaced = this.conversation.replace(last, last.question, !last.result);
    await this.#answer(replaced.turn, replaced.undo, () => this.regenerate());
  }

  /** Cancels encoding or answering; resolves when it has ended. */
  async stop() {
    const { last } = this.conversation;
    const { phase } = this.activity;
    if (last?.state === "streaming") last.state = "stopped";
    if (phase === "encoding" || phase === "generating") this.activity.stop();
    await this.activity.idle;
  }

  /** Gives the engine what it lacks of the conversation, and prefills the unfinished question.
   * @returns {Promise<void>} */
  prepare() {
    return this.activity.exclusive(async () => {
      const { activity, memory } = this;
      if (!activity.loaded || activity.error) return;
      try {
        await memory.sync();
        if (activity.phase === "ready") await memory.prefill(this.#draft);
      } catch (thrown) {
        this.#showFailure(thrown, "picture", () => this.prepare());
      }
    });
  }

  /** @param {Turn} turn @param {() => void} undo for a turn without an answer @param {() => Promise<void>} again */
  async #answer(turn, undo, again) {
    const { activity, loading, memory } = this;
    this.#draft = "";
    activity.error = null;
    activity.changed();
    await activity.exclusive(async () => {
      try {
        await memory.sync();
        const model = loading.running;
        if (turn.state === "stopped" || !activity.loaded || !model) throw new LlavaError({ kind: "cancelled", place: "answer", message: "stopped by you" });
        const pictures = [...this.conversation.answered, turn].flatMap(({ pictures }) => pictures);
        const { choices, usage, timings, stop_reason, attention } = await generateAnswer(turn, this, model);
        this.looking.keep(turn, pictures, attention);
        Object.assign(turn, { result: { usage, timings, stop_reason }, answer: choices[0]?.message.content ?? "", model: this.modelKey });
        turn.state = stop_reason === "cancelled" ? "stopped" : "done";
        activity.end();
        this.#store();
      } catch (thrown) {
        turn.state = ["cancelled", "closed"].includes(LlavaError.from(thrown, "answer").kind) ? "stopped" : "error";
        undo();
        this.#showFailure(thrown, "answer", again);
      }
    });
    if (this.conversation.attached.length) await this.prepare();
  }

  /** Stores the conversation in this browser, while the page goes on. */
  async #store() {
    this.unsaved = await save(this.conversation);
    this.activity.changed();
  }

  /** Shows a failure. A picture that the engine refuses no longer goes with the next question.
   * @param {unknown} thrown @param {string} place @param {() => Promise<void>} again */
  #showFailure(thrown, place, again) {
    const { conversation, memory, activity, loading } = this;
    const { kind } = LlavaError.from(thrown, place);
    const refused = memory.refusedPicture(kind);
    if (refused) conversation.detach(refused);
    activity.fail(thrown, place, async () => {
      if (["gpu", "gpu-lost", "out-of-memory"].includes(kind)) await loading.open();
      else activity.dismissError();
      if (refused) conversation.attach(refused);
      if (activity.loaded) await again();
    });
  }
}
