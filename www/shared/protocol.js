// Types of the messages between the page and its worker. This file has no code that runs.
// Names of fields are those of the engine (src/web.rs, src/engine/), unchanged.
// budget: every type that crosses between page and worker, in one place.

/**
 * An error in a message: the fields of src/error.rs.
 * @typedef {object} FailureFields
 * @property {string} kind     an engine `Kind`, or `network`, `changed`, `storage`, `file`, `crash`, `engine`,
 *   `cancelled`, `picture`, `page`
 * @property {string} place    a file, a tensor, a field, an option
 * @property {string} message  what is wrong, with the numbers
 * @property {string} [hint]   what to do about it
 */

/** @typedef {"auto" | "webgpu" | "cpu"} BackendChoice */

/** Number of the engine's threads, itself included, and the reason for no more. `build` is a folder in pkg/; `pages` is
 * the size of the memory that threads may share, 0 in the build without threads.
 * @typedef {{ build: "" | "threads/" | "relaxed/", threads: number, pages: number, why: string }} Threads */

/** Files of the same model with another type of weights. @typedef {{ name: string, addresses: string[], bytes: number }} Variant */

/**
 * A model as the person named it: by addresses, by files (under the names that the engine knows), or by the key of a
 * model in this browser's storage that came from files.
 * @typedef {{ addresses: string[], prompt_template?: string, traps?: string[], variants?: Variant[] }
 *   | { files: Record<string, File>, entry: string[], prompt_template?: string }
 *   | { stored: string, prompt_template?: string }} ModelRef
 */

/**
 * The source through which the engine reads file headers.
 * @typedef {object} Source
 * @property {(file: string) => Promise<number | null>} size  `null` where the file does not exist
 * @property {(file: string, offset: number, bytes: number) => Promise<Uint8Array>} read
 *   shorter only at the end of the file
 */

/** `prompt_template` replaces the model's own. `tuning` is an earlier report's tuning of this GPU, as JSON. `quant` is
 * one of the plan's choices, `longest_edge` that of one of its `picture_sizes`, `cache_type` that of keys and values.
 * @typedef {{ context?: number, prompt_template?: string, tuning?: string,
 *   quant?: "exact" | "q8" | "q4", longest_edge?: number, cache_type?: CacheType }} PlanOptions */

/** Type of the cached keys and values. @typedef {"f32" | "f16"} CacheType */

/** Type that the weights of a float checkpoint are quantised to during loading; `null` keeps their own.
 * @typedef {"q8" | "q4" | null} Quant */
/** One choice of that type. `memory` is in bytes, for `context` rows. The download is the same for all.
 * @typedef {{ quant: Quant, memory: number, bytes_per_token: number }} WeightsOption */

/**
 * A range of one file, pushed as one piece. `sha256` is the hash that the manifest promises, if any.
 * @typedef {object} PlanPart
 * @property {number} index
 * @property {string} file
 * @property {number} offset
 * @property {number} bytes
 * @property {string | null} sha256
 */

/**
 * A model's description before its weights are fetched. Memory is in bytes, for `context` rows.
 * @typedef {object} Plan
 * @property {string} name
 * @property {PlanPart[]} parts  in order of use
 * @property {number} total_bytes
 * @property {number} [parameters]
 * @property {string[]} [mirrors]  other addresses of the files
 * @property {string[]} [notes]  for people, such as: a type is stored wider than in the file
 * @property {{ file: string, bytes: number }[]} [file_bytes]
 * @property {{ weights: number, cache_per_token: number, cache_type: string, scratch: number, total: number, conversations: number }} [memory]  `total` with a full context; `conversations`: most for keys and values of other conversations, beside it
 * @property {number} [context]  proposed, rows
 * @property {number} [longest_context]
 * @property {number} [bytes_per_token]
 * @property {Quant} [quant]  the chosen one of `choices`
 * @property {WeightsOption[]} [choices]  the widest first; empty for quantised files
 * @property {{ tiles: number, rows: number }} [picture]  what a picture of 4:3 takes
 * @property {PictureSize[]} [picture_sizes]  of a model that cuts pictures into tiles, the smallest first
 * @property {number} [longest_edge]  the chosen one of them, pixels
 * @property {boolean} [several_pictures]  whether it was trained with several pictures in a conversation
 */

/** A size that pictures are scaled to: its longest side in pixels, and the tiles and rows of a picture of 4:3.
 * @typedef {{ longest_edge: number, tiles: number, rows: number }} PictureSize */

/**
 * An estimate of this model's speed on this machine, measured in about a second.
 * @typedef {object} Probe
 * @property {number} decode_tokens_per_second
 * @property {number} prefill_rows_per_second
 * @property {number} [tile_seconds]  of the tower for a tile, where it was measured
 * @property {boolean} fits
 * @property {string} message
 */

