// Both ends of the connection between the worker that leads a training run and one that helps it.

/** @typedef {import("../protocol.js").HelperRequest} HelperRequest */
/** @typedef {import("../protocol.js").BatchGradients} BatchGradients */
/** @typedef {import("../../pkg/learn/llava_learn.js").Trainer} Trainer */

/** Computes the gradients of a training batch. @param {Trainer} trainer @param {number} index @returns {BatchGradients} */
export function gradientsOf(trainer, index) {
  const computed = trainer.gradients(index);
  const { loss } = computed;
  const values = /** @type {Float32Array<ArrayBuffer>} */ (computed.values());
  computed.free();
  return { values, loss };
}

/** The leader's end. */
export class HelperLink {
  /** Receivers of the replies that are due, in order. @type {((reply: any) => void)[]} */
  #waiting = [];

  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port;
    port.onmessage = ({ data }) => this.#waiting.shift()?.(data);
  }

  /** @param {HelperRequest} request @returns {Promise<any>} */
  #ask(request) {
    const reply = new Promise((resolve) => this.#waiting.push(resolve));
    this.port.postMessage(request);
    return reply;
  }

  /** @param {number} index @returns {Promise<BatchGradients>} */
  gradients(index) {
    return this.#ask({ type: "gradients", index });
  }

  /** Counts right held-out captions and all. @param {number} first @param {number} count @returns {Promise<[number, number]>} */
  examine(first, count) {
    return this.#ask({ type: "examine", first, count });
  }

  /** @param {Uint8Array<ArrayBuffer>[]} pictures @param {string[]} words */
  setOwn(pictures, words) {
    this.port.postMessage({ type: "own", pictures, words });
  }

  /** @param {import("../protocol.js").Stage} stage */
  begin(stage) {
    this.port.postMessage({ type: "begin", stage });
  }

  /** @param {Float32Array<ArrayBuffer>[]} gradients @param {number} peak @param {number} fraction */
  apply(gradients, peak, fraction) {
    this.port.postMessage({ type: "apply", gradients, peak, fraction });
  }
}

/** The helper's end. @param {MessagePort} port @param {Trainer} trainer @param {(thrown: unknown) => void} fail */
export function serveLeader(port, trainer, fail) {
  /** @param {HelperRequest} request */
  const answer = (request) => {
    if (request.type === "gradients") {
      const computed = gradientsOf(trainer, request.index);
      port.postMessage(computed, [computed.values.buffer]);
    } else if (request.type === "examine") port.postMessage([...trainer.examine(request.first, request.count)]);
    else if (request.type === "apply") trainer.apply(request.gradients, request.peak, request.fraction);
    else if (request.type === "own") trainer.set_own(request.pictures, request.words);
    else trainer.begin(request.stage);
  };
  port.onmessage = ({ data }) => {
    try {
      answer(data);
    } catch (thrown) {
      fail(thrown);
    }
  };
}
