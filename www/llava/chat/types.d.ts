export type ChatStream = import("./chat-stream.js").ChatStream;
/**
 * A picture: a file, or an element, canvas or frame whose pixels are read when the call is made.
 */
export type ImageInput = Blob | ImageData | ImageBitmap | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | VideoFrame;
export type TextPart = {
    type: "text";
    text: string;
};
/**
 * `url` is a `data:`, `blob:`, `https:` or `http:` address, or one relative to this page. `detail` has no effect: the
 * model's own size of pictures holds.
 */
export type ImageUrlPart = {
    type: "image_url";
    image_url: {
        url: string;
        detail?: "auto" | "low" | "high";
    };
};
/**
 * An extension of OpenAI's parts.
 */
export type ImagePart = {
    type: "image";
    image: ImageInput;
};
export type ContentPart = TextPart | ImageUrlPart | ImagePart;
/**
 * Only a user's message may have pictures. An assistant's message at the end is continued.
 */
export type ChatMessage = {
    role: "system" | "developer" | "user" | "assistant";
    content: string | readonly ContentPart[];
};
/**
 * The last two are extensions: a regular expression, and a grammar of llguidance's Lark dialect.
 */
export type ResponseFormat = {
    type: "text";
} | {
    type: "json_object";
} | {
    type: "json_schema";
    json_schema: {
        name?: string;
        description?: string;
        schema?: Record<string, unknown>;
        strict?: boolean | null;
    };
} | {
    type: "regex";
    regex: string;
} | {
    type: "grammar";
    grammar: string;
};
/**
 * A request. `null` means the same as absence, in every field.
 */
export type ChatRequest = {
    messages: readonly ChatMessage[];
    /**
     * has no effect: the loaded model answers
     */
    model?: string | undefined;
    stream?: boolean | null | undefined;
    stream_options?: {
        include_usage?: boolean;
        include_obfuscation?: boolean;
    } | null | undefined;
    /**
     * of the answer; without it, as many as the context has room for
     */
    max_completion_tokens?: number | null | undefined;
    /**
     * an older name of it
     */
    max_tokens?: number | null | undefined;
    /**
     * 0 to 2; 0, the default, takes the most likely token
     */
    temperature?: number | null | undefined;
    /**
     * 0 to 1
     */
    top_p?: number | null | undefined;
    /**
     * 0, the default, samples from all tokens
     */
    top_k?: number | null | undefined;
    /**
     * 0 to 1, of the most likely token's probability
     */
    min_p?: number | null | undefined;
    /**
     * of the sampler; random without it
     */
    seed?: number | null | undefined;
    /**
     * texts that end the answer, up to 16
     */
    stop?: string | readonly string[] | null | undefined;
    /**
     * -2 to 2
     */
    frequency_penalty?: number | null | undefined;
    /**
     * -2 to 2
     */
    presence_penalty?: number | null | undefined;
    /**
     * above 0; 1 is off; that of transformers
     */
    repetition_penalty?: number | null | undefined;
    /**
     * -100 to 100, by token
     */
    logit_bias?: Record<string, number> | null | undefined;
    logprobs?: boolean | null | undefined;
    /**
     * 0 to 20
     */
    top_logprobs?: number | null | undefined;
    response_format?: ResponseFormat | null | undefined;
    /**
     * an extension: whether the answer says where each of its tokens looked
     */
    attention?: boolean | null | undefined;
    /**
     * 1
     */
    n?: number | null | undefined;
    signal?: AbortSignal | null | undefined;
};
/**
 * What a call may be given besides its request. `onProgress` receives the engine's events of encoding and prefilling;
 * where a lost GPU is replaced during the call, `recover`, and `fetch` while the model is loaded again.
 */
export type CallOptions = {
    signal?: AbortSignal | null;
    onProgress?: (event: import("../../shared/protocol.js").Event) => void;
};
export type TopLogprob = {
    token: string;
    bytes: number[] | null;
    logprob: number;
};
export type ChatTokenLogprob = TopLogprob & {
    top_logprobs: TopLogprob[];
};
export type Logprobs = {
    content: ChatTokenLogprob[];
    refusal: null;
};
/**
 * Rows of pictures count as tokens. Cached are those whose keys and values an earlier call had computed.
 */
