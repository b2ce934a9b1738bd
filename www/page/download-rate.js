// Measures the rate of a download over its last seconds.

/** Length of the measured window, seconds. */
const WINDOW = 8;
/** Shortest time span that gives a rate, seconds. */
const MIN_SPAN = 0.7;

export class DownloadRate {
  /** @type {{ time: number, received: number }[]} */
  #samples = [];

  reset() {
    this.#samples = [];
  }

  /** @param {number} received bytes so far */
  add(received) {
    const time = performance.now() / 1000;
    if (this.#samples.at(-1)?.received === received) return;
    this.#samples.push({ time, received });
    while (this.#samples.length > 2 && time - (this.#samples[0]?.time ?? 0) > WINDOW) this.#samples.shift();
  }

  /** Rate in bytes per second; 0 while unknown. */
  get perSecond() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    const seconds = first && last ? last.time - first.time : 0;
    return first && last && seconds > MIN_SPAN ? (last.received - first.received) / seconds : 0;
  }
}
