// Loads the model: opens it, asks the person before a large download, fetches it, and replaces a lost GPU.

import { LLaVA, LlavaError } from "../llava/index.js";
import { engineOptions } from "./engine-options.js";
import { OpenedModel } from "./opened-model.js";
import { nameOfQuant, rememberSize, rememberWeights, rememberedChoices } from "./remembered-choices.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("./types.js").Choices} Choices */
/** @typedef {import("./types.js").LoadingHooks} LoadingHooks */
/** @typedef {import("./types.js").Offer} Offer */

/** Missing bytes of a model above which the page asks before it downloads. */
const ASK_ABOVE = 100e6;
/** Automatic retries (after a lost GPU, a changed file) within RECOVERY_SPAN ms before the person is asked. */
const RECOVERIES = 2;
const RECOVERY_SPAN = 60_000;
/** Kinds of failure after which the engine keeps the parts it has accepted. After the others it is opened again. */
const RESUMABLE = ["network", "shard", "cancelled"];

export class Loading extends OpenedModel {
  /** Set while a large model waits for the person's consent. @type {Offer | null} */
  offer = null;
  /** What the person agreed to, for this model. */
  agreed = { keep: false, context: /** @type {number | null} */ (null) };
  /** Whether the person has agreed to the type of the weights. */
  #accepted = false;
  /** Whether a lost GPU is being replaced. */
  recovering = false;
  /** Times of automatic retries, ms. @type {number[]} */
  #recoveries = [];

  /** Ends opening or loading. */
  #stop = new AbortController();

  /** @param {ModelRef} model @param {() => Choices} settings @param {Activity} activity @param {LoadingHooks} hooks */
  constructor(model, settings, activity, hooks) {
    super();
    this.model = model;
    this.settings = settings;
    this.activity = activity;
    this.hooks = hooks;
  }

  /** Replaces the model. @param {ModelRef} model
   * @param {boolean} [askAgain] whether the person is asked again for a choice that an earlier visit has stored */
  async choose(model, askAgain) {
    this.model = model;
    await this.open(askAgain);
  }

  /** Opens the model in a new worker. @param {boolean} [askAgain] see `choose` */
  async open(askAgain = false) {
    this.activity.loaded = false;
    this.hooks.onReset();
    this.#end();
    Object.assign(this, { offer: null, agreed: { keep: !("files" in this.model), context: null } });
    this.activity.begin("loading");
    const { signal } = this.#stop;
    try {
      const { backend } = this.settings();
      const onCrash = (/** @type {LlavaError} */ failure) => {
        this.activity.loaded = false;
        this.activity.fail(failure, "worker", () => this.open());
      };
      this.inspection = await LLaVA.inspect(this.model, { ...engineOptions, backend, signal, onCrash, choose: rememberedChoices });
    } catch (thrown) {
      if (!signal.aborted) this.activity.fail(thrown, "open", () => this.open());
      return;
    }
    const { plan, storage, weights } = this.inspection;
    const undecided = (plan.choices ?? []).length > 0 && (askAgain || !weights.chosen);
    if ((undecided ? plan.total_bytes : plan.total_bytes - storage.bytes) > ASK_ABOVE) await this.#ask();
    else await this.load();
  }

  /** Ends the engine, and opening one. */
  #end() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.inspection?.close();
    this.running?.close();
    this.#accepted = false;
    Object.assign(this, { inspection: null, running: null });
  }

  /** Shows what the model needs, and meanwhile estimates its speed. */
  async #ask() {
    /** @type {Offer} */
    const offer = { probe: null, probing: true, room: null };
    this.offer = offer;
    this.activity.begin("waiting");
    const estimate = await navigator.storage?.estimate?.().catch(() => null);
    offer.room = estimate ? Math.max(0, (estimate.quota ?? 0) - (estimate.usage ?? 0)) : null;
    // An estimate that was made to choose the size of pictures holds for a smaller one.
    await this.#estimate(offer, this.pictureSizes.length > 0);
  }

  /** @param {Offer} offer @param {boolean} [known] whether an estimate that was made already is good enough */
  async #estimate(offer, known = false) {
    const inspection = this.inspection;
    const plan = inspection?.plan;
    Object.assign(offer, { probe: null, probing: true });
    this.activity.changed();
    const probe = known && inspection?.probe?.fits ? inspection.probe : ((await inspection?.estimate().catch(() => null)) ?? null);
    // An estimate of a plan that was replaced meanwhile is dropped.
    if (plan !== this.plan) return;
    Object.assign(offer, { probe, probing: false });
    this.activity.changed();
  }

  /** Plans the offered model with another type for its weights, or size of pictures, and estimates its speed again.
   * @param {{ quant: import("../shared/protocol.js").Quant } | { longest_edge: number }} choice */
  async planAgain(choice) {
    const { offer, model } = this;
    try {
      await this.inspection?.choose("quant" in choice ? { quant: nameOfQuant(choice.quant) } : choice);
      if (model !== this.model) return;
      if (offer && offer === this.offer) await this.#estimate(offer);
    } catch (thrown) {
      if (model === this.model) this.activity.fail(thrown, "plan", () => this.open());
    }
  }

  /** Loads the offered model as the person agreed to. @param {{ keep: boolean, context: number | null }} agreed */
  async accept(agreed) {
    this.agreed = agreed;
    this.#accepted = true;
    // Without this a browser may clear gigabytes when the disk gets full. Firefox asks the person; loading does not
    // wait for the answer.
    if (agreed.keep) navigator.storage?.persist?.().catch(() => false);
    await this.load();
  }

  /** Fetches the missing parts of the model, and completes it. */
  async load() {
    const { offer, activity, inspection } = this;
    this.offer = null;
    activity.begin("loading");
    try {
      await this.#fetch();
    } catch (thrown) {
      // Another model, or another backend, was chosen meanwhile.
      if (inspection !== this.inspection) return;
      const { kind } = LlavaError.from(thrown, "load");
      if (kind === "cancelled" && activity.phase === "loading") {
        this.offer = offer ?? { probe: null, probing: false, room: null };
        return activity.begin("waiting");
      }
      // A changed model is opened again; cached parts that still belong to it are kept.
      if (["gpu-lost", "changed"].includes(kind) && this.mayRecover()) return this.open();
      return activity.fail(thrown, "load", () => (RESUMABLE.includes(kind) ? this.load() : this.open()));
    }
    activity.loaded = true;
    activity.end();
    await this.hooks.onLoaded();
  }

  async #fetch() {
    const inspection = this.inspection;
    if (!inspection) return;
    this.#stop = new AbortController();
    const { keep, context } = this.agreed;
    this.running = await inspection.load({ keep, context: context ?? undefined, onProgress: this.activity.onProgress, signal: this.#stop.signal });
    const { plan, storage, weights, size } = inspection;
    if ((weights.chosen || this.#accepted) && plan.choices?.length) rememberWeights(storage.key, plan.quant);
    if (size.chosen) rememberSize(storage.key, plan.longest_edge);
    if (storage.full && keep) this.hooks.onNote(`This model is not saved for the next visit: ${storage.full}.`);
  }

  /** Stops opening or loading; parts that have arrived stay cached. */
  cancel() {
    if (this.activity.phase !== "loading") return;
    this.#stop.abort();
    if (!this.inspection) this.activity.begin("waiting");
  }

  /** Counts an automatic retry, and returns whether it is within the limit. */
  mayRecover() {
    const now = Date.now();
    this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_SPAN);
    return this.#recoveries.push(now) <= RECOVERIES;
  }
}