/**
 * A model in this browser's storage.
 * @typedef {object} Stored
 * @property {string} key
 * @property {string} name
 * @property {string[]} addresses  empty for copies of local files
 * @property {number} bytes  stored
 * @property {number} total_bytes  of the whole model; 0 while unknown
 * @property {boolean} complete
 * @property {string} date  of the last change, ISO 8601
 */

/**
 * Storage of the opened model. `kind` is what the browser offers; `full` is the reason why nothing more is stored.
 * @typedef {{ kind: "opfs" | "cache" | "none", key: string, bytes: number, full: string }} Storage
 */

/**
 * The running model and its device. Before the model is loaded only `backend` and `adapter` are known.
 * @typedef {object} Report
 * @property {string} backend
 * @property {string} adapter
 * @property {string} [threads]  of the CPU: their number, and the reason for no more
 * @property {string} [model]
 * @property {number} [parameters]
 * @property {number} [device_bytes]  weights, cache and activations
 * @property {number} [context]  rows: tokens and image patches, that the cache may grow to
 * @property {string} [cache_type]
 * @property {string[]} [notes]
 * @property {number} [cached]   rows
 * @property {object | null} [tuning]  of the GPU, in the engine's own format, for the next visit
 */

/** Compiled pipelines of those that the model needs; a CPU needs none.
 * @typedef {{ done: number, total: number }} Compiled */
/** @typedef {{ plan: Plan, report: Report, storage: Storage }} Opened */
/** @typedef {{ report: Report, storage: Storage }} Loaded */

/** A message: system, then user and assistant. Pictures stand in messages of the user, by the id that their encoding
 * returned; ids of tokens in those of the assistant.
 * @typedef {{ role: "system" | "user" | "assistant", parts: MessagePart[] }} Message */
/** @typedef {{ text: string } | { image: string } | { ids: number[] }} MessagePart */

/** An encoded picture: its id (SHA-256 of its file), pixels, rows of the context and tiles; whether the device had it.
 * @typedef {{ id: string, width: number, height: number, rows: number, tiles: number, reused: boolean, cancelled: boolean }} Encoded */

/**
 * @typedef {object} Answer
 * @property {string} text
 * @property {number[]} ids
 * @property {number[]} prompt_ids
 * @property {number} prompt_rows  of the whole prompt
 * @property {number} reused_rows  of them cached before
 * @property {"eos" | "length" | "context" | "cancelled" | "stop"} stop
 * @property {TokenProbability[]} [logprobs]  with `top_logprobs`: of each of `ids` without those of `begin`
 * @property {number[][]} [logits]  with `keep_logits`: of the last prompt row and of every generated one
 */

/** The natural logarithm of a token's probability by the model, before penalties, biases and temperature; `bytes` are
 * its text, perhaps not whole characters.
 * @typedef {{ id: number, logprob: number, bytes: number[] }} TokenLogprob */
/** The same of a chosen token, with the most likely ones in its place.
 * @typedef {TokenLogprob & { top: TokenLogprob[] }} TokenProbability */

/** A rectangle of a picture, in pixels; it may reach beyond the picture, into a border.
 * @typedef {{ x: number, y: number, width: number, height: number }} Region */
/** A picture of a prompt, and the rows that stand for it: their positions in the context, and their rectangles.
 * @typedef {{ id: string, width: number, height: number, positions: number[], regions: Region[] }} AttentionPicture */

/**
 * Times of an answer, measured by the worker, since the engine has no clock.
 * @typedef {object} Timing
 * @property {number} first_token_ms  from the call to the first token
 * @property {number} total_ms
 * @property {number} tokens_per_second  of the tokens after the first; 0 if there was none
 */

/** @typedef {{ encoded: Encoded, encode_ms: number, report: Report }} Seen */
/** @typedef {{ answer: Answer, timing: Timing, report: Report }} Answered */

/**
 * @typedef {object} GenerateOptions
 * @property {number} max_new_tokens
 * @property {number} temperature
 * @property {number} top_p
 * @property {number} seed
 * @property {number} [top_k]  0 for all
 * @property {number} [min_p]  share of the most likely token's probability
 * @property {number} [repetition_penalty]  of tokens in prompt and answer; 1 changes none
 * @property {number} [frequency_penalty]  -2 to 2, per occurrence in the answer
 * @property {number} [presence_penalty]  -2 to 2, of tokens in the answer
 * @property {Record<string, number>} [logit_bias]  id → -100 to 100; -100 excludes the token
 * @property {number} [top_logprobs]  0 to 20; absent: no log-probabilities
 * @property {string[]} [stop]  texts that end the answer, which does not include them
 * @property {number[]} [begin]  ids of an interrupted answer, to be continued
 * @property {boolean} [ignore_eos]
 * @property {boolean} [keep_logits]
 * @property {boolean} [attention]  sends the attention by which each token was chosen, those of `begin` included
 * @property {ResponseFormat} [response_format]  what the answer must be; the worker makes a constraint of it
 */

