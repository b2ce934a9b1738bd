/**
 * An error in a message: the fields of src/error.rs.
 */
export type FailureFields = {
    /**
     * an engine `Kind`, or `network`, `changed`, `storage`, `file`, `crash`, `engine`,
     * `cancelled`, `picture`, `page`
     */
    kind: string;
    /**
     * a file, a tensor, a field, an option
     */
    place: string;
    /**
     * what is wrong, with the numbers
     */
    message: string;
    /**
     * what to do about it
     */
    hint?: string | undefined;
};
export type BackendChoice = "auto" | "webgpu" | "cpu";
/**
 * Number of the engine's threads, itself included, and the reason for no more. `build` is a folder in pkg/; `pages` is
 * the size of the memory that threads may share, 0 in the build without threads.
 */
export type Threads = {
    build: "" | "threads/" | "relaxed/";
    threads: number;
    pages: number;
    why: string;
};
/**
 * Files of the same model with another type of weights.
 */
export type Variant = {
    name: string;
    addresses: string[];
    bytes: number;
};
/**
 * A model as the person named it: by addresses, by files (under the names that the engine knows), or by the key of a
 * model in this browser's storage that came from files.
 */
export type ModelRef = {
    addresses: string[];
    prompt_template?: string;
    traps?: string[];
    variants?: Variant[];
} | {
    files: Record<string, File>;
    entry: string[];
    prompt_template?: string;
} | {
    stored: string;
    prompt_template?: string;
};
/**
 * The source through which the engine reads file headers.
 */
export type Source = {
    /**
     * `null` where the file does not exist
     */
    size: (file: string) => Promise<number | null>;
    /**
     *   shorter only at the end of the file
     */
    read: (file: string, offset: number, bytes: number) => Promise<Uint8Array>;
};
/**
 * `prompt_template` replaces the model's own. `tuning` is an earlier report's tuning of this GPU, as JSON. `quant` is
 * one of the plan's choices, `longest_edge` that of one of its `picture_sizes`.
 */
export type PlanOptions = {
    context?: number;
    prompt_template?: string;
    tuning?: string;
    quant?: "exact" | "q8" | "q4";
    longest_edge?: number;
};
/**
 * Type that the weights of a float checkpoint are quantised to during loading; `null` keeps their own.
 */
export type Quant = "q8" | "q4" | null;
/**
 * One choice of that type. `memory` is in bytes, for `context` rows. The download is the same for all.
 */
export type WeightsOption = {
    quant: Quant;
    memory: number;
    bytes_per_token: number;
};
/**
 * A range of one file, pushed as one piece. `sha256` is the hash that the manifest promises, if any.
 */
export type PlanPart = {
    index: number;
    file: string;
    offset: number;
    bytes: number;
    sha256: string | null;
};
/**
 * A model's description before its weights are fetched. Memory is in bytes, for `context` rows.
 */
export type Plan = {
    name: string;
    /**
     * in order of use
     */
    parts: PlanPart[];
    total_bytes: number;
    parameters?: number | undefined;
    /**
     * other addresses of the files
     */
    mirrors?: string[] | undefined;
    /**
     * for people, such as: a type is stored wider than in the file
     */
    notes?: string[] | undefined;
    file_bytes?: {
        file: string;
        bytes: number;
    }[] | undefined;
    /**
     * `total` with a full context; `conversations`: most for keys and values of other conversations, beside it
     */
    memory?: {
        weights: number;
        cache_per_token: number;
        cache_type: string;
        scratch: number;
        total: number;
        conversations: number;
    } | undefined;
    /**
     * proposed, rows
     */
    context?: number | undefined;
    longest_context?: number | undefined;
    bytes_per_token?: number | undefined;
    /**
     * the chosen one of `choices`
     */
    quant?: Quant | undefined;
    /**
     * the widest first; empty for quantised files
     */
    choices?: WeightsOption[] | undefined;
    /**
     * what a picture of 4:3 takes
     */
    picture?: {
        tiles: number;
        rows: number;
    } | undefined;
    /**
     * of a model that cuts pictures into tiles, the smallest first
     */
    picture_sizes?: PictureSize[] | undefined;
    /**
     * the chosen one of them, pixels
     */
    longest_edge?: number | undefined;
    /**
     * whether it was trained with several pictures in a conversation
     */
    several_pictures?: boolean | undefined;
};
/**
 * A size that pictures are scaled to: its longest side in pixels, and the tiles and rows of a picture of 4:3.
 */
