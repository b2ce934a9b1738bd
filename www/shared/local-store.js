// Values that this browser stores from one visit to the next, in `localStorage`.

/** The store; workers have none. */
const store = () => /** @type {{ localStorage: { getItem: (key: string) => string | null, setItem: (key: string, value: string) => void } }} */ (/** @type {unknown} */ (globalThis)).localStorage;

/** @template T */
export class LocalStore {
  /** @param {string} name */
  constructor(name) {
    this.name = `llava-web ${name}`;
  }

  /** @returns {Record<string, T>} */
  #all() {
    try {
      return JSON.parse(store().getItem(this.name) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }

  /** @param {string} key @returns {T | undefined} */
  get(key) {
    return this.#all()[key];
  }

  /** @param {string} key @param {T} value */
  set(key, value) {
    try {
      store().setItem(this.name, JSON.stringify({ ...this.#all(), [key]: value }));
    } catch {
      // Without storage the value is lost with the tab.
    }
  }
}
