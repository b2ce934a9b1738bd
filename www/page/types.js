// What the components of the page talk about. Types only.

/** @typedef {import("../shared/protocol.js").Answered} Answered */
/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {import("../shared/protocol.js").Seen} Seen */

/**
 * What the person chose in the settings.
 * @typedef {{ backend: BackendChoice, generate: GenerateOptions }} Choices
 */

/**
 * A large model, before it is downloaded: what a short trial says of it, and how much more this page may keep.
 * @typedef {{ probe: import("../shared/protocol.js").Probe | null, probing: boolean, room: number | null }} Offer
 */

/**
 * Why the weights of a float checkpoint are held as the plan says: whether the person chose that, and what was proposed.
 * @typedef {{ chosen: boolean, proposed: import("../shared/protocol.js").Quant | undefined, why: string }} Weights
 */

/**
 * `seen` is what the engine said of it once it had read it.
 * @typedef {{ blob: Blob, url: string, name: string, seen: Seen | null }} Picture
 */

/**
 * A question and its answer, as far as it has come.
 * @typedef {object} Turn
 * @property {string} question
 * @property {string} answer
 * @property {"streaming" | "done" | "stopped" | "error"} state
 * @property {Answered | null} result
 * @property {boolean} remembered  the engine holds it
 */

/** @typedef {{ note: string }} Note  what is said between turns */

export {};
