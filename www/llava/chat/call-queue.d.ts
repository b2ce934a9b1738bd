/** @typedef {import("../../shared/protocol.js").Calls} Calls */
/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("../../shared/protocol.js").Method} Method */
/** How a call is made. `stop` ends it early; what it has by then is its result.
 * @typedef {{ onEvent?: (event: Event) => void, transfer?: Transferable[], stop?: AbortSignal | null }} CallHow */
/** What calls the engine: the package's connection to its worker.
 * @typedef {{ call: <M extends Method>(method: M, args: Calls[M][0],
 *   how?: { onEvent?: (event: Event) => void, transfer?: Transferable[] }) => Promise<Calls[M][1]> }} Link */
/** @typedef {<M extends Method>(method: M, args: Calls[M][0], how?: CallHow) => Promise<Calls[M][1]>} EngineCall */
/** Replaces a lost GPU, with events of it; returns false for every other failure.
 * @typedef {(thrown: unknown, onProgress?: (event: Event) => void) => Promise<boolean>} Recovered */
export class CallQueue {
    /** @param {Link} link @param {Recovered} recovered */
    constructor(link: Link, recovered: Recovered);
    link: Link;
    recovered: Recovered;
    /**
     * Runs `work` alone, and again after a lost GPU. When `signal` aborts, it rejects at once, `work` is not begun or is
     * cancelled, and the next call waits until the engine has stopped.
     * @template T
     * @param {AbortSignal | null} signal @param {string} where for the error
     * @param {(call: EngineCall) => Promise<T>} work
     * @param {(event: Event) => void} [onProgress] receives events while a lost GPU is replaced @returns {Promise<T>}
     */
    run<T>(signal: AbortSignal | null, where: string, work: (call: EngineCall) => Promise<T>, onProgress?: (event: Event) => void): Promise<T>;
    #private;
}
export type Calls = import("../../shared/protocol.js").Calls;
export type Event = import("../../shared/protocol.js").Event;
export type Method = import("../../shared/protocol.js").Method;
/**
 * How a call is made. `stop` ends it early; what it has by then is its result.
 */
export type CallHow = {
    onEvent?: (event: Event) => void;
    transfer?: Transferable[];
    stop?: AbortSignal | null;
};
/**
 * What calls the engine: the package's connection to its worker.
 */
export type Link = {
    call: <M extends Method>(method: M, args: Calls[M][0], how?: {
        onEvent?: (event: Event) => void;
        transfer?: Transferable[];
    }) => Promise<Calls[M][1]>;
};
export type EngineCall = <M extends Method>(method: M, args: Calls[M][0], how?: CallHow) => Promise<Calls[M][1]>;
/**
 * Replaces a lost GPU, with events of it; returns false for every other failure.
 */
export type Recovered = (thrown: unknown, onProgress?: (event: Event) => void) => Promise<boolean>;
