/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("./types.js").AnswerAttention} AnswerAttention */
/** @typedef {import("./types.js").TokenAttention} TokenAttention */
/** Collects the attention of one answer from the engine's events. */
export class AttentionCollector {
    /** @param {Event} event */
    receive(event: Event): void;
    /** @returns {AnswerAttention} */
    get value(): AnswerAttention;
    #private;
}
export type Event = import("../../shared/protocol.js").Event;
export type AnswerAttention = import("./types.js").AnswerAttention;
export type TokenAttention = import("./types.js").TokenAttention;
