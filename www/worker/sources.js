// Where a model's files come from: web addresses here, files of the person in file-source.js. Both answer the same three
// questions: what is this file, give me these ranges of it, and under which names was the model named.

import { Failure } from "../shared/failure.js";
import { SECOND, SPLIT, entryOf } from "../shared/address.js";
import { borrow } from "./buffers.js";
import { missing, openBody, webPage } from "./http.js";
import { countWhole, identify } from "./identify.js";
import { Hiccup, TRIES, persist, stopIfAsked } from "./retry.js";

/** @typedef {import("./http.js").Identity} Identity */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** `sha256` is what the bytes were promised to hash to, if anything was.
 * @typedef {{ offset: number, bytes: number, sha256: string | null }} Range */

/**
 * @typedef {object} How
 * @property {AbortSignal} signal
 * @property {(more: number) => void} [onBytes]  negative when bytes are thrown away
 * @property {(words: string) => void} [onWait]
 * @property {number} [tries]
 */

/**
 * @typedef {object} Source
 * @property {"network" | "files"} kind
 * @property {string[]} entry
 * @property {(file: string, how: How) => Promise<Identity | null>} identify  null where there is no such file
 * @property {(file: string, ranges: Range[], identity: Identity | null, how: How) => AsyncGenerator<Uint8Array>} take
 *   the ranges, in the order of their offsets; `identity` null where hashes say it better
 */

/** The first contact is tried less often: an address may simply be wrong. */
const CONTACT_TRIES = 2;

/** @param {Uint8Array} bytes */
export async function sha256(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @implements {Source} */
export class HttpSource {
  kind = /** @type {const} */ ("network");
  /** Other folders that hold the same files: used where a hash tells whether they do. @type {string[]} */
  mirrors = [];
  /** The base that answered last: 0 is the model's own. */
  #best = 0;

  /** @param {string[]} addresses */
  constructor(addresses) {
    this.addresses = entryOf(addresses);
    this.entry = [...this.addresses.keys()];
  }

  /** @param {string} file @returns {URL} */
  #own(file) {
    const named = this.addresses.get(file);
    if (named) return new URL(named);
    const stem = SPLIT.exec(file)?.[1];
    const second = file.startsWith(SECOND);
    // A sibling lies beside the file it belongs to: another piece of it, or a file of the same directory.
    const [beside] = this.entry.filter((name) => (second ? name.startsWith(SECOND) : stem !== undefined && SPLIT.exec(name)?.[1] === stem));
    const [first = ""] = this.entry;
    const base = new URL(this.addresses.get(beside ?? first) ?? "");
    const url = new URL((second ? file.slice(SECOND.length) : file).split("/").map(encodeURIComponent).join("/"), base);
    url.search = base.search;
    return url;
  }

  /** @param {string} file @param {How} how @returns {Promise<Identity | null>} */
  async identify(file, how) {
    const url = this.#own(file);
    const named = this.addresses.has(file);
    const found = await persist((round) => identify(url, how.signal, round > 0), { tries: CONTACT_TRIES, ...how });
    if (found && found !== "page") return found;
    // A host that shows a page for whatever it does not have is common: only a named file must be there.
    if (named) throw found ? webPage(url) : missing(url);
    return null;
  }

  /** The length of a file, for which all of it is read. @param {string} file @param {AbortSignal} signal */
  count(file, signal) {
    return persist(() => countWhole(this.#own(file), signal), { signal, tries: CONTACT_TRIES });
  }

  /** @param {string} file @param {Range[]} ranges @param {Identity | null} identity @param {How} how */
  async *take(file, ranges, identity, { signal, onBytes = () => {}, onWait, tries = TRIES }) {
    const hashed = ranges.every((range) => range.sha256);
    const bases = hashed ? [this.#own(file), ...this.mirrors.map((base) => new URL(file, base))] : [this.#own(file)];
    const base = bases[this.#best] ? this.#best : 0;
    const asked = hashed && identity ? { ...identity, etag: "", modified: "" } : identity;
    let next = 0;
    let received = 0;
    let damaged = 0;
    let buffer = borrow(ranges[0]?.bytes ?? 0);
    let filled = 0;
    /** @type {Awaited<ReturnType<typeof openBody>> | null} */
    let body = null;
    /** @type {Uint8Array} what has come and is not used yet */
    let chunk = new Uint8Array(0);
    const drop = async () => {
      await body?.read(true).catch(() => {});
      body = null;
      chunk = new Uint8Array(0);
    };

    /** Fills the buffer of the range that is due. @param {Range} range @param {URL} url */
    const fill = async (range, url) => {
      const end = /** @type {Range} */ (ranges.at(-1));
      body ??= await openBody(url, { first: range.offset + filled, end: end.offset + end.bytes, identity: asked, signal, again: damaged > 0 });
      while (filled < range.bytes) {
        if (!chunk.length) {
          const more = await body.read();
          if (!more) throw new Error(`ended after ${filled} of ${range.bytes} bytes`);
          chunk = more;
        }
        // A host without ranges begins at the beginning: what lies before is let go.
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
    /** @param {number} round */
    const attempt = async (round) => {
      const range = /** @type {Range} */ (ranges[next]);
      const at = (base + round) % bases.length;
      const url = /** @type {URL} */ (bases[at]);
      try {
        await fill(range, url);
      } catch (thrown) {
        await drop();
        stopIfAsked(signal);
        const fields = Failure.from(thrown, url.pathname).fields();
        // Another base may have what this one lacks.
        if (thrown instanceof Failure && !(thrown instanceof Hiccup)) throw round + 1 < bases.length ? new Hiccup(fields) : thrown;
        if (thrown instanceof Hiccup) throw thrown;
        const message = `the connection broke after ${filled} of ${range.bytes} bytes (${fields.message})`;
        throw new Hiccup({ kind: "network", place: url.origin + url.pathname, message, hint: "Retry: what has arrived is kept." });
      }
      const found = range.sha256 && globalThis.crypto?.subtle ? await sha256(buffer) : range.sha256;
      if (found !== range.sha256) {
        onBytes(-filled);
        filled = 0;
        damaged += 1;
        await drop();
        const fields = { kind: "shard", place: file, message: `its SHA-256 is ${found}, not ${range.sha256}`, hint: "Its host gives a damaged file." };
        throw damaged < Math.max(2, bases.length) ? new Hiccup(fields) : new Failure(fields);
      }
      this.#best = at;
    };

    try {
      for (; next < ranges.length; next++) {
        await persist(attempt, { signal, tries, onWait, progress: () => received });
        damaged = 0;
        const whole = buffer;
        filled = 0;
        yield whole;
        buffer = borrow(ranges[next + 1]?.bytes ?? 0);
      }
    } finally {
      await drop();
    }
  }
}
