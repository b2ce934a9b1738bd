export function cancelled(message: string, cause?: unknown): Failure;
export class EngineLink {
    /** @param {(failure: Failure) => void} onCrash @param {EngineOptions} [options] */
    constructor(onCrash: (failure: Failure) => void, options?: EngineOptions);
    onCrash: (failure: Failure) => void;
    options: import("./engine-options.js").EngineOptions;
    /** Identifies the engine's build. @returns {Promise<string>} */
    get version(): Promise<string>;
    /**
     * Opens a model in a new worker, and returns its plan. The memory of the last worker is freed with it.
     * @param {ModelRef} model
     * @param {BackendChoice} backend
     * @param {object} [given] the GPU's tuning, in place of the remembered one
     */
    open(model: ModelRef, backend: BackendChoice, given?: object): Promise<import("../shared/protocol.js").Opened>;
    /** Stores a measured tuning for the next visit. @param {import("../shared/protocol.js").Report} report */
    rememberTuning({ tuning }: import("../shared/protocol.js").Report): Promise<void>;
    /** Returns what proof.html has found of this GPU with this engine. */
    verdict(): Promise<Verdict | undefined>;
    /** Stores a verdict, and the tuning that is used from now on. @param {Verdict} verdict @param {object | undefined} tuning */
    rememberVerdict(verdict: Verdict, tuning: object | undefined): Promise<void>;
    /** Creates a second link with the same crash listener; it ends with this one. */
    openSecond(): EngineLink;
    /** Takes over the worker of `other`, in place of its own. @param {EngineLink} other */
    replaceWith(other: EngineLink): void;
    /** Ends the worker: pending calls reject with `why`, and so do later ones where that is `final`.
     * @param {Failure} [why] @param {boolean} [final] */
    close(why?: Failure, final?: boolean): void;
    /**
     * @template {Method} M
     * @param {M} method
     * @param {Calls[M][0]} args
     * @param {{ onEvent?: (event: Event) => void, transfer?: Transferable[] }} [how]
     * @returns {Promise<Calls[M][1]>}
     */
    call<M extends Method>(method: M, args: Calls[M][0], how?: {
        onEvent?: (event: Event) => void;
        transfer?: Transferable[];
    }): Promise<Calls[M][1]>;
    #private;
}
export type BackendChoice = import("../shared/protocol.js").BackendChoice;
export type Calls = import("../shared/protocol.js").Calls;
export type Event = import("../shared/protocol.js").Event;
export type Method = import("../shared/protocol.js").Method;
export type ModelRef = import("../shared/protocol.js").ModelRef;
export type EngineOptions = import("./engine-options.js").EngineOptions;
/**
 * What proof.html has found of a GPU: the tiers with right and with wrong results, and the day.
 */
export type Verdict = {
    right: string[];
    wrong: string[];
    date: string;
};
import { Failure } from "../shared/failure.js";
