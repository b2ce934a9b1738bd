// Types of requests and answers: OpenAI's chat completions, as far as they are supported. This file has no code that runs.

/** @typedef {import("./chat-stream.js").ChatStream} ChatStream */

/** A picture: a file, or an element, canvas or frame whose pixels are read when the call is made.
 * @typedef {Blob | ImageData | ImageBitmap | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas
 *   | VideoFrame} ImageInput */

/** @typedef {{ type: "text", text: string }} TextPart */
/** `url` is a `data:`, `blob:`, `https:` or `http:` address, or one relative to this page. `detail` has no effect: the
 * model's own size of pictures holds.
 * @typedef {{ type: "image_url", image_url: { url: string, detail?: "auto" | "low" | "high" } }} ImageUrlPart */
/** An extension of OpenAI's parts. @typedef {{ type: "image", image: ImageInput }} ImagePart */
/** @typedef {TextPart | ImageUrlPart | ImagePart} ContentPart */

/** Only a user's message may have pictures. An assistant's message at the end is continued.
 * @typedef {{ role: "system" | "developer" | "user" | "assistant", content: string | readonly ContentPart[] }} ChatMessage */

/** The last two are extensions: a regular expression, and a grammar of llguidance's Lark dialect.
 * @typedef {{ type: "text" } | { type: "json_object" }
 *   | { type: "json_schema", json_schema: { name?: string, description?: string, schema?: Record<string, unknown>,
 *       strict?: boolean | null } }
 *   | { type: "regex", regex: string } | { type: "grammar", grammar: string }} ResponseFormat */

/**
 * A request. `null` means the same as absence, in every field.
 * @typedef {object} ChatRequest
 * @property {readonly ChatMessage[]} messages
 * @property {string} [model]  has no effect: the loaded model answers
 * @property {boolean | null} [stream]
 * @property {{ include_usage?: boolean, include_obfuscation?: boolean } | null} [stream_options]
 * @property {number | null} [max_completion_tokens]  of the answer; without it, as many as the context has room for
 * @property {number | null} [max_tokens]  an older name of it
 * @property {number | null} [temperature]  0 to 2; 0, the default, takes the most likely token
 * @property {number | null} [top_p]  0 to 1
 * @property {number | null} [top_k]  0, the default, samples from all tokens
 * @property {number | null} [min_p]  0 to 1, of the most likely token's probability
 * @property {number | null} [seed]  of the sampler; random without it
 * @property {string | readonly string[] | null} [stop]  texts that end the answer, up to 16
 * @property {number | null} [frequency_penalty]  -2 to 2
 * @property {number | null} [presence_penalty]  -2 to 2
 * @property {number | null} [repetition_penalty]  above 0; 1 is off; that of transformers
 * @property {Record<string, number> | null} [logit_bias]  -100 to 100, by token
 * @property {boolean | null} [logprobs]
 * @property {number | null} [top_logprobs]  0 to 20
 * @property {ResponseFormat | null} [response_format]
 * @property {boolean | null} [attention]  an extension: whether the answer says where each of its tokens looked
 * @property {number | null} [n]  1
 * @property {AbortSignal | null} [signal]
 */

/** What a call may be given besides its request. `onProgress` receives the engine's events of encoding and prefilling;
 * where a lost GPU is replaced during the call, `recover`, and `fetch` while the model is loaded again.
 * @typedef {{ signal?: AbortSignal | null, onProgress?: (event: import("../../shared/protocol.js").Event) => void }} CallOptions */

/** @typedef {{ token: string, bytes: number[] | null, logprob: number }} TopLogprob */
/** @typedef {TopLogprob & { top_logprobs: TopLogprob[] }} ChatTokenLogprob */
/** @typedef {{ content: ChatTokenLogprob[], refusal: null }} Logprobs */

/** Rows of pictures count as tokens. Cached are those whose keys and values an earlier call had computed.
 * @typedef {{ prompt_tokens: number, completion_tokens: number, total_tokens: number,
 *   prompt_tokens_details: { cached_tokens: number } }} Usage */

