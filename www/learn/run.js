// A training run as the page sees it: its workers, and what they have said.

/** @typedef {import("./protocol.js").Told} Told */
/** @typedef {import("./protocol.js").Request} Request */
/** @typedef {import("./protocol.js").Start} Start */
/** @typedef {import("./protocol.js").Budget} Budget */
/** @typedef {import("./protocol.js").Stage} Stage */
/** @typedef {import("./protocol.js").ModelFile} ModelFile */
/** @typedef {import("./protocol.js").Answered} Answered */

/** Most workers: more gain little, and each has its own copy of the model. */
const MOST_WORKERS = 2;

/** Address of the worker's script, as the security policy allows it. @type {any} */
const script = (() => {
  const rules = { createScriptURL: () => new URL("worker/worker.js", import.meta.url).href };
  const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
  return policy.createScriptURL("");
})();

/** Dispatches "change" when anything below has changed. */
export class LearnRun extends EventTarget {
  /** @type {"loading" | "ready" | "training" | "paused" | "done" | "failed"} */
  phase = "loading";
  /** @type {Stage} */
  stage = 1;
  /** Points of the loss curve. @type {{ seconds: number, loss: number }[]} */
  points = [];
  /** Examinations of held-out captions. @type {{ seconds: number, right: number, all: number }[]} */
  exams = [];
  /** @type {Extract<Told, { type: "step" }> | null} */
  last = null;
  /** @type {Answered[]} */
  answers = [];
  /** Step that the answers are of. */
  answeredAt = 0;
  /** @type {Uint8Array<ArrayBuffer> | null} */
  picture = null;
  /** @type {Record<string, string>} */
  source = {};
  /** @type {{ message: string, missing: boolean } | null} */
  failure = null;
  workers = 0;
  /** Multiple of the recipe's learning rate. */
  factor = 1;
  /** @type {Worker[]} */
  #workers = [];

  /** @param {Budget} budget length of a stage @param {number} pictures per batch and worker */
  constructor(budget, pictures) {
    super();
    this.budget = budget;
    this.pictures = pictures;
  }

  /** Starts with a fresh connector, drawn from `seed`, or with the whole trained model.
   * @param {number} seed @param {number} scene @param {boolean} [fresh] */
  start(seed, scene, fresh = true) {
    this.stop();
    Object.assign(this, { phase: "loading", stage: 1, points: [], exams: [], last: null, answers: [], failure: null, factor: 1 });
    const count = Math.max(1, Math.min(MOST_WORKERS, navigator.hardwareConcurrency || 1));
    this.#workers = Array.from({ length: count }, () => new Worker(script, { type: "module", name: "learn" }));
    const channels = Array.from({ length: count - 1 }, () => new MessageChannel());
    const model = new URL("models/scenes/", document.baseURI).href;
    for (const [i, worker] of this.#workers.entries()) {
      const ports = i === 0 ? channels.map(({ port1 }) => port1) : channels.slice(i - 1, i).map(({ port2 }) => port2);
      /** @type {Start} */
      const message = { type: "start", model, fresh, seed, scene, pictures: this.pictures, budget: this.budget, ports, leader: i === 0 };
      worker.addEventListener("message", ({ data }) => this.#receive(data));
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        this.#receive({ type: "failure", message: event.message || "the worker's script could not be loaded", missing: false });
      });
      worker.postMessage(message, ports);
    }
    this.#changed();
  }

  /** Ends the workers; their memory is free. */
  stop() {
    for (const worker of this.#workers) worker.terminate();
    this.#workers = [];
  }

  pause() {
    this.#send({ type: "pause" });
    this.phase = "paused";
    this.#changed();
  }

  resume() {
    this.#send({ type: "resume" });
    this.phase = "training";
    this.#changed();
  }

  /** Begins a stage anew. @param {Stage} stage */
  begin(stage) {
    this.#send({ type: "stage", stage });
    this.phase = "training";
    this.#changed();
  }

  /** @param {number} factor multiple of the recipe's learning rate */
  setRate(factor) {
    this.factor = factor;
    this.#send({ type: "rate", factor });
    this.#changed();
  }

  /** Shows another held-out scene. @param {number} scene */
  show(scene) {
    this.#send({ type: "scene", scene });
  }

  /** Sets a person's pictures and their words. @param {Uint8Array<ArrayBuffer>[]} pictures @param {string[]} words */
  setOwn(pictures, words) {
    this.#send({ type: "own", pictures, words });
  }

  /** Writes the trained model's manifest and shards. @param {string} name @returns {Promise<ModelFile[]>} */
  write(name) {
    return this.#reply("written", { type: "write", name }).then(({ files }) => files);
  }

  /** Answers a question about a picture. @param {Uint8Array<ArrayBuffer>} picture @param {string} question
   * @returns {Promise<string>} */
  ask(picture, question) {
    return this.#reply("answer", { type: "question", picture, question }).then(({ text }) => text);
  }

  /** Returns what the leader tells next of this type. @template {Told["type"]} T @param {T} type @param {Request} request
   * @returns {Promise<Extract<Told, { type: T }>>} */
  #reply(type, request) {
    const [leader] = this.#workers;
    return new Promise((resolve, reject) => {
      if (!leader) return reject(new Error("the run has ended"));
      const listen = (/** @type {MessageEvent} */ { data }) => {
        if (data.type === "failure") reject(new Error(data.message));
        else if (data.type !== type) return;
        leader.removeEventListener("message", listen);
        resolve(data);
      };
      leader.addEventListener("message", listen);
      leader.postMessage(request);
    });
  }

  /** @param {Request} request */
  #send(request) {
    this.#workers[0]?.postMessage(request);
  }

  /** @param {Told} told */
  #receive(told) {
    const seconds = this.last?.seconds ?? 0;
    if (told.type === "ready") Object.assign(this, { phase: "ready", workers: told.workers });
    else if (told.type === "stage") Object.assign(this, { stage: told.stage, points: [], exams: [], last: null });
    else if (told.type === "picture") this.picture = told.picture;
    else if (told.type === "source") this.source = told.files;
    else if (told.type === "answers") Object.assign(this, { answers: told.answers, answeredAt: told.step });
    else if (told.type === "exam") this.exams.push({ seconds, right: told.right, all: told.all });
    else if (told.type === "done") this.phase = "done";
    else if (told.type === "written" || told.type === "answer") return;
    else if (told.type === "step") {
      this.last = told;
      this.points.push({ seconds: told.seconds, loss: told.loss });
    } else {
      this.failure = told;
      this.phase = "failed";
      this.stop();
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