export type PictureSize = {
    longest_edge: number;
    tiles: number;
    rows: number;
};
/**
 * An estimate of this model's speed on this machine, measured in about a second.
 */
export type Probe = {
    decode_tokens_per_second: number;
    prefill_rows_per_second: number;
    /**
     * of the tower for a tile, where it was measured
     */
    tile_seconds?: number | undefined;
    fits: boolean;
    message: string;
};
/**
 * A model in this browser's storage.
 */
export type Stored = {
    key: string;
    name: string;
    /**
     * empty for copies of local files
     */
    addresses: string[];
    /**
     * stored
     */
    bytes: number;
    /**
     * of the whole model; 0 while unknown
     */
    total_bytes: number;
    complete: boolean;
    /**
     * of the last change, ISO 8601
     */
    date: string;
};
/**
 * Storage of the opened model. `kind` is what the browser offers; `full` is the reason why nothing more is stored.
 */
export type Storage = {
    kind: "opfs" | "cache" | "none";
    key: string;
    bytes: number;
    full: string;
};
/**
 * The running model and its device. Before the model is loaded only `backend` and `adapter` are known.
 */
export type Report = {
    backend: string;
    adapter: string;
    /**
     * of the CPU: their number, and the reason for no more
     */
    threads?: string | undefined;
    model?: string | undefined;
    parameters?: number | undefined;
    /**
     * weights, cache and activations
     */
    device_bytes?: number | undefined;
    /**
     * rows: tokens and image patches, that the cache may grow to
     */
    context?: number | undefined;
    cache_type?: string | undefined;
    notes?: string[] | undefined;
    /**
     * rows
     */
    cached?: number | undefined;
    /**
     * of the GPU, in the engine's own format, for the next visit
     */
    tuning?: object | null | undefined;
};
/**
 * Compiled pipelines of those that the model needs; a CPU needs none.
 */
export type Compiled = {
    done: number;
    total: number;
};
export type Opened = {
    plan: Plan;
    report: Report;
    storage: Storage;
};
export type Loaded = {
    report: Report;
    storage: Storage;
};
/**
 * A message: system, then user and assistant. Pictures stand in messages of the user, by the id that their encoding
 * returned; ids of tokens in those of the assistant.
 */
export type Message = {
    role: "system" | "user" | "assistant";
    parts: MessagePart[];
};
export type MessagePart = {
    text: string;
} | {
    image: string;
} | {
    ids: number[];
};
/**
 * An encoded picture: its id (SHA-256 of its file), pixels, rows of the context and tiles; whether the device had it.
 */
export type Encoded = {
    id: string;
    width: number;
    height: number;
    rows: number;
    tiles: number;
    reused: boolean;
    cancelled: boolean;
};
export type Answer = {
    text: string;
    ids: number[];
    prompt_ids: number[];
    /**
     * of the whole prompt
     */
    prompt_rows: number;
    /**
     * of them cached before
     */
    reused_rows: number;
    stop: "eos" | "length" | "context" | "cancelled" | "stop";
    /**
     * with `top_logprobs`: of each of `ids` without those of `begin`
     */
    logprobs?: TokenProbability[] | undefined;
    /**
     * with `keep_logits`: of the last prompt row and of every generated one
     */
    logits?: number[][] | undefined;
};
/**
 * The natural logarithm of a token's probability by the model, before penalties, biases and temperature; `bytes` are
 * its text, perhaps not whole characters.
 */
export type TokenLogprob = {
    id: number;
    logprob: number;
    bytes: number[];
};
/**
 * The same of a chosen token, with the most likely ones in its place.
 */
