// Files of the person, as the source of a model.

import { Failure } from "../shared/failure.js";
import { stopIfAsked } from "./retry.js";

/** @typedef {import("./http.js").Identity} Identity */
/** @typedef {import("./sources.js").How} How */
/** @typedef {import("./sources.js").Range} Range */
/** @typedef {import("./sources.js").Source} Source */

/** @implements {Source} */
export class FileSource {
  kind = /** @type {const} */ ("files");

  /** @param {Record<string, File>} files @param {string[]} entry */
  constructor(files, entry) {
    this.files = new Map(Object.entries(files));
    this.entry = entry;
  }

  /** @param {string} name @returns {Promise<Identity | null>} */
  async identify(name) {
    const file = this.files.get(name);
    return file ? { size: file.size, etag: "", modified: String(file.lastModified), ranges: true } : null;
  }

  /** @param {string} name @param {Range[]} ranges @param {Identity | null} _ @param {How} how */
  async *take(name, ranges, _, { signal, onBytes = () => {} }) {
    for (const { offset, bytes } of ranges) {
      stopIfAsked(signal);
      try {
        const slice = await this.files.get(name)?.slice(offset, offset + bytes).arrayBuffer();
        if (slice?.byteLength !== bytes) throw new Error(`it has no bytes from ${offset} to ${offset + bytes}`);
        onBytes(bytes);
        yield new Uint8Array(slice);
      } catch (thrown) {
        const message = `could not be read: ${thrown instanceof Error ? thrown.message : thrown}`;
        throw new Failure({ kind: "file", place: name, message, hint: "It was moved or changed since it was chosen, or is not whole: choose it again." });
      }
    }
  }
}
