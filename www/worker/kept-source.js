// A model's files, from the store as far as they are kept there and from their source for the rest. The
// engine reads headers through it and the loader fetches parts through it.

import { anySignal, groupBy, timeLimit } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { stopIfAsked } from "./retry.js";
import { FileSource } from "./file-source.js";
import { HttpSource } from "./sources.js";
import { Shelf, keyOf, shortHash } from "./store.js";

/** @typedef {import("./http.js").Identity} Identity */
/** @typedef {import("./sources.js").How} How */
/** @typedef {import("./sources.js").Source} Source */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */

/** How long a model that is complete here waits to hear whether its host has a newer one, ms. */
const PATIENCE = 5000;

export class KeptSource {
  /** What reading failed with last: more precise than what the engine makes of it. @type {Failure | null} */
  trouble = null;
  /** Whether what arrives is to outlive the tab. */
  keep = false;
  /** The source does not answer: what is kept has to do. */
  #away = false;
  /** @type {Map<string, Identity | null>} */
  #files = new Map();
  /** Headers read before it was decided whether to keep anything. @type {Map<string, Uint8Array>} */
  #unkept = new Map();
  /** @type {Map<string, Promise<string>>} */
  #versions = new Map();

  /** @param {Source | null} source @param {Shelf} shelf @param {string[]} entry @param {AbortSignal} signal */
  constructor(source, shelf, entry, signal) {
    this.source = source;
    this.shelf = shelf;
    this.entry = entry;
    this.signal = signal;
  }

  /** @param {ModelRef} model @param {AbortSignal} signal */
  static async open(model, signal) {
    const key = globalThis.crypto?.subtle ? await keyOf(model) : "unkept";
    const shelf = await Shelf.open(key);
    if ("stored" in model) {
      if (!shelf.about) throw new Failure({ kind: "storage", place: key, message: "this model is no longer kept here", hint: "Open it again from where it came." });
      const { addresses, entry } = shelf.about;
      return new KeptSource(addresses.length ? new HttpSource(addresses) : null, shelf, entry, signal);
    }
    const source = "addresses" in model ? new HttpSource(model.addresses) : new FileSource(model.files, model.entry);
    return new KeptSource(source, shelf, source.entry, signal);
  }

  get kind() {
    return this.source?.kind ?? "store";
  }

  /** For the engine. @param {string} file */
  size = async (file) => (await this.#told(() => this.#identity(file)))?.size ?? null;

  /** For the engine. @param {string} file @param {number} offset @param {number} bytes */
  read = (file, offset, bytes) => this.#told(() => this.#read(file, offset, bytes));

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #told(work) {
    try {
      return await work();
    } catch (thrown) {
      this.trouble = Failure.from(thrown, "source");
      throw this.trouble.fields();
    }
  }

