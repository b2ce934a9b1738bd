// A model that has been opened and not loaded: its plan, its speed here, and what can still be chosen.

import { Failure, aborted, untilAborted } from "../shared/failure.js";
import { openModel } from "./choose-backend.js";
import { EngineLink } from "./engine-link.js";
import { Model } from "./model.js";
import { ONE_SIZE, chooseSize, hasSizes, paceOf, reasonFor, rememberPace, secondsOf } from "./picture-size.js";
import { estimateSpeed } from "./speed-estimate.js";
import { nameOfQuant } from "./weights.js";

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {Opened["plan"]} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./weights.js").QuantName} QuantName */
/** What may be chosen before loading: the type of a float checkpoint's weights, the longest side that pictures are
 * scaled to in pixels (one of the plan's `picture_sizes`), and the rows of the context.
 * @typedef {{ quant?: QuantName, longest_edge?: number, context?: number }} Choices */
/**
 * Options of `LLaVA.inspect`. `choose` is called when the plan is known, and may choose by it. `onCrash` is called
 * when the engine's worker has ended by itself; pending calls reject with the same error.
 * @typedef {Choices & import("./engine-options.js").EngineOptions & { backend?: BackendChoice, signal?: AbortSignal,
 *   choose?: (opened: Opened) => Choices | undefined, onCrash?: (error: Failure) => void }} InspectOptions
 */
/** Options of loading. `keep`: whether the model is saved in this browser; not for local files unless it is true.
 * @typedef {{ onProgress?: (event: import("../shared/protocol.js").Event) => void, signal?: AbortSignal,
 *   keep?: boolean, context?: number }} LoadOptions */

/** A model that `LLaVA.inspect` has opened. */
export class Inspection {
  /** The plan: bytes to fetch, memory, context, choices. @type {Plan} */
  plan;
  /** The device. @type {import("../shared/protocol.js").Report} */
  report;
  /** What of the model is saved in this browser. @type {import("../shared/protocol.js").Storage} */
  storage;
  /** The last estimate of the speed, if one was made for this plan. @type {Probe | null} */
  probe;
  /** Connection to the engine's worker. @internal @type {EngineLink} */
  link;
  /** @internal @type {InspectOptions} */
  options;
  /** Size of pictures, with the time that they take. @internal @type {import("./picture-size.js").SizeChoice} */
  size;
  #taken = false;
  #learned = false;

  /** @param {EngineLink} link @param {ModelRef} model @param {InspectOptions} options @param {Opened} opened
   * @param {{ why: string, weights: import("./weights.js").Weights, size: import("./picture-size.js").SizeChoice,
   *   probe?: Probe | null }} found @param {Choices} choices */
  constructor(link, model, options, opened, { why, weights, size, probe }, choices) {
    this.link = link;
    /** The model that the reference means. */
    this.model = model;
    this.options = options;
    this.plan = opened.plan;
    this.report = opened.report;
    this.storage = opened.storage;
    /** Reason for the choice of the backend. */
    this.why = why;
    /** Type of the weights, with the reason for it. */
    this.weights = weights;
    this.size = size;
    this.probe = probe ?? size.probe;
    /** Rows of the context, where they were chosen. */
    this.context = choices.context;
  }

  /** Opens a model. @param {ModelRef} model @param {InspectOptions} options @returns {Promise<Inspection>} */
  static async open(model, options) {
    const { signal, backend = "auto", onCrash = () => {}, choose = () => options } = options;
    const link = new EngineLink(onCrash, options);
    try {
      return await untilAborted(signal, "open", async () => {
        /** @type {Choices} */
        let choices = {};
        const chosen = await openModel(link, model, backend, (opened) => (choices = choose(opened) ?? options).quant);
        const { opened, size } = await chooseSize(link, chosen.opened, choices.longest_edge, chosen.probe);
        return new Inspection(link, model, options, opened, { ...chosen, size }, choices);
      }, (why) => link.close(why));
    } catch (thrown) {
      const failure = Failure.from(thrown, "open");
      link.close(failure);
      throw failure;
    }
  }

  /** Bytes that are not yet saved in this browser. */
  get missing_bytes() {
    return Math.max(0, this.plan.total_bytes - this.storage.bytes);
  }

  /** Sizes that pictures can be scaled to, the smallest first, with the seconds that a picture takes here where that is
   * known; empty where there is only one. */
  get picture_sizes() {
    const { pace } = this.size;
    if (!hasSizes(this.plan)) return [];
    return (this.plan.picture_sizes ?? []).map((size) => ({ ...size, seconds: pace && secondsOf(size, pace) }));
  }

