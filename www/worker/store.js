// Models kept in this browser. A model is a folder; a range of one of its files is one file in it, named by
// the version of the file, the range, and the hash of what was written. So the listing is the record of what
// has arrived, a crash leaves nothing half-true, and whatever is read back is checked against its own name.

import { openFolders } from "./folders.js";
import { sha256 } from "./sources.js";

/** @typedef {import("./folders.js").Folder} Folder */
/** @typedef {import("./http.js").Identity} Identity */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

/**
 * What is written down beside the parts, so that the model can be listed, and opened without a network.
 * @typedef {object} About
 * @property {string} name
 * @property {string[]} entry
 * @property {string[]} addresses
 * @property {Record<string, Identity | null>} files  null: known not to be there
 * @property {number} total_bytes
 * @property {boolean} complete
 * @property {string} date
 */

const ABOUT = "about.json";
/** Digits of a hash that name a model or a version of a file. */
const DIGITS = 16;

/** @param {string} text */
export const shortHash = async (text) => (await sha256(new TextEncoder().encode(text))).slice(0, DIGITS);

/** The name of a model's folder. @param {ModelRef} model @returns {Promise<string>} */
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

/** @param {Folder} folder @returns {Promise<About | null>} */
async function readAbout(folder) {
  try {
    const about = JSON.parse(new TextDecoder().decode((await folder.read(ABOUT)) ?? undefined));
    const whole = typeof about.name === "string" && Array.isArray(about.entry) && Array.isArray(about.addresses) && typeof about.files === "object";
    return whole && about.files ? about : null;
  } catch {
    return null;
  }
}

/** Bytes of the part with this name. @param {string} name */
const bytesOf = (name) => Number(name.split("-")[2] ?? 0);

/** All that is kept, newest first. @returns {Promise<Stored[]>} */
export async function listStored() {
  const { list, open } = await folders;
  const found = await Promise.all(
    (await list()).map(async (key) => {
      const folder = await open(key);
      const about = await readAbout(folder);
      const bytes = (await folder.list()).filter((name) => name !== ABOUT).reduce((sum, name) => sum + bytesOf(name), 0);
      const { name = "unfinished", addresses = [], total_bytes = 0, complete = false, date = "" } = about ?? {};
      return { key, name, addresses, bytes, total_bytes, complete, date };
    }),
  );
  return found.sort((a, b) => b.date.localeCompare(a.date));
}

/** @param {string} key */
export async function forgetStored(key) {
  await (await folders).remove(key);
}

/** One model's folder. */
export class Shelf {
  /** Range → name of the file that holds it. @type {Map<string, string>} */
  #names = new Map();
  /** Why nothing more is kept; empty while all is well. */
  full = "";

  /** @param {string} key @param {Folder} folder @param {"opfs" | "cache" | "none"} kind @param {About | null} about */
  constructor(key, folder, kind, about) {
    this.key = key;
    this.kind = kind;
    this.folder = folder;
    this.about = about;
  }

  /** @param {string} key */
  static async open(key) {
    const { kind, open } = await folders;
    const folder = await open(key);
    const shelf = new Shelf(key, folder, kind, await readAbout(folder));
    await shelf.look();
    return shelf;
  }

  /** Takes in what is there now: another tab may have been at work. Others go on asking meanwhile, so nothing is
   * forgotten; what another tab has deleted is found out when it is read. */
  async look() {
    for (const name of await this.folder.list()) {
      const [version, offset, bytes, hash] = name.split("-");
      if (hash) this.#names.set(`${version}-${offset}-${bytes}`, name);
    }
  }

  /** @param {string} range */
  has(range) {
    return this.#names.has(range);
  }

  /** @param {string} range @returns {Promise<Uint8Array | null>} null where it is not, or no longer what it was */
  async get(range) {
    const name = this.#names.get(range);
    if (!name) return null;
    try {
      const bytes = await this.folder.read(name);
      if (bytes && name.endsWith(await sha256(bytes))) return bytes;
      await this.drop(range);
    } catch (thrown) {
      // It may be whole and only unreadable now: it stays, and is fetched again for this time.
      console.warn(`Kept part ${name}:`, thrown);
      this.#names.delete(range);
    }
    return null;
  }

  /** @param {string} range */
  async drop(range) {
    const name = this.#names.get(range);
    this.#names.delete(range);
    if (name) await this.folder.remove(name).catch(() => {});
  }

  /** Keeps a range, unless there is no room: then this and what follows goes on without. @param {string} range @param {Uint8Array} bytes */
  async put(range, bytes) {
    if (this.kind === "none" || this.has(range)) return;
    const name = `${range}-${await sha256(bytes)}`;
    if (await this.#write(name, bytes)) this.#names.set(range, name);
  }

  /** @param {Partial<About>} more */
  async note(more) {
    this.about = { name: "", entry: [], addresses: [], files: {}, total_bytes: 0, complete: false, ...this.about, ...more, date: new Date().toISOString() };
    await this.#write(ABOUT, new TextEncoder().encode(JSON.stringify(this.about)));
  }

  /** @param {string} name @param {Uint8Array} bytes */
  async #write(name, bytes) {
    if (this.full) return false;
    try {
      await this.folder.write(name, bytes);
      return true;
    } catch (thrown) {
      const quota = thrown instanceof DOMException && thrown.name === "QuotaExceededError";
      this.full = quota ? "the browser gives this page no more room" : `it could not be written (${thrown instanceof Error ? thrown.message : thrown})`;
      return false;
    }
  }

  /** Throws away ranges of versions that the model no longer consists of. @param {Set<string>} versions */
  async prune(versions) {
    for (const range of this.#names.keys()) if (!versions.has(range.split("-")[0] ?? "")) await this.drop(range);
  }

  /** Nothing of it is kept. */
  async empty() {
    this.#names.clear();
    await forgetStored(this.key);
  }
}
