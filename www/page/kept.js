// Small things that this browser remembers from one visit to the next.

/** @template T */
export class Kept {
  /** @param {string} name */
  constructor(name) {
    this.name = `llava-web ${name}`;
  }

  /** @returns {Record<string, T>} */
  #all() {
    try {
      return JSON.parse(localStorage.getItem(this.name) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }

  /** @param {string} key @returns {T | undefined} */
  recall(key) {
    return this.#all()[key];
  }

  /** @param {string} key @param {T} value */
  remember(key, value) {
    try {
      localStorage.setItem(this.name, JSON.stringify({ ...this.#all(), [key]: value }));
    } catch {
      // Then it lasts as long as the tab.
    }
  }
}
