/** Returns a promise with the functions that settle it (`Promise.withResolvers` is of 2024).
 * @returns {{ promise: Promise<any>, resolve: (value: any) => void, reject: (reason: unknown) => void }} */
export function deferred(): {
    promise: Promise<any>;
    resolve: (value: any) => void;
    reject: (reason: unknown) => void;
};
/** Returns a function that runs jobs one after the other, in the order of the calls. A job that fails does not stop the
 * next.
 * @returns {<T>(work: () => Promise<T>) => Promise<T>} */
export function serialQueue(): <T>(work: () => Promise<T>) => Promise<T>;
/** Returns a signal that aborts when one of `signals` does (`AbortSignal.any` is of 2024).
 * @param {AbortSignal[]} signals */
export function anySignal(signals: AbortSignal[]): AbortSignal;
/** Returns a signal that aborts after a time, and a function that clears the timer. @param {number} ms */
export function timeLimit(ms: number): {
    signal: AbortSignal;
    clear: () => void;
};
/**
 * Groups `list` by a key of each item (`Map.groupBy` is of 2023).
 * @template T, K
 * @param {Iterable<T>} list @param {(item: T) => K} key
 * @returns {Map<K, T[]>} in the order of each group's first item
 */
export function groupBy<T, K>(list: Iterable<T>, key: (item: T) => K): Map<K, T[]>;
/** Time without any data after which a connection is abandoned, ms. A slow connection is never abandoned. */
export const STALL_TIMEOUT: 30000;
