// The model's way onto this machine, as the page sees it: named, opened, weighed, agreed to, loaded, and
// brought back when the GPU is lost.

import { Failure } from "../shared/failure.js";
import { Activity } from "./activity.js";
import { openOn } from "./choosing.js";
import { EngineLink, rememberTuning } from "./engine-link.js";
import { tryOut } from "./trial.js";
import { rememberWeights } from "./weights.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./types.js").Choices} Choices */
/** @typedef {import("./types.js").Offer} Offer */

/** A model of which more than this is missing is not downloaded before the person agrees, bytes. */
const ASK_ABOVE = 100e6;
/** What happens more often than this within the span (a GPU lost, a file changed) is not tried again unasked. */
const RECOVERIES = 2;
const RECOVERY_SPAN = 60_000;
/** Failures after which only what the engine has not accepted is fetched again; after others it is in doubt. */
const RESUMABLE = ["network", "shard", "cancelled"];

export class Loading extends Activity {
  /** @type {import("../shared/protocol.js").Plan | null} */
  plan = null;
  /** @type {import("../shared/protocol.js").Report | null} */
  report = null;
  /** @type {import("../shared/protocol.js").Storage | null} */
  storage = null;
  /** The model is large and waits for a word from the person. @type {Offer | null} */
  offer = null;
  /** What the person agreed to, for this model. */
  agreed = { keep: false, context: /** @type {number | null} */ (null) };
  /** Why it runs on the backend that it runs on. */
  why = "";
  /** Why its weights are held as they are. @type {import("./types.js").Weights} */
  weights = { chosen: false, proposed: undefined, why: "" };
  /** The GPU was lost and is being replaced. */
  recovering = false;
  /** When something was tried again unasked, ms. @type {number[]} */
  #recoveries = [];

  link = new EngineLink((failure) => {
    this.loaded = false;
    this.fail(failure, "worker", () => this.open());
  });

  /** @param {ModelRef} model @param {() => Choices} settings */
  constructor(model, settings) {
    super();
    this.model = model;
    this.settings = settings;
  }

  /** Another model takes the place of this one; `asked`: the person is asked again what they chose on an earlier visit.
   * @param {ModelRef} model @param {boolean} [asked] */
  async choose(model, asked) {
    this.model = model;
    Object.assign(this, { plan: null, report: null, storage: null });
    await this.open(asked);
  }

  /** Opens the model, anew if there was one. @param {boolean} [asked] see `choose` */
  async open(asked = false) {
    this.loaded = false;
    this.forget("The model was started again: it does not remember what is above.");
    Object.assign(this, { offer: null, agreed: { keep: !("files" in this.model), context: null } });
    this.begin("loading");
    const { model } = this;
    try {
      const { opened, why, weights } = await openOn(this.link, model, this.settings().backend);
      Object.assign(this, opened, { why, weights });
    } catch (thrown) {
      if (model === this.model) this.fail(thrown, "open", () => this.open());
      return;
    }
    const { total_bytes = 0, choices = [] } = this.plan ?? {};
    const undecided = choices.length > 0 && (asked || !this.weights.chosen);
    if ((undecided ? total_bytes : total_bytes - (this.storage?.bytes ?? 0)) > ASK_ABOVE) await this.#ask();
    else await this.load();
  }

  /** Says what the model would need, and tries out meanwhile what it would be like. */
  async #ask() {
    /** @type {Offer} */
    const offer = { probe: null, probing: true, room: null };
    this.offer = offer;
    this.begin("waiting");
    const estimate = await navigator.storage?.estimate?.().catch(() => null);
    offer.room = estimate ? Math.max(0, (estimate.quota ?? 0) - (estimate.usage ?? 0)) : null;
    await this.#try(offer);
  }

  /** @param {Offer} offer */
  async #try(offer) {
    const { plan } = this;
    Object.assign(offer, { probe: null, probing: true });
    this.changed();
    const probe = await tryOut(this.link).catch(() => null);
    // Of another choice meanwhile it says nothing.
    if (plan !== this.plan) return;
    Object.assign(offer, { probe, probing: false });
    this.changed();
  }

  /** Holds the weights of the offered model as another type: what follows from it is looked at anew.
   * @param {import("../shared/protocol.js").Quant} quant */
  async hold(quant) {
    const { offer, model } = this;
    try {
      const plan = await this.link.call("choose", { quant });
      if (model !== this.model) return;
      Object.assign(this, { plan, weights: { ...this.weights, chosen: true, why: "as you chose" } });
      if (offer && offer === this.offer) await this.#try(offer);
    } catch (thrown) {
      if (model === this.model) this.fail(thrown, "weights", () => this.open());
    }
  }

  /** The person agrees. @param {{ keep: boolean, context: number | null }} agreed */
  async accept(agreed) {
    this.agreed = agreed;
    this.weights.chosen = true;
    // Without this a browser may clear gigabytes when the disk gets full. Firefox asks the person, and loading does not wait
    // for the answer.
    if (agreed.keep) navigator.storage?.persist?.().catch(() => false);
    await this.load();
  }

  /** Fetches what is missing of the model. */
  async load() {
    const { offer } = this;
    this.offer = null;
    this.begin("loading");
    try {
      await this.fetch();
    } catch (thrown) {
      const { kind } = Failure.from(thrown, "load");
      if (kind === "cancelled" && this.phase === "loading") {
        this.storage = await this.link.call("storage", null);
        this.offer = offer ?? { probe: null, probing: false, room: null };
        return this.begin("waiting");
      }
      // What has changed meanwhile is looked at anew; what still belongs to it is kept.
      if (["gpu-lost", "changed"].includes(kind) && this.mayRecover()) return this.open();
      return this.fail(thrown, "load", () => (RESUMABLE.includes(kind) ? this.load() : this.open()));
    }
    this.loaded = true;
    this.end();
    await this.read();
  }

  async fetch() {
    const { report, storage } = await this.link.call("load", this.agreed, { onEvent: this.onProgress });
    Object.assign(this, { report, storage });
    rememberTuning(report);
    if (this.weights.chosen && this.plan?.choices?.length) rememberWeights(storage.key, this.plan.quant);
    if (this.storage?.full && this.agreed.keep) this.forget(`This model is not kept for the next visit: ${this.storage.full}.`, true);
  }

  /** Stops opening or loading; what has arrived stays. */
  cancelLoading() {
    if (this.phase !== "loading") return;
    if (this.plan && this.storage) this.link.call("cancel", null).catch(() => {});
    else {
      this.link.close();
      this.begin("waiting");
    }
  }

  /** Whether another try is worth it now; counts it. */
  mayRecover() {
    const now = Date.now();
    this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_SPAN);
    return this.#recoveries.push(now) <= RECOVERIES;
  }

  /** A new worker with the same model, as it was agreed to. Rejects when that does not work. */
  async reopen() {
    this.loaded = false;
    this.begin("loading");
    const { opened, why, weights } = await openOn(this.link, this.model, this.settings().backend);
    Object.assign(this, opened, { why, weights });
    await this.fetch();
    this.loaded = true;
  }

  /** What the engine knew is gone. For sessions. @param {string} _note @param {boolean} [_only] */
  forget(_note, _only) {}

  /** Reads what there is to read. For sessions. */
  async read() {}
}
