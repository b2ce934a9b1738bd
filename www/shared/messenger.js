// Calls between the page and its worker. Every call has an id of its own and its promise always settles:
// with a value, with the failure the other side reports, or with the reason why the other side is gone.

import { deferred } from "./async.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Calls} Calls */
/** @typedef {import("./protocol.js").Method} Method */
/** @typedef {import("./protocol.js").Event} Event */
/** @typedef {import("./protocol.js").CallMessage} CallMessage */
/** @typedef {import("./protocol.js").ReplyMessage} ReplyMessage */

/**
 * @typedef {object} Waiting
 * @property {(value: any) => void} resolve
 * @property {(failure: Failure) => void} reject
 * @property {(event: Event) => void} onEvent
 */

/** The page's end. */
export class Caller {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #nextId = 1;
  /** @type {Failure | null} */
  #closed = null;

  /**
   * @param {Worker} worker
   * @param {(failure: Failure) => void} onCrash the worker is of no further use
   * @param {Worker[]} [helpers] that end with it
   */
  constructor(worker, onCrash, helpers = []) {
    this.worker = worker;
    this.helpers = helpers;
    this.onCrash = onCrash;
    worker.addEventListener("message", (message) => this.#receive(message.data));
    worker.addEventListener("messageerror", () => this.close(this.#crash("a message could not be read")));
    // A script that fails to load says nothing but "error".
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.close(event.message ? this.#crash(event.message) : this.#unloadable());
    });
  }

  /**
   * @template {Method} M
   * @param {M} method
   * @param {Calls[M][0]} args
   * @param {{ onEvent?: (event: Event) => void, transfer?: Transferable[] }} [how]
   * @returns {Promise<Calls[M][1]>}
   */
  call(method, args, { onEvent = () => {}, transfer = [] } = {}) {
    const { promise, resolve, reject } = deferred();
    if (this.#closed) {
      reject(this.#closed);
      return promise;
    }
    const id = this.#nextId++;
    this.#waiting.set(id, { resolve, reject, onEvent });
    this.worker.postMessage({ id, method, args }, transfer);
    return promise;
  }

  /** Ends the worker and its helpers; what still waits is told why.
   * @param {Failure} why */
  close(why) {
    if (this.#closed) return;
    this.#closed = why;
    for (const worker of [this.worker, ...this.helpers]) worker.terminate();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(why);
    if (why.kind === "crash" || why.kind === "engine") this.onCrash(why);
  }

  /** @param {ReplyMessage} reply */
  #receive(reply) {
    if ("crash" in reply) {
      this.close(new Failure(reply.crash));
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ("event" in reply) {
      waiting.onEvent(reply.event);
      return;
    }
    this.#waiting.delete(reply.id);
    if ("failure" in reply) waiting.reject(new Failure(reply.failure));
    else waiting.resolve(reply.value);
  }

  #unloadable() {
    const hint = "Check the connection, then retry. If that does not help, reload this page: its host may have another version of it by now.";
    return new Failure({ kind: "engine", place: "worker", message: "its script could not be loaded", hint });
  }

  /** @param {string} message */
  #crash(message) {
    return new Failure({ kind: "crash", place: "worker", message, hint: "Restart the model." });
  }
}

/**
 * The worker's end: answers calls with the methods of `handlers`, which are all that the page calls there.
 * @param {EventTarget & { postMessage: (message: ReplyMessage) => void, llavaPanic?: string }} scope
 * @param {{ [M in Method]?: (args: Calls[M][0], emit: (event: Event) => void) => Promise<Calls[M][1]> }} handlers
 */
export function answerCalls(scope, handlers) {
  /** @param {ReplyMessage} reply */
  const post = (reply) => scope.postMessage(reply);
  scope.addEventListener("message", async (event) => {
    const { id, method, args } = /** @type {CallMessage} */ (/** @type {MessageEvent} */ (event).data);
    try {
      const handler = /** @type {(args: unknown, emit: (event: Event) => void) => Promise<unknown>} */ (handlers[method]);
      post({ id, value: await handler(args, (event) => post({ id, event })) });
    } catch (thrown) {
      const failure = Failure.from(thrown, method);
      post({ id, failure: failure.fields() });
    }
  });
  // A panic inside an awaited engine call unwinds through no promise: it surfaces here, or nowhere.
  /** @param {unknown} thrown */
  const crash = (thrown) => {
    const failure = Failure.from(scope.llavaPanic ?? thrown, "engine");
    post({ crash: { ...failure.fields(), kind: "crash" } });
  };
  scope.addEventListener("error", (event) => {
    const { error, message } = /** @type {ErrorEvent} */ (event);
    crash(error ?? message);
  });
  scope.addEventListener("unhandledrejection", (event) => {
    crash(/** @type {PromiseRejectionEvent} */ (event).reason);
  });
}
