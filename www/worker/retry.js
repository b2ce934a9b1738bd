// Retries with exponential backoff and jitter, a limited number of times, and never after a cancellation.

import { Failure } from "../shared/failure.js";

/** Attempts without progress before the failure is reported: about half a minute of delays. */
export const MAX_ATTEMPTS = 7;
/** First delay, its growth, and the longest delay, ms. */
const FIRST_DELAY = 400;
const GROWTH = 2;
const MAX_DELAY = 15_000;
/** Limit on the delay that a server requests with Retry-After, ms. */
const MAX_RETRY_AFTER = 60_000;

/** A failure that a repeated request may not meet. */
export class RetryableError extends Failure {
  /** @param {import("../shared/protocol.js").FailureFields} fields
   * @param {number} [retryAfter] the delay that the server requests, ms */
  constructor(fields, retryAfter = 0) {
    super(fields);
    this.retryAfter = Math.min(retryAfter, MAX_RETRY_AFTER);
  }
}

/** Parses a Retry-After header. @param {string | null} header seconds, or a date @returns {number} ms */
export function parseRetryAfter(header) {
  if (!header) return 0;
  const seconds = Number(header);
  return Math.max(0, Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now()) || 0;
}

/** @param {AbortSignal} signal */
export function throwIfCancelled(signal) {
  if (signal.aborted) throw cancelled();
}

export function cancelled() {
  return new Failure({ kind: "cancelled", place: "download", message: "stopped by you; what has arrived is saved" });
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function delay(ms, signal) {
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
 * Runs `attempt` until it succeeds, fails with another error than RetryableError, or has failed `attempts` times in a
 * row without progress.
 * @template T
 * @param {(round: number) => Promise<T>} attempt `round` counts every attempt from 0
 * @param {object} how
 * @param {AbortSignal} how.signal
 * @param {number} [how.attempts]
 * @param {() => number} [how.progress] grows when an attempt made progress, even if it failed
 * @param {(text: string) => void} [how.onWait] called before each delay
 * @returns {Promise<T>}
 */
export async function retry(attempt, { signal, attempts = MAX_ATTEMPTS, progress = () => 0, onWait = () => {} }) {
  let failures = 0;
  for (let round = 0; ; round++) {
    throwIfCancelled(signal);
    const before = progress();
    try {
      return await attempt(round);
    } catch (thrown) {
      throwIfCancelled(signal);
      if (!(thrown instanceof RetryableError)) throw thrown;
      failures = progress() > before ? 1 : failures + 1;
      if (failures >= attempts) throw thrown;
      const ceiling = Math.min(FIRST_DELAY * GROWTH ** (failures - 1), MAX_DELAY);
      // Jitter over the upper half: clients that failed together do not retry together.
      const ms = Math.max(thrown.retryAfter, ceiling * (0.5 + Math.random() / 2));
      onWait(`${thrown.message}; trying again${ms > 1500 ? ` in ${Math.round(ms / 1000)} s` : ""}`);
      await delay(ms, signal);
    }
  }
}
