// The words that the page and its worker exchange. Types only: this file has no code that runs.
// Names of fields are those of the engine (src/engine.rs), unchanged.
// budget: every type that crosses between page and worker, in one place.

/**
 * How an error looks on the wire: src/error.rs, field by field.
 * @typedef {object} FailureFields
 * @property {string} kind     an engine `Kind`, or `network`, `changed`, `storage`, `file`, `crash`, `engine`, `cancelled`, `picture`, `page`
 * @property {string} place    a file, a tensor, a field, an option
 * @property {string} message  what is wrong, with the numbers
 * @property {string} [hint]   what to do about it
 */

/** @typedef {"auto" | "webgpu" | "cpu"} BackendChoice */

/** Threads of the engine, itself included, and why not more; its build, a folder in pkg/. `pages` of memory are what they may share; 0 in the build without.
 * @typedef {{ build: "" | "threads/" | "relaxed/", threads: number, pages: number, why: string }} Threads */

/**
 * What the person named: addresses, files of theirs (by the names the model knows them under), or the key of a
 * model that is kept in this browser and came from neither.
 * @typedef {{ addresses: string[], prompt_template?: string } | { files: Record<string, File>, entry: string[], prompt_template?: string }
 *   | { stored: string, prompt_template?: string }} ModelRef
 */

/**
 * What the engine reads headers through.
 * @typedef {object} Source
 * @property {(file: string) => Promise<number | null>} size  null where there is no such file
 * @property {(file: string, offset: number, bytes: number) => Promise<Uint8Array>} read  fewer only at the end of the file
 */

/** `prompt_template` is how to ask, where the model itself does not say or says wrong.
 * `tuning` is what a report said of this GPU before, as JSON. `quant` is one of the plan's choices.
 * @typedef {{ context?: number, prompt_template?: string, tuning?: string, quant?: "exact" | "q8" | "q4" }} PlanOptions */

/** What the weights of a float checkpoint are quantised to while they are loaded; `null`: held as they are.
 * @typedef {"q8" | "q4" | null} Quant */
/** One of the types that they may be held as, `memory` in bytes for `context` rows. What is fetched is the same for each.
 * @typedef {{ quant: Quant, memory: number, bytes_per_token: number }} WeightsOption */

/**
 * A range of one file, pushed as one piece. `sha256` is what was promised of it, if anything was.
 * @typedef {object} PlanPart
 * @property {number} index
 * @property {string} file
 * @property {number} offset
 * @property {number} bytes
 * @property {string | null} sha256
 */

/**
 * All known of a model before its weights are fetched. Memory is in bytes, for `context` rows.
 * @typedef {object} Plan
 * @property {string} name
 * @property {PlanPart[]} parts  in order of use
 * @property {number} total_bytes
 * @property {number} [parameters]
 * @property {string[]} [mirrors]  other addresses that the files may be fetched from
 * @property {string[]} [notes]  such as: a type is stored wider than in the file
 * @property {{ file: string, bytes: number }[]} [file_bytes]
 * @property {{ weights: number, cache_per_token: number, cache_type: string, scratch: number, total: number }} [memory]
 * @property {number} [context]  proposed, rows
 * @property {number} [longest_context]
 * @property {number} [bytes_per_token]
 * @property {Quant} [quant]  what is chosen of them
 * @property {WeightsOption[]} [choices]  the widest first; empty where the weights have types of their own
 */

/**
 * What a second of trying says about this model on this machine.
 * @typedef {object} Probe
 * @property {number} decode_tokens_per_second
 * @property {number} prefill_rows_per_second
 * @property {boolean} fits
 * @property {string} message
 */

/**
 * What is kept of a model in this browser.
 * @typedef {object} Stored
 * @property {string} key
 * @property {string} name
 * @property {string[]} addresses  empty for copies of local files
 * @property {number} bytes  kept
 * @property {number} total_bytes  of the whole model; 0 while unknown
 * @property {boolean} complete
 * @property {string} date  of the last change, ISO 8601
 */

/**
 * Where the parts will come from. `kind` is what the browser offers; `full` says why nothing more is kept.
 * @typedef {{ kind: "opfs" | "cache" | "none", key: string, bytes: number, full: string }} Storage
 */