  /** @param {string} file @returns {Promise<Identity | null>} */
  async #identity(file) {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    const noted = this.shelf.about?.files[file];
    let found = noted ?? null;
    if (this.source && !this.#away) {
      const complete = this.shelf.about?.complete ?? false;
      const limit = timeLimit(PATIENCE);
      const signal = complete ? anySignal([this.signal, limit.signal]) : this.signal;
      try {
        found = await this.source.identify(file, { signal, ...(complete && { tries: 1 }) });
        // Where ETags say nothing, a file of the same length is taken for the same, unless that would mix parts of two.
        if (found && complete && noted && noted.size === found.size && noted.etag !== found.etag && (!found.modified || noted.modified !== found.modified)) {
          const again = noted.vague ? null : await this.source.identify(file, { signal, tries: 1 });
          if (again?.etag !== found.etag) found = { ...noted, vague: true };
        }
      } catch (thrown) {
        stopIfAsked(this.signal);
        if (noted === undefined) throw thrown;
        this.#away = true;
      } finally {
        limit.over();
      }
    }
    this.#files.set(file, found);
    return found;
  }

  /** Counts the files whose length may be that of what their host compressed. @returns {Promise<boolean>} whether one was */
  async measure() {
    let wrong = false;
    for (const [file, identity] of this.#files) {
      if (!identity?.unsure || !(this.source instanceof HttpSource)) continue;
      const size = await this.source.count(file, this.signal);
      wrong ||= size !== identity.size;
      Object.assign(identity, { size, unsure: false });
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
  async #read(file, offset, wanted) {
    const identity = await this.#identity(file);
    const bytes = Math.max(0, Math.min(wanted, (identity?.size ?? 0) - offset));
    if (!bytes) return new Uint8Array(0);
    const key = this.shelf.kind === "none" ? "" : `${await this.#version(file)}-${offset}-${bytes}`;
    const kept = this.#unkept.get(key) ?? (await this.shelf.get(key));
    if (kept) return kept;
    for await (const read of this.#take(file, [{ offset, bytes, sha256: null }], { signal: this.signal })) {
      if (this.keep) await this.shelf.put(key, read);
      else if (key) this.#unkept.set(key, read);
      return read;
    }
    throw new Failure({ kind: "network", place: file, message: "nothing came" });
  }

  /** @param {string} file @param {import("./sources.js").Range[]} ranges @param {How} how */
  #take(file, ranges, how) {
    if (this.source) return this.source.take(file, ranges, this.#files.get(file) ?? null, how);
    throw new Failure({ kind: "storage", place: file, message: "a part of it is no longer kept, or is damaged", hint: "Choose the model's files again." });
  }

  /** Says what is kept from now on, once the plan is known and the person has agreed. @param {Plan} plan @param {boolean} keep */
  async begin(plan, keep) {
    this.keep = keep && this.shelf.kind !== "none";
    if (this.source instanceof HttpSource) this.source.mirrors = plan.mirrors ?? [];
    // Whether a file can be had in ranges matters where it is wanted in several.
    const counts = groupBy(plan.parts, (part) => part.file);
    for (const [file, parts] of counts) if (parts.length > 1 || !parts[0]?.sha256) await this.#identity(file);
    if (!this.keep) return;
    const versions = [...(await Promise.all([...this.#files.keys()].map((file) => this.#version(file)))), ...plan.parts.map((part) => part.sha256?.slice(0, 16) ?? "")];
    await this.shelf.prune(new Set(versions));
    for (const [key, bytes] of this.#unkept) await this.shelf.put(key, bytes);
    this.#unkept.clear();
    const addresses = this.source instanceof HttpSource ? [...this.source.addresses.values()] : (this.shelf.about?.addresses ?? []);
    await this.shelf.note({ name: plan.name, entry: this.entry, addresses, files: Object.fromEntries(this.#files), total_bytes: plan.total_bytes });
  }

  /** All parts are there. @param {Plan} plan */
  async end(plan) {
    if (!this.keep || this.shelf.full) return;
    const kept = await Promise.all(plan.parts.map(async (part) => this.shelf.has(await this.rangeOf(part))));
    if (kept.every(Boolean) && !this.shelf.about?.complete) await this.shelf.note({ complete: true, files: Object.fromEntries(this.#files) });
  }

  /** Under which name a part is kept: what is promised of it says more than its file's version. @param {PlanPart} part */
  async rangeOf({ file, offset, bytes, sha256 }) {
    if (this.shelf.kind === "none") return "";
    if (!sha256) await this.#identity(file);
    return `${sha256 ? sha256.slice(0, 16) : await this.#version(file)}-${offset}-${bytes}`;
  }

  /** @param {PlanPart} part */
  async kept(part) {
    return this.shelf.get(await this.rangeOf(part));
  }

  /** Whether a file comes only as a whole, from its beginning. @param {string} file */
  comesWhole(file) {
    return this.#files.get(file)?.ranges === false;
  }

  /** Parts of one file from its source, kept as they come. @param {PlanPart[]} parts in the order of their offsets @param {How} how */
  async *parts(parts, how) {
    let next = 0;
    for await (const bytes of this.#take(parts[0]?.file ?? "", parts, how)) {
      const part = /** @type {PlanPart} */ (parts[next++]);
      if (this.keep) await this.shelf.put(await this.rangeOf(part), bytes);
      yield { part, bytes };
    }
  }
}
