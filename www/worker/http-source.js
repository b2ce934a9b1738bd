// A model source of web addresses; file-source.js is that of local files. Both answer the same questions: the length
// and version of a file, ranges of its bytes, and the names of the files that the person gave.

import { SPLIT_GGUF, VISION_TOWER_FOLDER, entryFiles } from "../shared/address.js";
import { Failure } from "../shared/failure.js";
import { acquire } from "./buffer-pool.js";
import { countBytes, fetchFileInfo } from "./file-info.js";
import { htmlError, notFound, openBody } from "./http.js";
import { MAX_ATTEMPTS, RetryableError, retry, throwIfCancelled } from "./retry.js";

/** @typedef {import("./http.js").FileInfo} FileInfo */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** A range of a file; `sha256` is the promised hash, if any.
 * @typedef {{ offset: number, bytes: number, sha256: string | null }} Range */

/**
 * @typedef {object} FetchOptions
 * @property {AbortSignal} signal
 * @property {(more: number) => void} [onBytes]  negative when bytes are discarded
 * @property {(text: string) => void} [onWait]  called before a retry
 * @property {number} [attempts]  before the failure is reported
 */

/** Number of bytes of a file's beginning that are requested together with its length, and what receives those that came.
 * @typedef {{ bytes: number, onHead: (head: Uint8Array) => void }} Begin */

/**
 * @typedef {object} Source
 * @property {"network" | "files"} kind
 * @property {string[]} entry  names of the files that the person gave
 * @property {(file: string, options: FetchOptions & { begin?: Begin }) => Promise<FileInfo | null>} info  null where there
 *   is no such file
 * @property {(file: string, ranges: Range[], info: FileInfo | null,
 *   options: FetchOptions) => AsyncGenerator<Uint8Array>} fetchRanges  in the order of their offsets; `info` is null where hashes are checked instead
 */

/** One byte, of which nothing is needed. @type {Begin} */
const NOTHING = { bytes: 1, onHead: () => {} };

/** Attempts of the first request to a host: the address may be wrong. */
const INFO_ATTEMPTS = 2;