export type Usage = {
    prompt_tokens: number;
    completion_tokens: number;
    total_tokens: number;
    prompt_tokens_details: {
        cached_tokens: number;
    };
};
/**
 * Durations of a call, an extension of OpenAI's answers. `first_token_ms` is the time from the start of the prefill to
 * the first token.
 */
export type Timings = {
    first_token_ms: number;
    total_ms: number;
    tokens_per_second: number;
};
/**
 * Where the row that chose a token looked, as a mean over the heads: `weights [layers, rows]` of the rows of all pictures,
 * `rest [layers]` of all other rows. For each layer they add to 1. `text` is what the token adds to the answer.
 */
export type TokenAttention = {
    id: number;
    text: string;
    weights: Float32Array<ArrayBuffer>;
    rest: number[];
};
/**
 * Where an answer looked, an extension of OpenAI's answers; `attentionRaster` makes maps of it.
 */
export type AnswerAttention = {
    layers: number;
    pictures: AttentionPicture[];
    tokens: TokenAttention[];
};
/**
 * A picture of the prompt: its id (SHA-256 of its file), its pixels, the positions of its rows in the context, and the
 * rectangle of the picture that each row stands for. Of a picture in tiles, several cover a place.
 */
export type AttentionPicture = import("../../shared/protocol.js").AttentionPicture;
export type FinishReason = "stop" | "length";
/**
 * What ended an answer, an extension: the model, its limit, the end of the context, a stop text, or `controller.abort()` of
 * its stream.
 */
export type StopReason = "eos" | "length" | "context" | "stop" | "cancelled";
/**
 * An answer.
 */
export type ChatCompletion = {
    id: string;
    object: "chat.completion";
    /**
     * seconds since 1970
     */
    created: number;
    model: string;
    /**
     * one
     */
    choices: {
        index: 0;
        message: {
            role: "assistant";
            content: string;
            refusal: null;
        };
        finish_reason: FinishReason;
        logprobs: Logprobs | null;
    }[];
    usage: Usage;
    timings: Timings;
    stop_reason: StopReason;
    /**
     * with `attention`
     */
    attention?: AnswerAttention | undefined;
};
/**
 * A piece of an answer.
 */
export type ChatCompletionChunk = {
    /**
     * the same in all chunks of an answer
     */
    id: string;
    object: "chat.completion.chunk";
    created: number;
    model: string;
    /**
     * one; none in the chunk of `usage`
     */
    choices: {
        index: 0;
        delta: {
            role?: "assistant";
            content?: string;
            refusal?: null;
        };
        finish_reason: FinishReason | null;
        logprobs: Logprobs | null;
    }[];
    /**
     * with `include_usage`: `null`, but for the last chunk
     */
    usage?: Usage | null | undefined;
    /**
     * in the last chunk with a choice
     */
    timings?: Timings | undefined;
    /**
     * in the same
     */
    stop_reason?: StopReason | undefined;
    /**
     * in the same, with `attention`
     */
    attention?: AnswerAttention | undefined;
};
/**
 * The answer to a request, by its `stream`.
 */
export type ChatAnswer<R extends ChatRequest> = "stream" extends keyof R ? true extends R["stream"] ? R["stream"] extends true ? ChatStream : ChatStream | ChatCompletion : ChatCompletion : ChatCompletion;
/**
 * An encoded picture: the SHA-256 of its file, its pixels, the tokens that it takes of the context, its tiles; whether the
 * device had it already, and the duration. `image` is the file that was encoded: a drawing by the browser where the engine
 * does not read the picture's own.
 */
export type EncodedPicture = {
    id: string;
    width: number;
    height: number;
    tokens: number;
    tiles: number;
    reused: boolean;
    encode_ms: number;
    image: Blob;
};
/**
 * Everything that `create` has read from a request. `messages` still name pictures by their source.
 */
export type CheckedRequest = {
    messages: SourceMessage[];
    options: EngineOptions;
    stream: boolean;
    includeUsage: boolean;
    logprobs: boolean;
    signal: AbortSignal | null;
};
export type SourcePart = {
    text: string;
} | {
    source: string | ImageInput;
    where: string;
};
export type SourceMessage = {
    role: "system" | "user" | "assistant";
    parts: SourcePart[];
};
export type EngineOptions = import("../../shared/protocol.js").GenerateOptions;
