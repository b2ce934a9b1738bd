// A model source of files that the person chose.

import { Failure } from "../shared/failure.js";
import { throwIfCancelled } from "./retry.js";

/** @typedef {import("./http.js").FileInfo} FileInfo */
/** @typedef {import("./http-source.js").FetchOptions} FetchOptions */
/** @typedef {import("./http-source.js").Range} Range */
/** @typedef {import("./http-source.js").Source} Source */

/** @implements {Source} */
export class FileSource {
  kind = /** @type {const} */ ("files");

  /** @param {Record<string, File>} files @param {string[]} entry */
  constructor(files, entry) {
    this.files = new Map(Object.entries(files));
    this.entry = entry;
  }

  /** @param {string} name @returns {Promise<FileInfo | null>} */
  async info(name) {
    const file = this.files.get(name);
    return file ? { size: file.size, etag: "", modified: String(file.lastModified), ranges: true } : null;
  }

  /** @param {string} name @param {Range[]} ranges @param {FileInfo | null} _ @param {FetchOptions} options */
  async *fetchRanges(name, ranges, _, { signal, onBytes = () => {} }) {
    for (const { offset, bytes } of ranges) {
      throwIfCancelled(signal);
      try {
        const slice = await this.files.get(name)?.slice(offset, offset + bytes).arrayBuffer();
        if (slice?.byteLength !== bytes) throw new Error(`it has no bytes from ${offset} to ${offset + bytes}`);
        onBytes(bytes);
        yield new Uint8Array(slice);
      } catch (thrown) {
        const message = `could not be read: ${thrown instanceof Error ? thrown.message : thrown}`;
        throw new Failure({ kind: "file", place: name, message, hint: "It was moved or changed since it was chosen, or is incomplete: choose it again." });
      }
    }
  }
}