/**
 * What runs, on what. Before the model is loaded only `backend` and `adapter` are known.
 * @typedef {object} Report
 * @property {string} backend
 * @property {string} adapter
 * @property {string} [threads]  of the CPU: how many, and why not more
 * @property {string} [model]
 * @property {number} [parameters]
 * @property {number} [device_bytes]  weights, cache and activations
 * @property {number} [context]  rows: tokens and image patches, that the cache may grow to
 * @property {string} [cache_type]
 * @property {string[]} [notes]
 * @property {number} [cached]   rows
 * @property {number} [turns]
 * @property {object | null} [tuning]  how the GPU computes: the engine's own words, for the next visit
 */

/** Pipelines that the GPU has of those that the model needs; a CPU needs none.
 * @typedef {{ done: number, total: number }} Compiled */
/** @typedef {{ plan: Plan, report: Report, storage: Storage }} Opened */
/** @typedef {{ report: Report, storage: Storage }} Loaded */

/** A picture: its pixels, the rows of the context that it takes, whether it had been encoded before.
 * @typedef {{ width: number, height: number, rows: number, reused: boolean, cancelled: boolean }} Encoded */

/**
 * @typedef {object} Answer
 * @property {string} text
 * @property {number[]} ids
 * @property {number[]} prompt_ids
 * @property {number} reused_rows
 * @property {"eos" | "length" | "context" | "cancelled"} stop
 * @property {number[][]} [logits]  with `keep_logits`: of the last prompt row and of every generated one
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
 * @property {number[]} [begin]  ids of an answer that was cut off and goes on
 * @property {boolean} [keep_logits]
 */

/** What is measured: src/measure/stages.rs.
 * @typedef {{ rows?: number, tokens?: number, repeat?: number, operations?: boolean }} BenchOptions */

/** A turn to be read again. `images` is how many of the encoded pictures its question takes.
 * @typedef {{ question: string, ids: number[], images: number }} Restored */

/**
 * How far the weights are. `received` counts what came over the network in this call; `waiting` says for what; `compiled` how
 * far the shaders are meanwhile.
 * @typedef {object} FetchEvent
 * @property {"fetch"} type
 * @property {number} done
 * @property {number} total
 * @property {number} received
 * @property {"network" | "store" | "files"} from  where most of the last bytes came from
 * @property {string} waiting  a try that failed, and when the next one is; empty while all is well
 * @property {Compiled} [compiled]
 */

/**
 * What happens on the way.
 * @typedef {FetchEvent | { type: "encode" | "prefill", done: number, total: number }
 *   | { type: "token", text: string, count: number, id?: number }
 *   | { type: "line", text: string }} Event
 */

/**
 * Every call the page makes: name → [arguments, result].
 * @typedef {object} Calls
 * @property {[{ model: ModelRef, backend: BackendChoice, tuning: string | undefined, threads: Threads, code: WebAssembly.Module | null, ports: MessagePort[] }, Opened]} open  `code` is the engine's, compiled; `tuning` see PlanOptions; `ports` of workers that may be further threads
 * @property {[null, Probe]} probe
 * @property {[{ quant: Quant }, Plan]} choose  before `load`
 * @property {[{ keep: boolean, context: number | null }, Loaded]} load
 * @property {[null, Storage]} storage
 * @property {[{ bytes: ArrayBuffer }, Seen]} encode
 * @property {[{ question: string, options: GenerateOptions }, Answered]} generate
 * @property {[{ question: string }, number]} prefill  reads ahead what is there of a question; rows that are read
 * @property {[{ options: BenchOptions }, Report]} bench  a line of the table per event
 * @property {[null, null]} cancel
 * @property {[{ turns: number }, Report]} truncate
 * @property {[null, Report]} reset
 * @property {[{ turns: Restored[] }, Report]} restore
 * @property {[null, { wasm: number, heap: number, buffers: number }]} memory  bytes in the tab: of the engine, of JavaScript, of parts on their way
 * @property {[null, string[]]} files
 * @property {[null, { kind: Storage["kind"], models: Stored[] }]} stored
 * @property {[{ key: string }, null]} forget
 */

/** @typedef {keyof Calls} Method */

/**
 * @typedef {{ id: number, method: Method, args: unknown }} CallMessage
 * @typedef {{ id: number, value: unknown } | { id: number, failure: FailureFields }
 *   | { id: number, event: Event } | { crash: FailureFields }} ReplyMessage
 */

export {};
