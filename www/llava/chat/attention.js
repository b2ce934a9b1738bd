// The attention of an answer: where the rows that chose its tokens looked in the pictures of the prompt.

/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("./types.js").AnswerAttention} AnswerAttention */
/** @typedef {import("./types.js").TokenAttention} TokenAttention */

/** Collects the attention of one answer from the engine's events. */
export class AttentionCollector {
  /** @type {AnswerAttention["pictures"]} */
  #pictures = [];
  /** By index: an answer that goes on after a lost GPU sends that of its first tokens again. @type {TokenAttention[]} */
  #tokens = [];
  #layers = 0;

  /** @param {Event} event */
  receive(event) {
    if (event.type === "attention-pictures") this.#pictures = event.pictures;
    if (event.type !== "attention") return;
    const { index, id, text, layers, weights, rest } = event;
    this.#layers = layers;
    // A copy of its own: its bytes need not begin at a multiple of four.
    this.#tokens[index] = { id, text, weights: new Float32Array(weights.slice().buffer), rest };
  }

  /** @returns {AnswerAttention} */
  get value() {
    return { layers: this.#layers, pictures: this.#pictures, tokens: this.#tokens };
  }
}
