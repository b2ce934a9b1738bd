// Promises and signals that browsers of 2023 lack. `tsc` knows only ES2022 here, and refuses what is younger.

/** A connection that brings nothing for this long is given up, ms; one that is only slow never is. */
export const SILENCE = 30_000;

/** A promise, and what settles it (`Promise.withResolvers` is of 2024).
 * @returns {{ promise: Promise<any>, resolve: (value: any) => void, reject: (reason: unknown) => void }} */
export function deferred() {
  /** @type {any} */
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** A signal that aborts as soon as one of `signals` does (`AbortSignal.any` is of 2024). @param {AbortSignal[]} signals */
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

/** A signal that aborts after a time, and a way to call that off. @param {number} ms */
export function timeLimit(ms) {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new DOMException(`no answer within ${ms / 1000} s`, "TimeoutError")), ms);
  return { signal: own.signal, over: () => clearTimeout(timer) };
}

/**
 * `list` by what `key` says of each (`Map.groupBy` is of 2023).
 * @template T, K
 * @param {Iterable<T>} list @param {(item: T) => K} key
 * @returns {Map<K, T[]>} in the order of their first
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
