// A model source with a cache: reads stored ranges from the model cache and the others from their source. The engine
// reads headers through it, and fetch-parts.js the weights.
// budget: one object answers each read, from the cache, from what was requested early, or from the source.

import { anySignal, groupBy, timeLimit } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { FileSource } from "./file-source.js";
import { HttpSource } from "./http-source.js";
import { ModelCache, keyOf, shortHash } from "./model-cache.js";
import { throwIfCancelled } from "./retry.js";

/** @typedef {import("./http.js").FileInfo} FileInfo */
/** @typedef {import("./http-source.js").FetchOptions} FetchOptions */
/** @typedef {import("./http-source.js").Source} Source */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */

/** Time that a completely stored model waits for its host to report a newer version, ms. */
const REVALIDATION_TIMEOUT = 5000;
/** Limit on the bytes of a file that are requested together with its length. */
const HEAD_BYTES = 1 << 20;

export class CachedSource {
  /** The last failure of a read: more precise than the engine's own error. @type {Failure | null} */
  lastError = null;
  /** Whether fetched bytes are stored. */
  keep = false;
  /** Whether the source does not answer, so that stored metadata is used. */
  #unreachable = false;
  /** @type {Map<string, FileInfo | null>} */
  #files = new Map();
  /** Files that are being read before the engine asks for them. @type {Map<string, Promise<unknown>>} */
  #expected = new Map();
  /** Beginnings of files, until they are read. @type {Map<string, Uint8Array>} */
  #heads = new Map();
  /** Headers read before the person decided about storing. @type {Map<string, Uint8Array>} */
  #pendingHeaders = new Map();
  /** @type {Map<string, Promise<string>>} */
  #versions = new Map();

  /** @param {Source | null} source @param {ModelCache} cache @param {string[]} entry @param {AbortSignal} signal */
  constructor(source, cache, entry, signal) {
    this.source = source;
    this.cache = cache;
    this.entry = entry;
    this.signal = signal;
  }

  /** @param {ModelRef} model @param {AbortSignal} signal */
  static async open(model, signal) {
    const key = globalThis.crypto?.subtle ? await keyOf(model) : "none";
    const cache = await ModelCache.open(key);
    if ("stored" in model) {
      if (!cache.metadata) throw new Failure({ kind: "storage", place: key, message: "this model is no longer saved here", hint: "Open it again from its address or its files." });
      const { addresses, entry } = cache.metadata;
      return new CachedSource(addresses.length ? new HttpSource(addresses) : null, cache, entry, signal).#begun();
    }
    const source = "addresses" in model ? new HttpSource(model.addresses) : new FileSource(model.files, model.entry);
    return new CachedSource(source, cache, source.entry, signal).#begun();
  }

