// The words that the page and its worker exchange. Types only: this file has no code that runs.
// Names of fields are those of the engine (src/engine.rs), unchanged.

/**
 * How an error looks on the wire: src/error.rs, field by field.
 * @typedef {object} FailureFields
 * @property {string} kind     an engine `Kind`, or `network`, `crash`, `cancelled`, `page`
 * @property {string} place    a file, a tensor, a field, an option
 * @property {string} message  what is wrong, with the numbers
 * @property {string} [hint]   what to do about it
 */

/** @typedef {"auto" | "webgpu" | "cpu"} BackendChoice */

/**
 * One file of the model; `file` is relative to the manifest.
 * @typedef {object} PlanPart
 * @property {number} index
 * @property {string} file
 * @property {number} bytes
 * @property {string} sha256
 */

/**
 * @typedef {object} Plan
 * @property {string} name
 * @property {PlanPart[]} parts
 * @property {number} total_bytes
 */

/**
 * What runs, on what. Before the model is loaded only `backend` and `adapter` are known.
 * @typedef {object} Report
 * @property {string} backend
 * @property {string} adapter
 * @property {string} [model]
 * @property {number} [parameters]
 * @property {number} [device_bytes]  weights, cache and activations
 * @property {number} [context]  rows: tokens and image patches
 * @property {number} [cached]   rows
 * @property {number} [turns]
 */

/** @typedef {{ plan: Plan, report: Report }} Opened */

/**
 * @typedef {object} Encoded
 * @property {number} width
 * @property {number} height
 * @property {number} rows  of the context
 * @property {boolean} reused  it had been encoded before
 * @property {boolean} cancelled
 */

/**
 * @typedef {object} Answer
 * @property {string} text
 * @property {number[]} ids
 * @property {number[]} prompt_ids
 * @property {number} reused_rows
 * @property {"eos" | "length" | "context" | "cancelled"} stop
 */

/**
 * Measured by the worker: the engine has no clock.
 * @typedef {object} Timing
 * @property {number} first_token_ms  from the call to the first token
 * @property {number} total_ms
 * @property {number} tokens_per_second  of the tokens after the first; 0 when there was none
 */

/** @typedef {{ encoded: Encoded, encode_ms: number, report: Report }} Seen */
/** @typedef {{ answer: Answer, timing: Timing, report: Report }} Answered */

/**
 * @typedef {object} GenerateOptions
 * @property {number} max_new_tokens
 * @property {number} temperature
 * @property {number} top_p
 * @property {number} seed
 */

/**
 * What happens on the way.
 * @typedef {{ type: "fetch", done: number, total: number }
 *   | { type: "encode" | "prefill", done: number, total: number }
 *   | { type: "token", text: string, count: number }} Event
 */

/**
 * Every call the page makes: name → [arguments, result].
 * @typedef {object} Calls
 * @property {[{ manifest: string, backend: BackendChoice }, Opened]} open
 * @property {[null, Report]} load
 * @property {[{ bytes: ArrayBuffer }, Seen]} encode
 * @property {[{ question: string, options: GenerateOptions }, Answered]} generate
 * @property {[null, null]} cancel
 * @property {[{ turns: number }, Report]} truncate
 * @property {[null, Report]} reset
 * @property {[null, string[]]} files
 */

/** @typedef {keyof Calls} Method */

/**
 * @typedef {{ id: number, method: Method, args: unknown }} CallMessage
 * @typedef {{ id: number, value: unknown } | { id: number, failure: FailureFields }
 *   | { id: number, event: Event } | { crash: FailureFields }} ReplyMessage
 */

export {};
