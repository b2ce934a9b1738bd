// A loaded model.

import { Failure } from "../shared/failure.js";
import { catalogueAddress } from "./catalogue.js";
import { createChat } from "./chat/create-chat.js";
import { scriptAddress } from "./workers.js";

/** @typedef {import("../shared/protocol.js").Loaded} Loaded */
/** @typedef {import("./chat/create-chat.js").ChatSurface} ChatSurface */
/** @typedef {import("./inspection.js").Inspection} Inspection */
/** @typedef {import("./inspection.js").LoadOptions} LoadOptions */

/** Times within RECOVERY_SPAN ms that a lost GPU is replaced. */
const RECOVERIES = 2;
const RECOVERY_SPAN = 60_000;

/** A model that `LLaVA.load` has loaded. */
export class Model {
  /** The running model and its device. @type {import("../shared/protocol.js").Report} */
  report;
  /** Connection to the engine's worker. @internal @type {import("./engine-link.js").EngineLink} */
  link;
  #inspection;
  #agreed;
  #exclusive;
  #closed = false;
  /** Times of recoveries, ms. @type {number[]} */
  #recoveries = [];

  /** @param {Inspection} inspection @param {Loaded} loaded @param {LoadOptions} agreed */
  constructor(inspection, { report }, agreed) {
    this.#inspection = inspection;
    this.#agreed = agreed;
    this.link = inspection.link;
    this.report = report;
    this.link.rememberTuning(report);
    const surface = createChat(this.link, {
      name: this.name,
      recovered: (thrown, onProgress) => this.recovered(thrown, { onProgress }),
      onReport: (report) => (this.report = { ...this.report, ...report }),
      onEncoded: (seen) => inspection.learnPace(seen),
    });
    this.#exclusive = surface.exclusive;
    /** OpenAI's `chat.completions.create`; src/docs/openai.md lists what is supported. @type {ChatSurface["chat"]} */
    this.chat = surface.chat;
    /** Encodes a picture before it is needed. @type {ChatSurface["encode"]} */
    this.encode = surface.encode;
    /** Computes keys and values of messages before their answer is wanted. @type {ChatSurface["prefill"]} */
    this.prefill = surface.prefill;
    /** Finds where an answer looked, the last of the messages. @type {ChatSurface["attention"]} */
    this.attention = surface.attention;
    /** Returns the keys and values of the messages that were answered last. @type {ChatSurface["save"]} */
    this.save = surface.save;
    /** Restores what `save` returned. @type {ChatSurface["restore"]} */
    this.restore = surface.restore;
    /** Measures the model on this device, by stage and by operation. Removes pictures and conversations from the engine.
     * Returns lines of CSV; `onProgress` receives each as an event `line`. @type {ChatSurface["bench"]} */
    this.bench = surface.bench;
    /** Answers OpenAI's requests in this page, in the form of `fetch`. @type {ChatSurface["fetch"]} */
    this.fetch = surface.fetch;
  }

  /** Name of the model, for people. */
  get name() {
    return this.plan.name;
  }

  /** The plan by which it was loaded. */
  get plan() {
    return this.#inspection.plan;
  }

  /** What of the model is saved in this browser; `full` is the reason where not all of it is. */
  get storage() {
    return this.#inspection.storage;
  }

  /** Sizes of pictures that `setPictureSize` takes; see `Inspection`. */
  get picture_sizes() {
    return this.#inspection.picture_sizes;
  }

  /** Reason for the size of pictures; empty where it is the checkpoint's own. */
  get picture_size_why() {
    return this.#inspection.picture_size_why;
  }

  /** Identifies the build of the engine, by the headers of its file. */
  get engineVersion() {
    return this.link.version;
  }

  /** Whether `close` was called. */
  get closed() {
    return this.#closed;
  }

  /** Lists the addresses of the package's files that this page has used or may use, for a service worker that keeps
   * them. Where a bundler has placed the scripts, they are in its own list.
   * @returns {Promise<string[]>} */
  async files() {
    // The worker of the list of models may not have been requested on this visit.
    const storage = scriptAddress("worker/storage.js", this.link.options);
    return [...(storage ? [storage] : []), catalogueAddress(this.link.options), ...(await this.link.call("files", null))];
  }

  /** Scales pictures to another longest side, pixels; one of `picture_sizes`. It removes pictures and conversations
   * from the engine.
   * @param {number} longest_edge */
  async setPictureSize(longest_edge) {
    await this.#exclusive("picture size", () => this.#inspection.choose({ longest_edge }));
  }

  /** Loads the model into a new worker, as after a lost GPU. Pictures and conversations are lost.
   * @param {Pick<LoadOptions, "onProgress" | "signal">} [how] */
  async reload(how = {}) {
    this.#refuseClosed();
    const { report } = await this.#inspection.loadAgain({ ...this.#agreed, ...how }, () => this.#refuseClosed());
    this.report = report;
  }

  /** Replaces a lost GPU.
   * @param {unknown} thrown @param {Pick<LoadOptions, "onProgress" | "signal">} [how]
   * @returns {Promise<boolean>} whether the model is loaded again; false for every other failure, and where the GPU is
   *   lost too often */
  async recovered(thrown, how = {}) {
    const now = Date.now();
    if (Failure.from(thrown, "engine").kind !== "gpu-lost") return false;
    this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_SPAN);
    if (this.#recoveries.push(now) > RECOVERIES) return false;
    how.onProgress?.({ type: "recover" });
    try {
      await this.reload(how);
      return true;
    } catch (again) {
      return this.recovered(again, how);
    }
  }

  #closedFailure() {
    return new Failure({ kind: "closed", place: "model", message: "it was closed" });
  }

  #refuseClosed() {
    if (this.#closed) throw this.#closedFailure();
  }

  /** Ends the engine: frees its worker, its memory and the GPU's. Pending calls reject with an error of kind "closed",
   * and so do later ones. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.link.close(this.#closedFailure(), true);
  }
}
