/**
 * The worker's side of the calls: answers them with `handlers`, which may cover a part of the methods.
 * @param {EventTarget & { postMessage: (message: ReplyMessage) => void, llavaPanic?: string }} scope
 * @param {{ [M in Method]?: (args: Calls[M][0], emit: (event: Event) => void) => Promise<Calls[M][1]> }} handlers
 */
export function serveCalls(scope: EventTarget & {
    postMessage: (message: ReplyMessage) => void;
    llavaPanic?: string;
}, handlers: { [M in Method]?: (args: Calls[M][0], emit: (event: Event) => void) => Promise<Calls[M][1]>; }): void;
/** @typedef {import("./protocol.js").Calls} Calls */
/** @typedef {import("./protocol.js").Method} Method */
/** @typedef {import("./protocol.js").Event} Event */
/** @typedef {import("./protocol.js").CallMessage} CallMessage */
/** @typedef {import("./protocol.js").ReplyMessage} ReplyMessage */
/**
 * @typedef {object} PendingCall
 * @property {(value: any) => void} resolve
 * @property {(failure: Failure) => void} reject
 * @property {(event: Event) => void} onEvent
 */
/** The page's side of the calls. */
export class Caller {
    /**
     * @param {Worker} worker
     * @param {(failure: Failure) => void} onCrash called when the worker has ended by itself
     * @param {Worker[]} [helpers] workers that end with it
     */
    constructor(worker: Worker, onCrash: (failure: Failure) => void, helpers?: Worker[]);
    /** Rejects when this side is closed, with the reason; never resolves. @type {Promise<never>} */
    closed: Promise<never>;
    worker: Worker;
    helpers: Worker[];
    onCrash: (failure: Failure) => void;
    /**
     * @template {Method} M
     * @param {M} method
     * @param {Calls[M][0]} args
     * @param {{ onEvent?: (event: Event) => void, transfer?: Transferable[] }} [how]
     * @returns {Promise<Calls[M][1]>}
     */
    call<M extends Method>(method: M, args: Calls[M][0], { onEvent, transfer }?: {
        onEvent?: (event: Event) => void;
        transfer?: Transferable[];
    }): Promise<Calls[M][1]>;
    /** Ends the worker and its helpers, and rejects pending calls. @param {Failure} why */
    close(why: Failure): void;
    #private;
}
export type Calls = import("./protocol.js").Calls;
export type Method = import("./protocol.js").Method;
export type Event = import("./protocol.js").Event;
export type CallMessage = import("./protocol.js").CallMessage;
export type ReplyMessage = import("./protocol.js").ReplyMessage;
export type PendingCall = {
    resolve: (value: any) => void;
    reject: (failure: Failure) => void;
    onEvent: (event: Event) => void;
};
import { Failure } from "./failure.js";