/** Returns the SHA-256 in hexadecimal digits. @param {Uint8Array} bytes */
export async function sha256(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @implements {Source} */
export class HttpSource {
  kind = /** @type {const} */ ("network");
  /** Other folders with the same files, for files whose hash is known. @type {string[]} */
  mirrors = [];
  /** Index of the base address that answered last; 0 is the model's own. */
  #best = 0;

  /** @param {string[]} addresses */
  constructor(addresses) {
    this.addresses = entryFiles(addresses);
    this.entry = [...this.addresses.keys()];
  }

  /** Returns the address of a file. @param {string} file @returns {URL} */
  #urlOf(file) {
    const named = this.addresses.get(file);
    if (named) return new URL(named);
    const stem = SPLIT_GGUF.exec(file)?.[1];
    const inTower = (/** @type {string} */ name) => name.startsWith(VISION_TOWER_FOLDER);
    // Without an address of the tower, its files are in a folder of the model's.
    const second = inTower(file) && this.entry.some(inTower);
    // A file without an address lies beside the file it belongs to: another piece of a split file, or a file of the
    // same directory.
    const [sibling] = this.entry.filter((name) => (second ? inTower(name) : stem !== undefined && SPLIT_GGUF.exec(name)?.[1] === stem));
    const [first = ""] = this.entry;
    const base = new URL(this.addresses.get(sibling ?? first) ?? "");
    const url = new URL((second ? file.slice(VISION_TOWER_FOLDER.length) : file).split("/").map(encodeURIComponent).join("/"), base);
    url.search = base.search;
    return url;
  }

  /** @param {string} file @param {FetchOptions & { begin?: Begin }} options @returns {Promise<FileInfo | null>} */
  async info(file, { begin = NOTHING, ...options }) {
    const url = this.#urlOf(file);
    const named = this.addresses.has(file);
    const found = await retry((round) => fetchFileInfo(url, options.signal, begin, round > 0), { attempts: INFO_ATTEMPTS, ...options });
    if (found && found !== "page") return found;
    // Many hosts answer missing files with a page: only files that the person named must exist.
    if (named) throw found ? htmlError(url) : notFound(url);
    return null;
  }

  /** Counts the bytes of a file, which is read as a whole. @param {string} file @param {AbortSignal} signal */
  countSize(file, signal) {
    return retry(() => countBytes(this.#urlOf(file), signal), { signal, attempts: INFO_ATTEMPTS });
  }

  /** Fetches ranges, with retries, from the model's address or a mirror, and checks their hashes.
   * @param {string} file @param {Range[]} ranges @param {FileInfo | null} info @param {FetchOptions} options */
  async *fetchRanges(file, ranges, info, { signal, onBytes = () => {}, onWait, attempts = MAX_ATTEMPTS }) {
    const hashed = ranges.every((range) => range.sha256);
    const bases = hashed ? [this.#urlOf(file), ...this.mirrors.map((base) => new URL(file, base))] : [this.#urlOf(file)];
    const base = bases[this.#best] ? this.#best : 0;
    const expected = hashed && info ? { ...info, etag: "", modified: "" } : info;
    let next = 0;
    let received = 0;
    let damaged = 0;
    let buffer = acquire(ranges[0]?.bytes ?? 0);
    let filled = 0;
    /** @type {Awaited<ReturnType<typeof openBody>> | null} */
    let body = null;
    /** Received bytes that are not used yet. @type {Uint8Array} */
    let chunk = new Uint8Array(0);
    const disconnect = async () => {
      await body?.read(true).catch(() => {});
      body = null;
      chunk = new Uint8Array(0);
    };

    /** Fills the buffer of the current range. @param {Range} range @param {URL} url */
    const fill = async (range, url) => {
      const end = /** @type {Range} */ (ranges.at(-1));
      body ??= await openBody(url, { first: range.offset + filled, end: end.offset + end.bytes, info: expected, signal, again: damaged > 0 });
      while (filled < range.bytes) {
        if (!chunk.length) {
          const more = await body.read();
          if (!more) throw new Error(`ended after ${filled} of ${range.bytes} bytes`);
          chunk = more;
        }
        // A host without ranges sends the file from its beginning: bytes before the range are skipped.
        const skip = Math.min(chunk.length, range.offset + filled - body.position);
        const piece = chunk.subarray(skip, skip + range.bytes - filled);
        buffer.set(piece, filled);
        filled += piece.length;
        received += piece.length;
        onBytes(piece.length);
        body.position += skip + piece.length;
        chunk = chunk.subarray(skip + piece.length);
      }
    };
    /** Fetches the current range from one base address. @param {number} round */
    const attempt = async (round) => {
      const range = /** @type {Range} */ (ranges[next]);
      const at = (base + round) % bases.length;
      const url = /** @type {URL} */ (bases[at]);
      try {
        await fill(range, url);
      } catch (thrown) {
        await disconnect();
        throwIfCancelled(signal);
        const fields = Failure.from(thrown, url.pathname).fields();
        // Another base address may have the file.
        if (thrown instanceof Failure && !(thrown instanceof RetryableError)) throw round + 1 < bases.length ? new RetryableError(fields) : thrown;
        if (thrown instanceof RetryableError) throw thrown;
        const message = `the connection broke after ${filled} of ${range.bytes} bytes (${fields.message})`;
        throw new RetryableError({ kind: "network", place: url.origin + url.pathname, message, hint: "Retry: what has arrived is saved." });
      }
      const found = range.sha256 && globalThis.crypto?.subtle ? await sha256(buffer) : range.sha256;
      if (found !== range.sha256) {
        onBytes(-filled);
        filled = 0;
        damaged += 1;
        await disconnect();
        const fields = { kind: "shard", place: file, message: `its SHA-256 is ${found}, not ${range.sha256}`, hint: "Its host serves a damaged file." };
        throw damaged < Math.max(2, bases.length) ? new RetryableError(fields) : new Failure(fields);
      }
      this.#best = at;
    };

    try {
      for (; next < ranges.length; next++) {
        await retry(attempt, { signal, attempts, onWait, progress: () => received });
        damaged = 0;
        const complete = buffer;
        filled = 0;
        yield complete;
        buffer = acquire(ranges[next + 1]?.bytes ?? 0);
      }
    } finally {
      await disconnect();
    }
  }
}
