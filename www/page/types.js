// Types that the components of the page share. This file has no code that runs.

/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {import("../llava/chat/types.js").EncodedPicture} EncodedPicture */
/** What an answer took, and what ended it. @typedef {Pick<import("../llava/chat/types.js").ChatCompletion, "usage" | "timings"
 *   | "stop_reason">} Result */

/** The person's settings. @typedef {{ backend: BackendChoice, generate: GenerateOptions }} Choices */

/**
 * A large model before its download: its estimated speed, and the bytes that this page may still store.
 * @typedef {{ probe: import("../shared/protocol.js").Probe | null, probing: boolean, room: number | null }} Offer
 */

/**
 * What the session does at points of loading.
 * @typedef {object} LoadingHooks
 * @property {() => void} onReset  the engine's memory of the conversation is lost
 * @property {(note: string) => void} onNote  `note` is to be shown in the conversation
 * @property {() => Promise<void>} onLoaded
 */

/**
 * A picture. `seen` describes its encoding, `null` where this engine has not encoded it. Of the pictures
 * of one `source` only the last goes with the next question; empty where none replaces another.
 * @typedef {{ id: string, blob: Blob, url: string, name: string, source: "" | "example" | "drawing", seen: EncodedPicture | null }} Picture
 */

/**
 * A question and its answer so far.
 * @typedef {object} Turn
 * @property {string} question
 * @property {Picture[]} pictures  that were shown with it
 * @property {string} answer
 * @property {"streaming" | "done" | "stopped" | "error"} state
 * @property {Result | null} result  of an answer that later questions follow
 * @property {string} model  key of the model that has answered
 */

/** A message between turns; `model` is the key of the model that it names. @typedef {{ note: string, model?: string }} Note */

export {};