  /** Reason for the size of pictures; empty where it is the checkpoint's own. @returns {string} */
  get picture_size_why() {
    return reasonFor(this.plan, this.size);
  }

  /** Corrects the pace of pictures by one that was encoded: the fastest counts, since a picture's encoding may include
   * earlier turns. Rows grow with tiles, so that the time of a tile includes them. @internal
   * @param {import("../shared/protocol.js").Seen} seen */
  learnPace({ encoded, encode_ms }) {
    const tile = encode_ms / 1000 / encoded.tiles;
    const { pace } = this.size;
    if (!hasSizes(this.plan) || !Number.isFinite(tile) || encoded.reused || (this.#learned && pace && pace.tile <= tile)) return;
    this.#learned = true;
    this.size = { ...this.size, pace: { row: 0, tile } };
    rememberPace(this.link, this, { row: 0, tile });
  }

  /** Estimates the speed on this machine, in about a second; `null` where the device failed to run the estimate. `fits`
   * says whether the model fits its memory.
   * @returns {Promise<Probe | null>} */
  async estimate() {
    const { plan } = this;
    const probe = await estimateSpeed(this.link);
    // An estimate of a plan that was replaced meanwhile is not this one's.
    if (plan !== this.plan) return probe;
    this.probe = probe;
    if (hasSizes(plan) && !this.size.pace) this.size = { ...this.size, pace: paceOf(probe) };
    return probe;
  }

  /** Plans again with another type of weights, size of pictures, or context.
   * @param {Choices} choices @returns {Promise<Plan>} */
  async choose({ quant, longest_edge, context }) {
    if (context !== undefined) this.context = context;
    if (quant !== undefined && quant !== nameOfQuant(this.plan.quant)) {
      this.plan = await this.link.call("choose", { quant: quant === "exact" ? null : quant });
      this.size = { ...(hasSizes(this.plan) ? this.size : ONE_SIZE), pace: null };
      this.probe = null;
    }
    if (quant !== undefined) this.weights = { ...this.weights, chosen: true, why: "as you chose" };
    if (longest_edge !== undefined) {
      this.plan = await this.link.call("pictureSize", { longest_edge });
      this.size = { ...this.size, chosen: true };
      this.probe = null;
    }
    return this.plan;
  }

  /** Loads the model. After a failure of the network, or after it was aborted, it may be called again: what has arrived
   * is kept.
   * @param {LoadOptions} [options] @returns {Promise<Model>} */
  async load({ onProgress, signal, keep = !("files" in this.model), context = this.context } = {}) {
    if (this.#taken) throw new Failure({ kind: "state", place: "load", message: "this inspection has given its model already" });
    const loaded = await this.#fetch({ onProgress, signal, keep, context });
    this.#taken = true;
    return new Model(this, loaded, { keep, context });
  }

  /** @param {LoadOptions} options @returns {Promise<import("../shared/protocol.js").Loaded>} */
  async #fetch({ onProgress, signal, keep = false, context }) {
    if (signal?.aborted) throw aborted(signal, "load");
    const stop = () => void this.link.call("cancel", null).catch(() => {});
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const loaded = await this.link.call("load", { keep, context: context ?? null }, { onEvent: onProgress });
      this.storage = loaded.storage;
      return loaded;
    } catch (thrown) {
      const failure = Failure.from(thrown, "load");
      if (signal?.aborted) this.storage = await this.link.call("storage", null).catch(() => this.storage);
      throw signal?.aborted && failure.kind === "cancelled" ? new Failure(failure.fields(), signal.reason) : failure;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Loads the model into a new worker, with the same choices; for `Model.reload`. @internal
   * @param {LoadOptions} options @param {() => void} check throws when the model was closed meanwhile */
  async loadAgain(options, check) {
    const { quant, longest_edge } = this.plan;
    const choose = () => ({ quant: nameOfQuant(quant), longest_edge });
    const { signal } = options;
    const again = await Inspection.open(this.model, { ...this.options, signal, choose });
    try {
      check();
    } catch (thrown) {
      again.close();
      throw thrown;
    }
    this.link.replaceWith(again.link);
    this.plan = again.plan;
    return this.#fetch(options);
  }

  /** Ends the engine, unless its model was loaded: that is then closed by itself. */
  close() {
    if (!this.#taken) this.link.close(new Failure({ kind: "closed", place: "inspection", message: "it was closed" }), true);
  }
}