  /** Begins to read a manifest, or the description of a checkpoint, while the engine's code is compiled. */
  #begun() {
    for (const file of this.entry) if (file.endsWith(".json")) this.expect(file, HEAD_BYTES);
    return this;
  }

  get kind() {
    return this.source?.kind ?? "store";
  }

  /** Begins to read the first bytes of a file that the engine will ask for, or all of a shorter one: several files at
   * the same time. @param {string} file @param {number} bytes */
  expect = (file, bytes) => {
    if (this.#files.has(file) || this.#expected.has(file)) return;
    const reading = this.#readRange(file, 0, bytes);
    reading.catch(() => {}); // reported when the engine asks for the file
    this.#expected.set(file, reading);
  };

  /** Awaits what was begun for a file. @param {string} file */
  async #expectedOf(file) {
    const reading = this.#expected.get(file);
    if (!reading) return;
    try {
      await reading;
    } finally {
      this.#expected.delete(file);
    }
  }

  /** Returns the size of a file, for the engine. @param {string} file */
  size = (file) =>
    this.#reporting(async () => {
      await this.#expectedOf(file);
      return (await this.#fileInfo(file))?.size ?? null;
    });

  /** Reads a range of a file, for the engine. @param {string} file @param {number} offset @param {number} bytes */
  read = (file, offset, bytes) =>
    this.#reporting(async () => {
      await this.#expectedOf(file);
      return this.#readRange(file, offset, bytes);
    });

  /** Records a failure of `work` in `lastError`. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #reporting(work) {
    try {
      return await work();
    } catch (thrown) {
      this.lastError = Failure.from(thrown, "source");
      throw this.lastError.fields();
    }
  }

  /** @param {string} file @param {number} [wanted] bytes of its beginning that are read next
   * @returns {Promise<FileInfo | null>} */
  async #fileInfo(file, wanted = 0) {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    const saved = this.cache.metadata?.files[file];
    let found = saved ?? null;
    if (this.source && !this.#unreachable) {
      const complete = this.cache.metadata?.complete ?? false;
      const limit = timeLimit(REVALIDATION_TIMEOUT);
      const signal = complete ? anySignal([this.signal, limit.signal]) : this.signal;
      // Of a file that is saved only the version is asked for.
      const begin = !saved && wanted > 1 && { begin: { bytes: Math.min(wanted, HEAD_BYTES), onHead: (/** @type {Uint8Array} */ head) => void this.#heads.set(file, head) } };
      try {
        found = await this.source.info(file, { signal, ...begin, ...(complete && { attempts: 1 }) });
        // Where ETags are unstable, a file of the same length counts as unchanged, unless parts of two would mix.
        if (found && complete && saved && saved.size === found.size && saved.etag !== found.etag && (!found.modified || saved.modified !== found.modified)) {
          const again = saved.vague ? null : await this.source.info(file, { signal, attempts: 1 });
          if (again?.etag !== found.etag) found = { ...saved, vague: true };
        }
      } catch (thrown) {
        throwIfCancelled(this.signal);
        if (saved === undefined) throw thrown;
        this.#unreachable = true;
      } finally {
        limit.clear();
      }
    }
    this.#files.set(file, found);
    return found;
  }

  /** Counts the files whose reported length may be that of a compressed body.
   * @returns {Promise<boolean>} whether one was wrong */
  async recountSizes() {
    let wrong = false;
    for (const [file, info] of this.#files) {
      if (!info?.unsure || !(this.source instanceof HttpSource)) continue;
      const size = await this.source.countSize(file, this.signal);
      wrong ||= size !== info.size;
      Object.assign(info, { size, unsure: false });
      this.#versions.delete(file);
    }
    return wrong;
  }

  /** @param {string} file @returns {Promise<string>} */
  #version(file) {
    const { size = 0, etag = "", modified = "" } = this.#files.get(file) ?? {};
    const made = this.#versions.get(file) ?? shortHash([file, size, etag || modified].join("\n"));
    this.#versions.set(file, made);
    return made;
  }

  /** @param {string} file @param {number} offset @param {number} wanted */
  async #readRange(file, offset, wanted) {
    const info = await this.#fileInfo(file, offset === 0 ? wanted : 0);
    const bytes = Math.max(0, Math.min(wanted, (info?.size ?? 0) - offset));
    const head = this.#heads.get(file);
    this.#heads.delete(file);
    if (!bytes) return new Uint8Array(0);
    const key = this.cache.kind === "none" ? "" : `${await this.#version(file)}-${offset}-${bytes}`;
    const known = this.#pendingHeaders.get(key) ?? (await this.cache.get(key));
    if (known) return known;
    const read = await this.#fetchRange(file, offset, bytes, offset === 0 ? head : undefined);
    if (this.keep) await this.cache.put(key, read);
    else if (key) this.#pendingHeaders.set(key, read);
    return read;
  }

  /** @param {string} file @param {number} offset @param {number} bytes
   * @param {Uint8Array} [head] what is known of the range's beginning @returns {Promise<Uint8Array>} */
  async #fetchRange(file, offset, bytes, head) {
    if (head?.length) {
      const joined = new Uint8Array(bytes);
      joined.set(head.subarray(0, bytes));
      if (head.length < bytes) joined.set(await this.#fetchRange(file, offset + head.length, bytes - head.length), head.length);
      return joined;
    }
    for await (const read of this.#fetchRanges(file, [{ offset, bytes, sha256: null }], { signal: this.signal })) return read;
    throw new Failure({ kind: "network", place: file, message: "no data arrived" });
  }

  /** @param {string} file @param {import("./http-source.js").Range[]} ranges @param {FetchOptions} options */
  #fetchRanges(file, ranges, options) {
    if (this.source) return this.source.fetchRanges(file, ranges, this.#files.get(file) ?? null, options);
    throw new Failure({ kind: "storage", place: file, message: "a part of it is no longer saved, or is damaged", hint: "Choose the model's files again." });
  }

  /** Begins loading: deletes old versions, and writes the metadata. @param {Plan} plan @param {boolean} keep */
  async begin(plan, keep) {
    this.keep = keep && this.cache.kind !== "none";
    if (this.source instanceof HttpSource) this.source.mirrors = plan.mirrors ?? [];
    // Whether a host serves ranges matters for files with several parts.
    const counts = groupBy(plan.parts, (part) => part.file);
    for (const [file, parts] of counts) if (parts.length > 1 || !parts[0]?.sha256) await this.#fileInfo(file);
    if (!this.keep) return;
    const versions = [...(await Promise.all([...this.#files.keys()].map((file) => this.#version(file)))), ...plan.parts.map((part) => part.sha256?.slice(0, 16) ?? "")];
    await this.cache.prune(new Set(versions));
    for (const [key, bytes] of this.#pendingHeaders) await this.cache.put(key, bytes);
    this.#pendingHeaders.clear();
    const addresses = this.source instanceof HttpSource ? [...this.source.addresses.values()] : (this.cache.metadata?.addresses ?? []);
    await this.cache.saveMetadata({ name: plan.name, entry: this.entry, addresses, files: Object.fromEntries(this.#files), total_bytes: plan.total_bytes });
  }

  /** Marks the model as complete, if all its parts are stored. @param {Plan} plan */
  async end(plan) {
    if (!this.keep || this.cache.full) return;
    const stored = await Promise.all(plan.parts.map(async (part) => this.cache.has(await this.rangeOf(part))));
    if (stored.every(Boolean) && !this.cache.metadata?.complete) await this.cache.saveMetadata({ complete: true, files: Object.fromEntries(this.#files) });
  }

  /** Returns the name of a part's range, with its promised hash or its file's version. @param {PlanPart} part */
  async rangeOf({ file, offset, bytes, sha256 }) {
    if (this.cache.kind === "none") return "";
    if (!sha256) await this.#fileInfo(file);
    return `${sha256 ? sha256.slice(0, 16) : await this.#version(file)}-${offset}-${bytes}`;
  }

  /** Returns a part from the cache. @param {PlanPart} part */
  async cached(part) {
    return this.cache.get(await this.rangeOf(part));
  }

  /** Returns whether a file comes only as a whole, from its beginning. @param {string} file */
  isWholeOnly(file) {
    return this.#files.get(file)?.ranges === false;
  }

  /** Fetches parts of one file from its source, and stores them as they arrive.
   * @param {PlanPart[]} parts in the order of their offsets @param {FetchOptions} options */
  async *parts(parts, options) {
    let next = 0;
    for await (const bytes of this.#fetchRanges(parts[0]?.file ?? "", parts, options)) {
      const part = /** @type {PlanPart} */ (parts[next++]);
      if (this.keep) await this.cache.put(await this.rangeOf(part), bytes);
      yield { part, bytes };
    }
  }
}
