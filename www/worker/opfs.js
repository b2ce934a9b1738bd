// Folders in the origin's private file system (OPFS). A write is atomic where the browser can rename files.

import { acquire } from "./buffer-pool.js";
import { nameFile, writeContent } from "./opfs-write.js";
import { locks } from "./tab-locks.js";

/** @typedef {import("./folders.js").Folders} Folders */

/** Name of the parent folder; with the Cache API, prefix of the caches' names. */
export const ROOT_FOLDER = "llava-web-models";
/** Random id of this tab. */
export const TAB_ID = Math.random().toString(36).slice(2, 12);
/** Prefix of files that are being written. Those of closed tabs are deleted. */
const TEMPORARY_PREFIX = "tmp-";
const TAB_LOCK = "llava-web tab ";
/** Prefix of the folders that the self-test creates. */
export const TRIAL_PREFIX = "trial-";

/** A lock held while the tab is open, which tells other tabs whose temporary files are still being written. */
const tabLockHeld = locks.then(
  (manager) => manager && new Promise((resolve) => manager.request(TAB_LOCK + TAB_ID, () => new Promise(() => resolve(undefined))).catch(resolve)),
);

/** Turns a NotFoundError into `null`. @template T @param {Promise<T>} promise @returns {Promise<T | null>} */
function nullIfMissing(promise) {
  return promise.catch((thrown) => {
    if (thrown instanceof DOMException && thrown.name === "NotFoundError") return null;
    throw thrown;
  });
}

/** A folder, created by its first write. Each call looks it up again, since another tab may have deleted it. */
class OpfsFolder {
  #writes = 0;

  /** @param {FileSystemDirectoryHandle} root @param {string} name */
  constructor(root, name) {
    this.root = root;
    this.name = name;
  }

  /** @param {(name: string) => boolean} wanted */
  async #names(wanted) {
    /** @type {string[]} */
    const names = [];
    const list = async () => {
      const folder = await this.root.getDirectoryHandle(this.name);
      for await (const name of folder.keys()) if (wanted(name)) names.push(name);
    };
    await nullIfMissing(list());
    return names;
  }

  list() {
    return this.#names((name) => !name.startsWith(TEMPORARY_PREFIX));
  }

  /** @param {string} name */
  async read(name) {
    const folder = await nullIfMissing(this.root.getDirectoryHandle(this.name));
    const handle = folder && (await nullIfMissing(folder.getFileHandle(name)));
    if (!handle) return null;
    const access = await /** @type {any} */ (handle).createSyncAccessHandle?.({ mode: "read-only" }).catch(() => null);
    // Some browsers allow one handle at a time, and another tab may have it.
    if (!access) return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    try {
      const bytes = acquire(await access.getSize());
      return bytes.subarray(0, access.read(bytes, { at: 0 }));
    } finally {
      await access.close();
    }
  }

  /** Writes under a temporary name first: a crash in the middle leaves no file that looks complete.
   * @param {string} name @param {Uint8Array} bytes */
  async write(name, bytes) {
    await tabLockHeld;
    const folder = await this.root.getDirectoryHandle(this.name, { create: true });
    const temporary = `${TEMPORARY_PREFIX}${TAB_ID}-${this.#writes++}`;
    const handle = await folder.getFileHandle(temporary, { create: true });
    try {
      await writeContent(handle, bytes);
      if (await nameFile(handle, folder, name, bytes)) return;
      await this.remove(temporary);
    } catch (thrown) {
      await this.remove(temporary).catch(() => {});
      throw thrown;
    }
  }

  /** @param {string} name */
  async remove(name) {
    const folder = await nullIfMissing(this.root.getDirectoryHandle(this.name));
    if (folder) await nullIfMissing(folder.removeEntry(name));
  }

  /** Deletes temporary files of closed tabs. */
  async removeStaleFiles() {
    const manager = await locks;
    if (!manager) return;
    const { held = [] } = await manager.query();
    const openTabs = new Set(held.map((lock) => lock.name));
    for (const name of await this.#names((name) => name.startsWith(TEMPORARY_PREFIX))) {
      const [tab] = name.slice(TEMPORARY_PREFIX.length).split("-");
      if (!openTabs.has(TAB_LOCK + tab)) await this.remove(name).catch(() => {});
    }
  }
}

/** Stores folders in OPFS. @returns {Promise<Folders>} */
export async function opfs() {
  const storage = await navigator.storage.getDirectory();
  const root = await storage.getDirectoryHandle(ROOT_FOLDER, { create: true });
  return {
    kind: "opfs",
    async list() {
      const names = [];
      for await (const name of root.keys()) if (!name.startsWith(TRIAL_PREFIX)) names.push(name);
      return names;
    },
    async open(name) {
      const folder = new OpfsFolder(root, name);
      await folder.removeStaleFiles();
      return folder;
    },
    remove: async (name) => void (await nullIfMissing(root.removeEntry(name, { recursive: true }))),
  };
}
