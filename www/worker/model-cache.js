// Models stored in this browser. A model is a folder; each range of its files is one file there, named by the version
// of the model's file, the range, and the hash of the bytes. So the list of names is the record of what is stored, a
// crash leaves nothing that looks complete, and every read is verified against the name.

import { openFolders } from "./folders.js";
import { sha256 } from "./http-source.js";

/** @typedef {import("./folders.js").Folder} Folder */
/** @typedef {import("./http.js").FileInfo} FileInfo */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

/**
 * Metadata of a model, stored beside its parts: for the list of models, and to open the model without a network.
 * @typedef {object} Metadata
 * @property {string} name
 * @property {string[]} entry
 * @property {string[]} addresses
 * @property {Record<string, FileInfo | null>} files  null: known to be missing
 * @property {number} total_bytes
 * @property {boolean} complete
 * @property {string} date
 */

const METADATA_FILE = "about.json";
/** Digits of the hash in the name of a model, or of a version of a file. */
const HASH_DIGITS = 16;

/** Returns the beginning of a text's hash. @param {string} text */
export const shortHash = async (text) => (await sha256(new TextEncoder().encode(text))).slice(0, HASH_DIGITS);

/** Returns the name of a model's folder. @param {ModelRef} model @returns {Promise<string>} */
export async function keyOf(model) {
  if ("stored" in model) return model.stored;
  if ("addresses" in model) return shortHash(model.addresses.join("\n"));
  const files = Object.entries(model.files).map(([name, file]) => `${name} ${file.size} ${file.lastModified}`);
  return shortHash(files.sort().join("\n"));
}

const folders = openFolders();

export async function storageKind() {
  return (await folders).kind;
}

/** @param {Folder} folder @returns {Promise<Metadata | null>} */
async function readMetadata(folder) {
  try {
    const metadata = JSON.parse(new TextDecoder().decode((await folder.read(METADATA_FILE)) ?? undefined));
    const valid = typeof metadata.name === "string" && Array.isArray(metadata.entry) && Array.isArray(metadata.addresses) && typeof metadata.files === "object";
    return valid && metadata.files ? metadata : null;
  } catch {
    return null;
  }
}

/** Returns the bytes of the part with this name. @param {string} name */
const bytesOfPart = (name) => Number(name.split("-")[2] ?? 0);

/** Returns all stored models, newest first. @returns {Promise<Stored[]>} */
export async function listModels() {
  const { list, open } = await folders;
  const found = await Promise.all(
    (await list()).map(async (key) => {
      const folder = await open(key);
      const metadata = await readMetadata(folder);
      const bytes = (await folder.list()).filter((name) => name !== METADATA_FILE).reduce((sum, name) => sum + bytesOfPart(name), 0);
      const { name = "unfinished", addresses = [], total_bytes = 0, complete = false, date = "" } = metadata ?? {};
      return { key, name, addresses, bytes, total_bytes, complete, date };
    }),
  );
  return found.sort((a, b) => b.date.localeCompare(a.date));
}

/** @param {string} key */
export async function deleteModel(key) {
  await (await folders).remove(key);
}

/** The cache of one model. */
export class ModelCache {
  /** Range → name of its file. @type {Map<string, string>} */
  #names = new Map();
  /** Reason why nothing more is stored; empty while storing works. */
  full = "";

  /** @param {string} key @param {Folder} folder @param {"opfs" | "cache" | "none"} kind
   * @param {Metadata | null} metadata */
  constructor(key, folder, kind, metadata) {
    this.key = key;
    this.kind = kind;
    this.folder = folder;
    this.metadata = metadata;
  }

  /** @param {string} key */
  static async open(key) {
    const { kind, open } = await folders;
    const folder = await open(key);
    const cache = new ModelCache(key, folder, kind, await readMetadata(folder));
    await cache.refresh();
    return cache;
  }

  /** Adds parts that another tab has stored. Other calls read the list meanwhile, so nothing is removed from it; a part
   * that another tab has deleted is noticed when it is read. */
  async refresh() {
    for (const name of await this.folder.list()) {
      const [version, offset, bytes, hash] = name.split("-");
      if (hash) this.#names.set(`${version}-${offset}-${bytes}`, name);
    }
  }

  /** @param {string} range */
  has(range) {
    return this.#names.has(range);
  }

  /** @param {string} range @returns {Promise<Uint8Array | null>} null where it is missing or corrupt */
  async get(range) {
    const name = this.#names.get(range);
    if (!name) return null;
    try {
      const bytes = await this.folder.read(name);
      if (bytes && name.endsWith(await sha256(bytes))) return bytes;
      await this.delete(range);
    } catch (thrown) {
      // The part may be intact and only unreadable now: its file stays, and this load fetches it again.
      console.warn(`Stored part ${name}:`, thrown);
      this.#names.delete(range);
    }
    return null;
  }

  /** @param {string} range */
  async delete(range) {
    const name = this.#names.get(range);
    this.#names.delete(range);
    if (name) await this.folder.remove(name).catch(() => {});
  }

  /** Stores a range, unless storing has failed before. @param {string} range @param {Uint8Array} bytes */
  async put(range, bytes) {
    if (this.kind === "none" || this.has(range)) return;
    const name = `${range}-${await sha256(bytes)}`;
    if (await this.#write(name, bytes)) this.#names.set(range, name);
  }

  /** @param {Partial<Metadata>} more */
  async saveMetadata(more) {
    this.metadata = { name: "", entry: [], addresses: [], files: {}, total_bytes: 0, complete: false, ...this.metadata, ...more, date: new Date().toISOString() };
    await this.#write(METADATA_FILE, new TextEncoder().encode(JSON.stringify(this.metadata)));
  }

  /** @param {string} name @param {Uint8Array} bytes */
  async #write(name, bytes) {
    if (this.full) return false;
    try {
      await this.folder.write(name, bytes);
      return true;
    } catch (thrown) {
      const quota = thrown instanceof DOMException && thrown.name === "QuotaExceededError";
      this.full = quota ? "the browser gives this page no more space" : `it could not be written (${thrown instanceof Error ? thrown.message : thrown})`;
      return false;
    }
  }

  /** Deletes ranges of versions that the model no longer consists of. @param {Set<string>} versions */
  async prune(versions) {
    for (const range of this.#names.keys()) if (!versions.has(range.split("-")[0] ?? "")) await this.delete(range);
  }
}
