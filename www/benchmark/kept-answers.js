// Answers of runs in this browser (IndexedDB), from which a run continues after a reload. A run is known by a key of all
// that its answers depend on.

import { requested } from "../shared/async.js";

const DATABASE = "llava-web benchmark";

/** @returns {Promise<IDBDatabase>} */
function open() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore("answers", { keyPath: ["run", "index"] });
  return requested(request);
}

/** All answers of a run. @param {string} run */
const range = (run) => IDBKeyRange.bound([run], [run, []]);

export class KeptAnswers {
  /** @type {Promise<IDBDatabase>} */
  #database = open();
  /** @param {string} run its key */
  constructor(run) {
    this.run = run;
    // Where the browser keeps nothing, `failure` says so, once.
    /** @type {unknown} */
    this.failure = null;
  }

  /** @template T @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} work @param {T} otherwise */
  async #do(mode, work, otherwise) {
    try {
      return await requested(work((await this.#database).transaction("answers", mode).objectStore("answers")));
    } catch (thrown) {
      this.failure = thrown;
      return otherwise;
    }
  }

  /** @returns {Promise<{ index: number, text: string }[]>} */
  async all() {
    return this.#do("readonly", (store) => store.getAll(range(this.run)), []);
  }

  /** @param {number} index @param {string} text */
  async keep(index, text) {
    await this.#do("readwrite", (store) => store.put({ run: this.run, index, text }), /** @type {IDBValidKey} */ (""));
  }

  /** Deletes the answers of this run. */
  async forget() {
    await this.#do("readwrite", (store) => store.delete(range(this.run)), undefined);
  }
}
