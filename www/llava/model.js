// A loaded model.

import { Failure } from "../shared/failure.js";
import { createChat } from "./chat/create-chat.js";

/** @typedef {import("../shared/protocol.js").Loaded} Loaded */
/** @typedef {import("./inspection.js").Inspection} Inspection */
/** @typedef {import("../shared/protocol.js").Plan} Plan */

/** Times within RECOVERY_SPAN ms that a lost GPU is replaced. */
const RECOVERIES = 2;
const RECOVERY_SPAN = 60_000;

export class Model {
  /** @type {Plan} */
  plan;
  /** The running model and its device. @type {import("../shared/protocol.js").Report} */
  report;
  /** What of the model is saved in this browser; `full` is the reason where not all of it is.
   * @type {import("../shared/protocol.js").Storage} */
  storage;
  #inspection;
  #agreed;
  #closed = false;
  /** Times of recoveries, ms. @type {number[]} */
  #recoveries = [];

  /** @param {Inspection} inspection @param {Loaded} loaded @param {{ keep: boolean, context: number | undefined }} agreed */
  constructor(inspection, { report, storage }, agreed) {
    this.#inspection = inspection;
    this.#agreed = agreed;
    /** Connection to the engine's worker; for the package's own parts. */
    this.link = inspection.link;
    this.plan = inspection.plan;
    this.report = report;
    this.storage = storage;
    this.link.rememberTuning(report);
    const surface = createChat(this.link, { name: this.name, recovered: (thrown) => this.recovered(thrown), onReport: (report) => (this.report = report) });
    /** OpenAI's `chat.completions.create`; src/docs/openai.md lists what is supported. */
    this.chat = surface.chat;
    /** Encodes a picture before it is needed. */
    this.encode = surface.encode;
    /** Computes keys and values of messages before their answer is wanted. */
    this.prefill = surface.prefill;
    /** Returns the keys and values of the messages that were answered last. */
    this.save = surface.save;
    /** Restores what `save` returned. */
    this.restore = surface.restore;
    /** Answers OpenAI's requests in this page, in the form of `fetch`. */
    this.fetch = surface.fetch;
  }

  /** Name of the model, for people. */
  get name() {
    return this.plan.name;
  }

  /** Whether `close` was called. */
  get closed() {
    return this.#closed;
  }

  /** Scales pictures to another longest side, pixels; one of the plan's `picture_sizes`. It removes pictures and
   * conversations from the engine. @param {number} longest_edge */
  async setPictureSize(longest_edge) {
    this.plan = await this.link.call("pictureSize", { longest_edge });
    this.#inspection.plan = this.plan;
  }

  /** Loads the model into a new worker, as after a lost GPU. Pictures and conversations are lost.
   * @param {import("./inspection.js").LoadOptions} [how] */
  async reload(how = {}) {
    if (this.#closed) throw this.#closedFailure();
    const again = await this.#inspection.reopen(how.signal);
    if (this.#closed) {
      again.close();
      throw this.#closedFailure();
    }
    this.link.replaceWith(again.link);
    const { report, storage } = await this.link.call("load", { keep: this.#agreed.keep, context: this.#agreed.context ?? null }, { onEvent: how.onProgress });
    Object.assign(this, { plan: again.plan, report, storage });
  }

  /** Replaces a lost GPU. @param {unknown} thrown @returns {Promise<boolean>} whether the model is loaded again; false for every
   * other failure, and where the GPU was lost too often */
  async recovered(thrown) {
    const now = Date.now();
    if (Failure.from(thrown, "engine").kind !== "gpu-lost") return false;
    this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_SPAN);
    if (this.#recoveries.push(now) > RECOVERIES) return false;
    try {
      await this.reload();
      return true;
    } catch (again) {
      return this.recovered(again);
    }
  }

  #closedFailure() {
    return new Failure({ kind: "closed", place: "model", message: "it was closed" });
  }

  /** Ends the engine: frees its worker, its memory and the GPU's. Pending calls reject with kind "closed", and so do later
   * ones. */
  close() {
    this.#closed = true;
    this.link.close(this.#closedFailure(), true);
  }
}
