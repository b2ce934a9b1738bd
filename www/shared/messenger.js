// Calls between the page and its worker. Every call has its own id, and its promise always settles: with a value, with
// a failure that the other side reports, or with the reason why the other side has ended.

import { deferred } from "./async.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Calls} Calls */
/** @typedef {import("./protocol.js").Method} Method */
/** @typedef {import("./protocol.js").Event} Event */
/** @typedef {import("./protocol.js").CallMessage} CallMessage */
/** @typedef {import("./protocol.js").ReplyMessage} ReplyMessage */

/**
 * @typedef {object} PendingCall
 * @property {(value: any) => void} resolve
 * @property {(failure: Failure) => void} reject
 * @property {(event: Event) => void} onEvent
 */

/** The page's side of the calls. */
export class Caller {
  /** @type {Map<number, PendingCall>} */
  #pending = new Map();
  #nextId = 1;
  /** @type {Failure | null} */
  #closed = null;
  #end = deferred();
  /** Rejects when this side is closed, with the reason; never resolves. @type {Promise<never>} */
  closed = /** @type {Promise<never>} */ (this.#end.promise);

  /**
   * @param {Worker} worker
   * @param {(failure: Failure) => void} onCrash called when the worker has ended by itself
   * @param {Worker[]} [helpers] workers that end with it
   */
  constructor(worker, onCrash, helpers = []) {
    this.worker = worker;
    this.helpers = helpers;
    this.onCrash = onCrash;
    this.closed.catch(() => {});
    worker.addEventListener("message", (message) => this.#receive(message.data));
    worker.addEventListener("messageerror", () => this.close(this.#crashError("a message could not be read")));
    // The event of a script that fails to load has no message.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.close(event.message ? this.#crashError(event.message) : this.#loadError());
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
    this.#pending.set(id, { resolve, reject, onEvent });
    this.worker.postMessage({ id, method, args }, transfer);
    return promise;
  }

  /** Ends the worker and its helpers, and rejects pending calls. @param {Failure} why */
  close(why) {
    if (this.#closed) return;
    this.#closed = why;
    this.#end.reject(why);
    for (const worker of [this.worker, ...this.helpers]) worker.terminate();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(why);
    if (why.kind === "crash" || why.kind === "engine") this.onCrash(why);
  }

  /** @param {ReplyMessage} reply */
  #receive(reply) {
    if ("crash" in reply) {
      this.close(new Failure(reply.crash));
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if ("event" in reply) {
      pending.onEvent(reply.event);
      return;
    }
    this.#pending.delete(reply.id);
    if ("failure" in reply) pending.reject(new Failure(reply.failure));
    else pending.resolve(reply.value);
  }

  #loadError() {
    const hint = "Check the connection, then retry. If that does not help, reload this page: its host may have a newer version.";
    return new Failure({ kind: "engine", place: "worker", message: "its script could not be loaded", hint });
  }

  /** @param {string} message */
  #crashError(message) {
    return new Failure({ kind: "crash", place: "worker", message, hint: "Restart the model." });
  }
}

/**
 * The worker's side of the calls: answers them with `handlers`, which may cover a part of the methods.
 * @param {EventTarget & { postMessage: (message: ReplyMessage) => void, llavaPanic?: string }} scope
 * @param {{ [M in Method]?: (args: Calls[M][0], emit: (event: Event) => void) => Promise<Calls[M][1]> }} handlers
 */
export function serveCalls(scope, handlers) {
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
  // A panic inside an awaited engine call rejects no promise: it surfaces in these events only.
  /** @param {unknown} thrown */
  const crash = (thrown) => {
    const failure = Failure.from(scope.llavaPanic ?? thrown, "engine");
    post({ crash: { ...failure.fields(), kind: "crash" } });
  };
  scope.addEventListener("error", (event) => {
    const { error, message } = /** @type {ErrorEvent} */ (event);
    crash(error ?? message);
  });
  scope.addEventListener("messageerror", () => {
    post({ crash: { kind: "crash", place: "worker", message: "what the page sent could not be read here", hint: "Restart the model." } });
  });
  scope.addEventListener("unhandledrejection", (event) => {
    crash(/** @type {PromiseRejectionEvent} */ (event).reason);
  });
}