export type TokenProbability = TokenLogprob & {
    top: TokenLogprob[];
};
/**
 * A rectangle of a picture, in pixels; it may reach beyond the picture, into a border.
 */
export type Region = {
    x: number;
    y: number;
    width: number;
    height: number;
};
/**
 * A picture of a prompt, and the rows that stand for it: their positions in the context, and their rectangles.
 */
export type AttentionPicture = {
    id: string;
    width: number;
    height: number;
    positions: number[];
    regions: Region[];
};
/**
 * Times of an answer, measured by the worker, since the engine has no clock.
 */
export type Timing = {
    /**
     * from the call to the first token
     */
    first_token_ms: number;
    total_ms: number;
    /**
     * of the tokens after the first; 0 if there was none
     */
    tokens_per_second: number;
};
export type Seen = {
    encoded: Encoded;
    encode_ms: number;
    report: Report;
};
export type Answered = {
    answer: Answer;
    timing: Timing;
    report: Report;
};
export type GenerateOptions = {
    max_new_tokens: number;
    temperature: number;
    top_p: number;
    seed: number;
    /**
     * 0 for all
     */
    top_k?: number | undefined;
    /**
     * share of the most likely token's probability
     */
    min_p?: number | undefined;
    /**
     * of tokens in prompt and answer; 1 changes none
     */
    repetition_penalty?: number | undefined;
    /**
     * -2 to 2, per occurrence in the answer
     */
    frequency_penalty?: number | undefined;
    /**
     * -2 to 2, of tokens in the answer
     */
    presence_penalty?: number | undefined;
    /**
     * id → -100 to 100; -100 excludes the token
     */
    logit_bias?: Record<string, number> | undefined;
    /**
     * 0 to 20; absent: no log-probabilities
     */
    top_logprobs?: number | undefined;
    /**
     * texts that end the answer, which does not include them
     */
    stop?: string[] | undefined;
    /**
     * ids of an interrupted answer, to be continued
     */
    begin?: number[] | undefined;
    ignore_eos?: boolean | undefined;
    keep_logits?: boolean | undefined;
    /**
     * sends the attention by which each token was chosen, those of `begin` included
     */
    attention?: boolean | undefined;
    /**
     * what the answer must be; the worker makes a constraint of it
     */
    response_format?: ResponseFormat | undefined;
};
/**
 * What an answer must be: OpenAI's `response_format`, with regular expressions and Lark grammars in addition.
 */
export type ResponseFormat = {
    type: "text";
} | {
    type: "json_object";
} | {
    type: "json_schema";
    json_schema: {
        schema: unknown;
    };
} | {
    type: "regex";
    regex: string;
} | {
    type: "grammar";
    grammar: string;
};
/**
 * What may come next in one answer, for the engine.
 */
export type Constraint = {
    /**
     * of the next step: a bit for each token, set where it is allowed
     */
    mask: () => Uint32Array;
    /**
     * records the sampled token; whether the answer must end here
     */
    accept: (token: number) => boolean;
};
/**
 * Options of the measurement in src/measure/stages.rs.
 */
export type BenchOptions = {
    rows?: number;
    tokens?: number;
    repeat?: number;
    operations?: boolean;
};
/**
 * Error of one kind of operation on this device, normalised mean square error against its twin; see
 * src/measure/check.rs.
 */
export type CheckedOperation = {
    pass: string;
    operation: string;
    error: number;
    bound: number;
};
/**
 * One way of the GPU to compute everything: `plain`, `tiles`, `f16` or `int8`, with the tuning that passes are recorded
 * with.
 */
export type Tier = {
    name: string;
    tuning: object;
};
/**
 * Progress of the weights. `received` counts the bytes from the network in this call; `waiting` describes a pending
 * retry; `compiled` is the progress of the shaders.
 */