/** What an answer must be: OpenAI's `response_format`, with regular expressions and Lark grammars in addition.
 * @typedef {{ type: "text" } | { type: "json_object" } | { type: "json_schema", json_schema: { schema: unknown } }
 *   | { type: "regex", regex: string } | { type: "grammar", grammar: string }} ResponseFormat */

/** What may come next in one answer, for the engine.
 * @typedef {object} Constraint
 * @property {() => Uint32Array} mask  of the next step: a bit for each token, set where it is allowed
 * @property {(token: number) => boolean} accept  records the sampled token; whether the answer must end here
 */

/** Options of the measurement in src/measure/stages.rs.
 * @typedef {{ rows?: number, tokens?: number, repeat?: number, operations?: boolean }} BenchOptions */

/** Error of one kind of operation on this device, normalised mean square error against its twin; see
 * src/measure/check.rs.
 * @typedef {{ pass: string, operation: string, error: number, bound: number }} CheckedOperation */

/** One way of the GPU to compute everything: `plain`, `tiles`, `f16` or `int8`, with the tuning that passes are recorded
 * with. @typedef {{ name: string, tuning: object }} Tier */

/**
 * Progress of the weights. `received` counts the bytes from the network in this call; `waiting` describes a pending
 * retry; `compiled` is the progress of the shaders.
 * @typedef {object} FetchEvent
 * @property {"fetch"} type
 * @property {number} done
 * @property {number} total
 * @property {number} received
 * @property {"network" | "store" | "files"} from  source of the last bytes
 * @property {string} waiting  the failed attempt and the time of the next; empty otherwise
 * @property {Compiled} [compiled]
 */

/**
 * Events during a call. `encode` counts tiles, `prefill` rows. The last `token` of an answer has no `id` where it brings
 * nothing but text that was withheld, since it could have begun a stop string. `recover` comes from the package: the GPU
 * was lost, and the model is loaded again. With `attention`: `attention-pictures` once, and before each token `attention`;
 * its `weights` are the bytes of 32-bit floats `[layers, rows of pictures]`, and `rest` has the sum of all other rows by layer.
 * @typedef {FetchEvent | { type: "recover" } | { type: "encode" | "prefill", done: number, total: number }
 *   | { type: "token", text: string, count: number, id?: number, logprob?: TokenProbability }
 *   | { type: "attention-pictures", pictures: AttentionPicture[] }
 *   | { type: "attention", index: number, id: number, text: string, layers: number, weights: Uint8Array<ArrayBuffer>, rest: number[] }
 *   | { type: "line", text: string } | ({ type: "checked" } & CheckedOperation)} Event
 */

/**
 * Every call of the page: name → [arguments, result].
 * @typedef {object} Calls
 * @property {[{ model: ModelRef, backend: BackendChoice, tuning: string | undefined, threads: Threads,
 *   address: string, code: WebAssembly.Module | null, grammar?: string, ports: MessagePort[] }, Opened]} open
 *   `address` is that of the engine's code, and `code` its compiled module, where it is compiled already; `grammar` is the address of the grammars' code, where it is not beside the worker; `tuning` see PlanOptions; `ports` are those of workers for further threads
 * @property {[null, Probe]} probe
 * @property {[{ quant: Quant, cache_type?: CacheType }, Plan]} choose  before `load`
 * @property {[{ longest_edge: number }, Plan]} pictureSize
 *   after `load` it removes pictures from the engine
 * @property {[{ keep: boolean, context: number | null }, Loaded]} load
 * @property {[null, Storage]} storage
 * @property {[{ bytes: ArrayBuffer, needed: string[] }, Seen]} encode
 *   `needed`: ids of pictures that stay on the device
 * @property {[{ messages: Message[] }, string[]]} missing_pictures  ids to be encoded before `generate`
 * @property {[{ messages: Message[] }, number]} prefill  returns the cached rows
 * @property {[{ messages: Message[], options: GenerateOptions }, Answered]} generate
 *   of a whole conversation; a last message of the assistant is continued, and the answer is what follows it
 * @property {[null, Uint8Array<ArrayBuffer>]} save_state  the last answered messages with their keys and values
 * @property {[{ bytes: Uint8Array }, number]} restore_state  returns the rows
 * @property {[{ options: BenchOptions }, Report]} bench  one event per line of the table
 * @property {[null, null]} check_operations  one event per kind of operation; removes pictures from the engine
 * @property {[null, Tier[]]} tiers  of the GPU; none on the CPU
 * @property {[null, null]} cancel
 * @property {[null, { wasm: number, heap: number, buffers: number }]} memory
 *   bytes in the tab: of the engine, of JavaScript, of parts in flight
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
