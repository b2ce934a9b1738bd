/** @typedef {import("../shared/protocol.js").BackendChoice} BackendChoice */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {Opened["plan"]} Plan */
/** @typedef {import("../shared/protocol.js").Probe} Probe */
/** @typedef {import("./weights.js").QuantName} QuantName */
/** What may be chosen before loading: the type of a float checkpoint's weights, the longest side that pictures are
 * scaled to in pixels (one of the plan's `picture_sizes`), and the rows of the context.
 * @typedef {{ quant?: QuantName, longest_edge?: number, context?: number }} Choices */
/**
 * Options of `LLaVA.inspect`. `choose` is called when the plan is known, and may choose by it. `onCrash` is called
 * when the engine's worker has ended by itself; pending calls reject with the same error.
 * @typedef {Choices & import("./engine-options.js").EngineOptions & { backend?: BackendChoice, signal?: AbortSignal,
 *   choose?: (opened: Opened) => Choices | undefined, onCrash?: (error: Failure) => void }} InspectOptions
 */
/** Options of loading. `keep`: whether the model is saved in this browser; not for local files unless it is true.
 * @typedef {{ onProgress?: (event: import("../shared/protocol.js").Event) => void, signal?: AbortSignal,
 *   keep?: boolean, context?: number }} LoadOptions */
/** A model that `LLaVA.inspect` has opened. */
export class Inspection {
    /** Opens a model. @param {ModelRef} model @param {InspectOptions} options @returns {Promise<Inspection>} */
    static open(model: ModelRef, options: InspectOptions): Promise<Inspection>;
    /** @param {EngineLink} link @param {ModelRef} model @param {InspectOptions} options @param {Opened} opened
     * @param {{ why: string, weights: import("./weights.js").Weights, size: import("./picture-size.js").SizeChoice,
     *   probe?: Probe | null }} found @param {Choices} choices */
    constructor(link: EngineLink, model: ModelRef, options: InspectOptions, opened: Opened, { why, weights, size, probe }: {
        why: string;
        weights: import("./weights.js").Weights;
        size: import("./picture-size.js").SizeChoice;
        probe?: Probe | null;
    }, choices: Choices);
    /** The plan: bytes to fetch, memory, context, choices. @type {Plan} */
    plan: Plan;
    /** The device. @type {import("../shared/protocol.js").Report} */
    report: import("../shared/protocol.js").Report;
    /** What of the model is saved in this browser. @type {import("../shared/protocol.js").Storage} */
    storage: import("../shared/protocol.js").Storage;
    /** The last estimate of the speed, if one was made for this plan. @type {Probe | null} */
    probe: Probe | null;
    /** Connection to the engine's worker. @internal @type {EngineLink} */
    link: EngineLink;
    /** @internal @type {InspectOptions} */
    options: InspectOptions;
    /** Size of pictures, with the time that they take. @internal @type {import("./picture-size.js").SizeChoice} */
    size: import("./picture-size.js").SizeChoice;
    /** The model that the reference means. */
    model: import("../shared/protocol.js").ModelRef;
    /** Reason for the choice of the backend. */
    why: string;
    /** Type of the weights, with the reason for it. */
    weights: import("./weights.js").Weights;
    /** Rows of the context, where they were chosen. */
    context: number | undefined;
    /** Bytes that are not yet saved in this browser. */
    get missing_bytes(): number;
    /** Sizes that pictures can be scaled to, the smallest first, with the seconds that a picture takes here where that is
     * known; empty where there is only one. */
    get picture_sizes(): {
        seconds: number | null;
        longest_edge: number;
        tiles: number;
        rows: number;
    }[];
    /** Reason for the size of pictures; empty where it is the checkpoint's own. @returns {string} */
    get picture_size_why(): string;
    /** Corrects the pace of pictures by one that was encoded: the fastest counts, since a picture's encoding may include
     * earlier turns. Rows grow with tiles, so that the time of a tile includes them. @internal
     * @param {import("../shared/protocol.js").Seen} seen */
    learnPace({ encoded, encode_ms }: import("../shared/protocol.js").Seen): void;
    /** Estimates the speed on this machine, in about a second; `null` where the device failed to run the estimate. `fits`
     * says whether the model fits its memory.
     * @returns {Promise<Probe | null>} */
    estimate(): Promise<Probe | null>;
    /** Plans again with another type of weights, size of pictures, or context.
     * @param {Choices} choices @returns {Promise<Plan>} */
    choose({ quant, longest_edge, context }: Choices): Promise<Plan>;
    /** Loads the model. After a failure of the network, or after it was aborted, it may be called again: what has arrived
     * is kept.
     * @param {LoadOptions} [options] @returns {Promise<Model>} */
    load({ onProgress, signal, keep, context }?: LoadOptions): Promise<Model>;
    /** Loads the model into a new worker, with the same choices; for `Model.reload`. @internal
     * @param {LoadOptions} options @param {() => void} check throws when the model was closed meanwhile */
    loadAgain(options: LoadOptions, check: () => void): Promise<import("../shared/protocol.js").Loaded>;
    /** Ends the engine, unless its model was loaded: that is then closed by itself. */
    close(): void;
    #private;
}
export type BackendChoice = import("../shared/protocol.js").BackendChoice;
export type ModelRef = import("../shared/protocol.js").ModelRef;
export type Opened = import("../shared/protocol.js").Opened;
export type Plan = Opened["plan"];
export type Probe = import("../shared/protocol.js").Probe;
export type QuantName = import("./weights.js").QuantName;
/**
 * What may be chosen before loading: the type of a float checkpoint's weights, the longest side that pictures are
 * scaled to in pixels (one of the plan's `picture_sizes`), and the rows of the context.
 */
export type Choices = {
    quant?: QuantName;
    longest_edge?: number;
    context?: number;
};
/**
 * Options of `LLaVA.inspect`. `choose` is called when the plan is known, and may choose by it. `onCrash` is called
 * when the engine's worker has ended by itself; pending calls reject with the same error.
 */
export type InspectOptions = Choices & import("./engine-options.js").EngineOptions & {
    backend?: BackendChoice;
    signal?: AbortSignal;
    choose?: (opened: Opened) => Choices | undefined;
    onCrash?: (error: Failure) => void;
};
/**
 * Options of loading. `keep`: whether the model is saved in this browser; not for local files unless it is true.
 */
export type LoadOptions = {
    onProgress?: (event: import("../shared/protocol.js").Event) => void;
    signal?: AbortSignal;
    keep?: boolean;
    context?: number;
};
import { EngineLink } from "./engine-link.js";
import { Model } from "./model.js";
import { Failure } from "../shared/failure.js";