export type FetchEvent = {
    type: "fetch";
    done: number;
    total: number;
    received: number;
    /**
     * source of the last bytes
     */
    from: "network" | "store" | "files";
    /**
     * the failed attempt and the time of the next; empty otherwise
     */
    waiting: string;
    compiled?: Compiled | undefined;
};
/**
 * Events during a call. `encode` counts tiles, `prefill` rows. The last `token` of an answer has no `id` where it brings
 * nothing but text that was withheld, since it could have begun a stop string. `recover` comes from the package: the GPU
 * was lost, and the model is loaded again. With `attention`: `attention-pictures` once, and before each token `attention`;
 * its `weights` are the bytes of 32-bit floats `[layers, rows of pictures]`, and `rest` has the sum of all other rows by layer.
 */
export type Event = FetchEvent | {
    type: "recover";
} | {
    type: "encode" | "prefill";
    done: number;
    total: number;
} | {
    type: "token";
    text: string;
    count: number;
    id?: number;
    logprob?: TokenProbability;
} | {
    type: "attention-pictures";
    pictures: AttentionPicture[];
} | {
    type: "attention";
    index: number;
    id: number;
    text: string;
    layers: number;
    weights: Uint8Array<ArrayBuffer>;
    rest: number[];
} | {
    type: "line";
    text: string;
} | ({
    type: "checked";
} & CheckedOperation);
/**
 * Every call of the page: name → [arguments, result].
 */
export type Calls = {
    /**
     *   `address` is that of the engine's code, and `code` its compiled module, where it is compiled already; `grammar` is the address of the grammars' code, where it is not beside the worker; `tuning` see PlanOptions; `ports` are those of workers for further threads
     */
    open: [{
        model: ModelRef;
        backend: BackendChoice;
        tuning: string | undefined;
        threads: Threads;
        address: string;
        code: WebAssembly.Module | null;
        grammar?: string;
        ports: MessagePort[];
    }, Opened];
    probe: [null, Probe];
    /**
     * before `load`
     */
    choose: [{
        quant: Quant;
    }, Plan];
    /**
     *   after `load` it removes pictures from the engine
     */
    pictureSize: [{
        longest_edge: number;
    }, Plan];
    load: [{
        keep: boolean;
        context: number | null;
    }, Loaded];
    storage: [null, Storage];
    /**
     *   `needed`: ids of pictures that stay on the device
     */
    encode: [{
        bytes: ArrayBuffer;
        needed: string[];
    }, Seen];
    /**
     * ids to be encoded before `generate`
     */
    missing_pictures: [{
        messages: Message[];
    }, string[]];
    /**
     * returns the cached rows
     */
    prefill: [{
        messages: Message[];
    }, number];
    /**
     *   of a whole conversation; a last message of the assistant is continued, and the answer is what follows it
     */
    generate: [{
        messages: Message[];
        options: GenerateOptions;
    }, Answered];
    /**
     * the last answered messages with their keys and values
     */
    save_state: [null, Uint8Array<ArrayBuffer>];
    /**
     * returns the rows
     */
    restore_state: [{
        bytes: Uint8Array;
    }, number];
    /**
     * one event per line of the table
     */
    bench: [{
        options: BenchOptions;
    }, Report];
    /**
     * one event per kind of operation; removes pictures from the engine
     */
    check_operations: [null, null];
    /**
     * of the GPU; none on the CPU
     */
    tiers: [null, Tier[]];
    cancel: [null, null];
    /**
     *   bytes in the tab: of the engine, of JavaScript, of parts in flight
     */
    memory: [null, {
        wasm: number;
        heap: number;
        buffers: number;
    }];
    files: [null, string[]];
    stored: [null, {
        kind: Storage["kind"];
        models: Stored[];
    }];
    forget: [{
        key: string;
    }, null];
};
export type Method = keyof Calls;
export type CallMessage = {
    id: number;
    method: Method;
    args: unknown;
};
export type ReplyMessage = {
    id: number;
    value: unknown;
} | {
    id: number;
    failure: FailureFields;
} | {
    id: number;
    event: Event;
} | {
    crash: FailureFields;
};