/** Durations of a call, an extension of OpenAI's answers. `first_token_ms` is the time from the start of the prefill to
 * the first token.
 * @typedef {{ first_token_ms: number, total_ms: number, tokens_per_second: number }} Timings */

/** Where the row that chose a token looked, as a mean over the heads: `weights [layers, rows]` of the rows of all pictures,
 * `rest [layers]` of all other rows. For each layer they add to 1. `text` is what the token adds to the answer.
 * @typedef {{ id: number, text: string, weights: Float32Array<ArrayBuffer>, rest: number[] }} TokenAttention */
/** Where an answer looked, an extension of OpenAI's answers; `attentionRaster` makes maps of it.
 * @typedef {{ layers: number, pictures: AttentionPicture[], tokens: TokenAttention[] }} AnswerAttention */
/** A picture of the prompt: its id (SHA-256 of its file), its pixels, the positions of its rows in the context, and the
 * rectangle of the picture that each row stands for. Of a picture in tiles, several cover a place.
 * @typedef {import("../../shared/protocol.js").AttentionPicture} AttentionPicture */

/** @typedef {"stop" | "length"} FinishReason */
/** What ended an answer, an extension: the model, its limit, the end of the context, a stop text, or `controller.abort()` of
 * its stream. @typedef {"eos" | "length" | "context" | "stop" | "cancelled"} StopReason */

/**
 * An answer.
 * @typedef {object} ChatCompletion
 * @property {string} id
 * @property {"chat.completion"} object
 * @property {number} created  seconds since 1970
 * @property {string} model
 * @property {{ index: 0, message: { role: "assistant", content: string, refusal: null },
 *   finish_reason: FinishReason, logprobs: Logprobs | null }[]} choices  one
 * @property {Usage} usage
 * @property {Timings} timings
 * @property {StopReason} stop_reason
 * @property {AnswerAttention} [attention]  with `attention`
 */

/**
 * A piece of an answer.
 * @typedef {object} ChatCompletionChunk
 * @property {string} id  the same in all chunks of an answer
 * @property {"chat.completion.chunk"} object
 * @property {number} created
 * @property {string} model
 * @property {{ index: 0, delta: { role?: "assistant", content?: string, refusal?: null },
 *   finish_reason: FinishReason | null, logprobs: Logprobs | null }[]} choices  one; none in the chunk of `usage`
 * @property {Usage | null} [usage]  with `include_usage`: `null`, but for the last chunk
 * @property {Timings} [timings]  in the last chunk with a choice
 * @property {StopReason} [stop_reason]  in the same
 * @property {AnswerAttention} [attention]  in the same, with `attention`
 */

/** The answer to a request, by its `stream`.
 * @template {ChatRequest} R
 * @typedef {"stream" extends keyof R
 *   ? true extends R["stream"] ? R["stream"] extends true ? ChatStream : ChatStream | ChatCompletion : ChatCompletion
 *   : ChatCompletion} ChatAnswer */

/** An encoded picture: the SHA-256 of its file, its pixels, the tokens that it takes of the context, its tiles; whether the
 * device had it already, and the duration. `image` is the file that was encoded: a drawing by the browser where the engine
 * does not read the picture's own.
 * @typedef {{ id: string, width: number, height: number, tokens: number, tiles: number, reused: boolean, encode_ms: number,
 *   image: Blob }} EncodedPicture */

/** Everything that `create` has read from a request. `messages` still name pictures by their source.
 * @typedef {{ messages: SourceMessage[], options: EngineOptions, stream: boolean, includeUsage: boolean, logprobs: boolean,
 *   signal: AbortSignal | null }} CheckedRequest */
/** @typedef {{ text: string } | { source: string | ImageInput, where: string }} SourcePart */
/** @typedef {{ role: "system" | "user" | "assistant", parts: SourcePart[] }} SourceMessage */
/** @typedef {import("../../shared/protocol.js").GenerateOptions} EngineOptions */

export {};
