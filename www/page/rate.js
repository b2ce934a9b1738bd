// How fast a download is, over its last seconds, and how long it will take.

/** Seconds that count. */
const WINDOW = 8;
/** Before this a rate is a guess, seconds. */
const SETTLE = 0.7;

export class Rate {
  /** @type {{ time: number, received: number }[]} */
  #seen = [];

  reset() {
    this.#seen = [];
  }

  /** @param {number} received bytes so far */
  add(received) {
    const time = performance.now() / 1000;
    if (this.#seen.at(-1)?.received === received) return;
    this.#seen.push({ time, received });
    while (this.#seen.length > 2 && time - (this.#seen[0]?.time ?? 0) > WINDOW) this.#seen.shift();
  }

  /** Bytes per second; 0 while unknown. */
  get perSecond() {
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    const seconds = first && last ? last.time - first.time : 0;
    return first && last && seconds > SETTLE ? (last.received - first.received) / seconds : 0;
  }
}

/** @param {number} seconds */
export function inTime(seconds) {
  if (seconds < 50) return `${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
