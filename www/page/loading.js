// Loads the model: opens it, asks the person before a large download, fetches it, and replaces a lost GPU.

import { Failure } from "../shared/failure.js";
import { openModel } from "../llava/choose-backend.js";
import { EngineLink, rememberTuning } from "../llava/engine-link.js";
import { ONE_SIZE, chooseSize, hasSizes, paceOf, rememberSize } from "../llava/picture-size.js";
import { estimateSpeed } from "../llava/speed-estimate.js";
import { rememberWeights } from "../llava/weights.js";

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

export class Loading {
  /** @type {import("../shared/protocol.js").Plan | null} */
  plan = null;
  /** @type {import("../shared/protocol.js").Report | null} */
  report = null;
  /** @type {import("../shared/protocol.js").Storage | null} */
  storage = null;
  /** Set while a large model waits for the person's consent. @type {Offer | null} */
  offer = null;
  /** What the person agreed to, for this model. */
  agreed = { keep: false, context: /** @type {number | null} */ (null) };
  /** Reason for the choice of the backend. */
  why = "";
  /** Type of the weights, with the reason for it. @type {import("./types.js").Weights} */
  weights = { chosen: false, proposed: undefined, why: "" };
  /** Size of pictures, with the time that they take. @type {import("./types.js").SizeChoice} */
  size = ONE_SIZE;
  /** Whether a lost GPU is being replaced. */
  recovering = false;
  /** Times of automatic retries, ms. @type {number[]} */
  #recoveries = [];

  link = new EngineLink((failure) => {
    this.activity.loaded = false;
    this.activity.fail(failure, "worker", () => this.open());
  });

  /** @param {ModelRef} model @param {() => Choices} settings @param {Activity} activity @param {LoadingHooks} hooks */
  constructor(model, settings, activity, hooks) {
    this.model = model;
    this.settings = settings;
    this.activity = activity;
    this.hooks = hooks;
  }

  /** Replaces the model. @param {ModelRef} model
   * @param {boolean} [askAgain] whether the person is asked again for a choice that an earlier visit has stored */
  async choose(model, askAgain) {
    this.model = model;
    Object.assign(this, { plan: null, report: null, storage: null });
    await this.open(askAgain);
  }

  /** Opens the model in a new worker. @param {boolean} [askAgain] see `choose` */
  async open(askAgain = false) {
    this.activity.loaded = false;
    this.hooks.onReset();
    Object.assign(this, { offer: null, agreed: { keep: !("files" in this.model), context: null } });
    this.activity.begin("loading");
    const { model } = this;
    try {
      await this.#openWorker();
    } catch (thrown) {
      if (model === this.model) this.activity.fail(thrown, "open", () => this.open());
      return;
    }
    const { total_bytes = 0, choices = [] } = this.plan ?? {};
    const undecided = choices.length > 0 && (askAgain || !this.weights.chosen);
    if ((undecided ? total_bytes : total_bytes - (this.storage?.bytes ?? 0)) > ASK_ABOVE) await this.#ask();
    else await this.load();
  }

  async #openWorker() {
    const { opened: first, why, weights, probe } = await openModel(this.link, this.model, this.settings().backend);
    const { opened, size } = await chooseSize(this.link, first, probe);
    Object.assign(this, opened, { why, weights, size });
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
    await this.#estimate(offer, this.size.probe?.fits ? this.size.probe : null);
  }

  /** @param {Offer} offer @param {import("../shared/protocol.js").Probe | null} [known] */
  async #estimate(offer, known = null) {
    const { plan } = this;
    Object.assign(offer, { probe: null, probing: true });
    this.activity.changed();
    const probe = known ?? (await estimateSpeed(this.link).catch(() => null));
    // An estimate of a plan that was replaced meanwhile is dropped.
    if (plan !== this.plan) return;
    Object.assign(offer, { probe, probing: false });
    if (hasSizes(plan)) this.size = { ...this.size, pace: this.size.pace ?? paceOf(probe) };
    this.activity.changed();
  }

  /** Plans the offered model with another type for its weights, or size of pictures, and estimates its speed again.
   * @param {{ quant: import("../shared/protocol.js").Quant } | { longest_edge: number }} choice */
  async planAgain(choice) {
    const { offer, model } = this;
    try {
      const plan = await ("quant" in choice ? this.link.call("choose", choice) : this.link.call("pictureSize", choice));
      if (model !== this.model) return;
      this.plan = plan;
      if ("quant" in choice) Object.assign(this, { weights: { ...this.weights, chosen: true, why: "as you chose" }, size: { ...this.size, pace: null } });
      else this.size = { ...this.size, chosen: true };
      if (offer && offer === this.offer) await this.#estimate(offer);
    } catch (thrown) {
      if (model === this.model) this.activity.fail(thrown, "plan", () => this.open());
    }
  }

  /** Loads the offered model as the person agreed to. @param {{ keep: boolean, context: number | null }} agreed */
  async accept(agreed) {
    this.agreed = agreed;
    this.weights.chosen = true;
    // Without this a browser may clear gigabytes when the disk gets full. Firefox asks the person; loading does not
    // wait for the answer.
    if (agreed.keep) navigator.storage?.persist?.().catch(() => false);
    await this.load();
  }

  /** Fetches the missing parts of the model, and completes it. */
  async load() {
    const { offer, activity } = this;
    this.offer = null;
    activity.begin("loading");
    try {
      await this.#fetch();
    } catch (thrown) {
      const { kind } = Failure.from(thrown, "load");
      if (kind === "cancelled" && activity.phase === "loading") {
        this.storage = await this.link.call("storage", null);
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
    const { report, storage } = await this.link.call("load", this.agreed, { onEvent: this.activity.onProgress });
    Object.assign(this, { report, storage });
    rememberTuning(report);
    if (this.weights.chosen && this.plan?.choices?.length) rememberWeights(storage.key, this.plan.quant);
    if (this.size.chosen) rememberSize(storage.key, this.plan?.longest_edge);
    if (storage.full && this.agreed.keep) this.hooks.onNote(`This model is not saved for the next visit: ${storage.full}.`);
  }

  /** Stops opening or loading; parts that have arrived stay cached. */
  cancel() {
    if (this.activity.phase !== "loading") return;
    if (this.plan && this.storage) this.link.call("cancel", null).catch(() => {});
    else {
      this.link.close();
      this.activity.begin("waiting");
    }
  }

  /** Counts an automatic retry, and returns whether it is within the limit. */
  mayRecover() {
    const now = Date.now();
    this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_SPAN);
    return this.#recoveries.push(now) <= RECOVERIES;
  }

  /** Loads the same model into a new worker, as agreed before. Rejects when that fails. */
  async reload() {
    this.activity.loaded = false;
    this.activity.begin("loading");
    await this.#openWorker();
    await this.#fetch();
    this.activity.loaded = true;
  }
}
