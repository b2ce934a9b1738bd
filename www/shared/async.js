// Helpers for promises and abort signals, and stand-ins for functions that browsers of 2023 lack. `tsc` is set to
// ES2022 here, and so refuses anything newer.

/** Time without any data after which a connection is abandoned, ms. A slow connection is never abandoned. */
export const STALL_TIMEOUT = 30_000;

/** Returns a promise with the functions that settle it (`Promise.withResolvers` is of 2024).
 * @returns {{ promise: Promise<any>, resolve: (value: any) => void, reject: (reason: unknown) => void }} */
export function deferred() {
  /** @type {any} */
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** Returns what a request to IndexedDB gives. @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
export const requested = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Returns a function that runs jobs one after the other, in the order of the calls. A job that fails does not stop the
 * next.
 * @returns {<T>(work: () => Promise<T>) => Promise<T>} */
export function serialQueue() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  return (work) => {
    const run = last.then(work);
    last = run.catch(() => {});
    return run;
  };
}

/** Returns a signal that aborts when one of `signals` does (`AbortSignal.any` is of 2024).
 * @param {AbortSignal[]} signals */
export function anySignal(signals) {
  const any = /** @type {{ any?: (signals: AbortSignal[]) => AbortSignal }} */ (/** @type {unknown} */ (AbortSignal)).any;
  if (any) return any.call(AbortSignal, signals);
  const own = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) own.abort(signal.reason);
    else signal.addEventListener("abort", () => own.abort(signal.reason), { once: true, signal: own.signal });
  }
  return own.signal;
}

/** Returns a signal that aborts after a time, and a function that clears the timer. @param {number} ms */
export function timeLimit(ms) {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new DOMException(`no answer within ${ms / 1000} s`, "TimeoutError")), ms);
  return { signal: own.signal, clear: () => clearTimeout(timer) };
}

/**
 * Groups `list` by a key of each item (`Map.groupBy` is of 2023).
 * @template T, K
 * @param {Iterable<T>} list @param {(item: T) => K} key
 * @returns {Map<K, T[]>} in the order of each group's first item
 */
export function groupBy(list, key) {
  /** @type {Map<K, T[]>} */
  const groups = new Map();
  for (const item of list) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
