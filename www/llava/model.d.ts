/** A model that `LLaVA.load` has loaded. */
export class Model {
    /** @param {Inspection} inspection @param {Loaded} loaded @param {LoadOptions} agreed */
    constructor(inspection: Inspection, { report }: Loaded, agreed: LoadOptions);
    /** The running model and its device. @type {import("../shared/protocol.js").Report} */
    report: import("../shared/protocol.js").Report;
    /** Connection to the engine's worker. @internal @type {import("./engine-link.js").EngineLink} */
    link: import("./engine-link.js").EngineLink;
    /** OpenAI's `chat.completions.create`; src/docs/openai.md lists what is supported. @type {ChatSurface["chat"]} */
    chat: ChatSurface["chat"];
    /** Encodes a picture before it is needed. @type {ChatSurface["encode"]} */
    encode: ChatSurface["encode"];
    /** Computes keys and values of messages before their answer is wanted. @type {ChatSurface["prefill"]} */
    prefill: ChatSurface["prefill"];
    /** Finds where an answer looked, the last of the messages. @type {ChatSurface["attention"]} */
    attention: ChatSurface["attention"];
    /** Returns the keys and values of the messages that were answered last. @type {ChatSurface["save"]} */
    save: ChatSurface["save"];
    /** Restores what `save` returned. @type {ChatSurface["restore"]} */
    restore: ChatSurface["restore"];
    /** Measures the model on this device, by stage and by operation. Removes pictures and conversations from the engine.
     * Returns lines of CSV; `onProgress` receives each as an event `line`. @type {ChatSurface["bench"]} */
    bench: ChatSurface["bench"];
    /** Answers OpenAI's requests in this page, in the form of `fetch`. @type {ChatSurface["fetch"]} */
    fetch: ChatSurface["fetch"];
    /** Name of the model, for people. */
    get name(): string;
    /** The plan by which it was loaded. */
    get plan(): import("../shared/protocol.js").Plan;
    /** What of the model is saved in this browser; `full` is the reason where not all of it is. */
    get storage(): import("../shared/protocol.js").Storage;
    /** Sizes of pictures that `setPictureSize` takes; see `Inspection`. */
    get picture_sizes(): {
        seconds: number | null;
        longest_edge: number;
        tiles: number;
        rows: number;
    }[];
    /** Reason for the size of pictures; empty where it is the checkpoint's own. */
    get picture_size_why(): string;
    /** Identifies the build of the engine, by the headers of its file. */
    get engineVersion(): Promise<string>;
    /** Whether `close` was called. */
    get closed(): boolean;
    /** Lists the addresses of the package's files that this page has used or may use, for a service worker that keeps
     * them. Where a bundler has placed the scripts, they are in its own list.
     * @returns {Promise<string[]>} */
    files(): Promise<string[]>;
    /** Scales pictures to another longest side, pixels; one of `picture_sizes`. It removes pictures and conversations
     * from the engine.
     * @param {number} longest_edge */
    setPictureSize(longest_edge: number): Promise<void>;
    /** Loads the model into a new worker, as after a lost GPU. Pictures and conversations are lost.
     * @param {Pick<LoadOptions, "onProgress" | "signal">} [how] */
    reload(how?: Pick<LoadOptions, "onProgress" | "signal">): Promise<void>;
    /** Replaces a lost GPU.
     * @param {unknown} thrown @param {Pick<LoadOptions, "onProgress" | "signal">} [how]
     * @returns {Promise<boolean>} whether the model is loaded again; false for every other failure, and where the GPU is
     *   lost too often */
    recovered(thrown: unknown, how?: Pick<LoadOptions, "onProgress" | "signal">): Promise<boolean>;
    /** Ends the engine: frees its worker, its memory and the GPU's. Pending calls reject with an error of kind "closed",
     * and so do later ones. */
    close(): void;
    #private;
}
export type Loaded = import("../shared/protocol.js").Loaded;
export type ChatSurface = import("./chat/create-chat.js").ChatSurface;
export type Inspection = import("./inspection.js").Inspection;
export type LoadOptions = import("./inspection.js").LoadOptions;
