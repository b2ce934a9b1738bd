// Trying again: with growing pauses that differ from tab to tab, a bounded number of times, and never after
// the person has said stop.

import { Failure } from "../shared/failure.js";

/** Attempts in a row that bring nothing, before the failure is shown: about half a minute of pauses. */
export const TRIES = 7;
/** The first pause, its growth, and the longest, ms. */
const FIRST_PAUSE = 400;
const GROWTH = 2;
const LONGEST_PAUSE = 15_000;
/** What a server may ask for with Retry-After, ms. */
const LONGEST_WISH = 60_000;

/** A failure that may be gone the next time. */
export class Hiccup extends Failure {
  /** @param {import("../shared/protocol.js").FailureFields} fields @param {number} [wish] the server's own pause, ms */
  constructor(fields, wish = 0) {
    super(fields);
    this.wish = Math.min(wish, LONGEST_WISH);
  }
}

/** @param {string | null} header seconds, or a date @returns {number} ms */
export function retryAfter(header) {
  if (!header) return 0;
  const seconds = Number(header);
  return Math.max(0, Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now()) || 0;
}

/** @param {AbortSignal} signal */
export function stopIfAsked(signal) {
  if (signal.aborted) throw cancelled();
}

export function cancelled() {
  return new Failure({ kind: "cancelled", place: "download", message: "stopped by you; what has arrived is kept" });
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(cancelled());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Runs `attempt` until it succeeds, fails with something that is no hiccup, or has failed `tries` times in a
 * row without progress.
 * @template T
 * @param {(round: number) => Promise<T>} attempt `round` counts every attempt from 0
 * @param {object} how
 * @param {AbortSignal} how.signal
 * @param {number} [how.tries]
 * @param {() => number} [how.progress] grows when an attempt has brought something, though it failed
 * @param {(words: string) => void} [how.onWait]
 * @returns {Promise<T>}
 */
export async function persist(attempt, { signal, tries = TRIES, progress = () => 0, onWait = () => {} }) {
  let failed = 0;
  for (let round = 0; ; round++) {
    stopIfAsked(signal);
    const before = progress();
    try {
      return await attempt(round);
    } catch (thrown) {
      stopIfAsked(signal);
      if (!(thrown instanceof Hiccup)) throw thrown;
      failed = progress() > before ? 1 : failed + 1;
      if (failed >= tries) throw thrown;
      const ceiling = Math.min(FIRST_PAUSE * GROWTH ** (failed - 1), LONGEST_PAUSE);
      // Jitter over the upper half: tabs that a server threw off together do not come back together.
      const ms = Math.max(thrown.wish, ceiling * (0.5 + Math.random() / 2));
      onWait(`${thrown.message}; trying again${ms > 1500 ? ` in ${Math.round(ms / 1000)} s` : ""}`);
      await pause(ms, signal);
    }
  }
}
