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
 * Seconds that pictures take here, for each row through the decoder and each tile through the tower.
 * @typedef {{ row: number, tile: number }} Pace
 */

/**
 * The size of pictures that are cut into tiles: whether the person chose it, the pace where it is known, and the estimate
 * that was made to choose it.
 * @typedef {{ chosen: boolean, pace: Pace | null, probe: import("../shared/protocol.js").Probe | null }} SizeChoice
 */

/**
 * What the session does at points of loading.
 * @typedef {object} LoadingHooks
 * @property {() => void} onReset  the engine's memory of the conversation is lost
 * @property {(note: string) => void} onNote  `note` is to be shown in the conversation
 * @property {() => Promise<void>} onLoaded
 */

/**
 * A picture. `seen` is the engine's report of its encoding, `null` where this engine has not encoded it. Of the pictures
 * of one `source` only the last goes with the next question; empty where none replaces another.
 * @typedef {{ id: string, blob: Blob, url: string, name: string, source: "" | "example" | "drawing", seen: Seen | null }} Picture
 */

/**
 * A question and its answer so far.
 * @typedef {object} Turn
 * @property {string} question
 * @property {Picture[]} pictures  that were shown with it
 * @property {string} answer
 * @property {"streaming" | "done" | "stopped" | "error"} state
 * @property {Answered | null} result  of an answer that later questions follow
 * @property {string} model  key of the model that has answered
 */

/** A message between turns; `model` is the key of the model that it names. @typedef {{ note: string, model?: string }} Note */

/**
 * A model of models/catalogue.json; src/docs/sources.md describes the fields.
 * @typedef {object} CatalogueModel
 * @property {string} id
 * @property {string} name
 * @property {string} sentence
 * @property {boolean} offered  whether the first screen may offer it
 * @property {"photographs" | "shapes"} knows
 * @property {string} licence
 * @property {number} context  rows that `memory` is for
 * @property {number} parameters
 * @property {number} cache_per_token  bytes
 * @property {string} [page]  repository that describes it
 * @property {string} [template]  of its prompts, where the file's own is wrong or missing
 * @property {string[]} [traps]  what is known to go wrong
 * @property {CatalogueVariant[]} variants
 */

/**
 * The files of a model with one type of weights. `path` is `null` where it is not known; `bytes` of a file that is not
 * `exact` are rounded. `memory` are the bytes of weights and cache on the device.
 * @typedef {{ name: string, repository?: string, address?: string, bytes_per_token: number, memory: number,
 *   files: { path: string | null, bytes: number, exact: boolean }[] }} CatalogueVariant
 */

export {};
