// Types that the components of the page share. This file has no code that runs.

/** @typedef {import("../shared/protocol.js").Answered} Answered */
/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {import("../shared/protocol.js").Seen} Seen */

/** The person's settings. @typedef {{ backend: BackendChoice, generate: GenerateOptions }} Choices */

/**
 * A large model before its download: its estimated speed, and the bytes that this page may still store.
 * @typedef {{ probe: import("../shared/protocol.js").Probe | null, probing: boolean, room: number | null }} Offer
 */

/**
 * The type of a float checkpoint's weights: whether the person chose it, the proposed type, and the reason.
 * @typedef {{ chosen: boolean, proposed: import("../shared/protocol.js").Quant | undefined, why: string }} Weights
 */

/**
 * A picture; `seen` is the engine's report of its encoding.
 * @typedef {{ blob: Blob, url: string, name: string, seen: Seen | null }} Picture
 */

/**
 * A question and its answer so far.
 * @typedef {object} Turn
 * @property {string} question
 * @property {string} answer
 * @property {"streaming" | "done" | "stopped" | "error"} state
 * @property {Answered | null} result
 * @property {boolean} remembered  whether the engine holds it
 */

/** @typedef {{ note: string }} Note  a message between turns */

export {};
