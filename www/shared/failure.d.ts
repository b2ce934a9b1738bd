/** Returns what `work` gives, unless `signal` is aborted first: then it rejects at once, and `onAbort` may end the work.
 * @template T @param {AbortSignal | undefined} signal @param {string} place @param {() => Promise<T>} work
 * @param {(why: Failure) => void} [onAbort] @returns {Promise<T>} */
export function untilAborted<T>(signal: AbortSignal | undefined, place: string, work: () => Promise<T>, onAbort?: (why: Failure) => void): Promise<T>;
/** @typedef {import("./protocol.js").FailureFields} FailureFields */
/**
 * An error of the package. `kind` is for programs: an engine `Kind` or one of the package; src/docs/package.md lists
 * them.
 */
export class Failure extends Error {
    /**
     * Converts a thrown value to a Failure. The engine throws plain objects with these fields.
     * @param {unknown} thrown
     * @param {string} place where it was caught, for values that have no place
     * @returns {Failure}
     */
    static from(thrown: unknown, place: string): Failure;
    /** @param {FailureFields} fields @param {unknown} [cause] */
    constructor({ kind, place, message, hint }: FailureFields, cause?: unknown);
    /** What went wrong, for programs. @type {string} */
    kind: string;
    /** The file, tensor, field or option that it concerns. @type {string} */
    where: string;
    /** What to do about it; may be empty. @type {string} */
    hint: string;
    /** Returns the fields as a plain object for messages, since structured clone drops the fields of a subclass of Error.
     * @internal @returns {FailureFields} */
    fields(): FailureFields;
}
export function aborted(signal: AbortSignal, place: string): Failure;
export type FailureFields = import("./protocol.js").FailureFields;
