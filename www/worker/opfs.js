// Folders in the origin's private file system (OPFS). A write is all or nothing, where the browser can rename files.

import { borrow } from "./buffers.js";
import { locks } from "./tabs.js";
import { finish, writeDraft } from "./writing.js";

/** @typedef {import("./folders.js").Folders} Folders */

/** The folder that holds the others; with the Cache API, what their names begin with. */
export const ROOT = "llava-web-models";
/** This tab, among those that share the folders. */
export const TAB = Math.random().toString(36).slice(2, 12);
/** Files that are being written. What a dead tab left under such names is swept away. */
const UNFINISHED = "tmp-";
const LOCK = "llava-web tab ";
/** What the names of folders begin with that are made to see whether a store works. */
export const TRIAL = "trial-";

/** Held as long as the tab lives, so that the others can tell whose unfinished files are still being written. */
const present = locks.then(
  (manager) => manager && new Promise((resolve) => manager.request(LOCK + TAB, () => new Promise(() => resolve(undefined))).catch(resolve)),
);

/** @template T @param {Promise<T>} promise @returns {Promise<T | null>} null where nothing is there */
function ifThere(promise) {
  return promise.catch((thrown) => {
    if (thrown instanceof DOMException && thrown.name === "NotFoundError") return null;
    throw thrown;
  });
}

/** Made by its first write; found anew by every call, since another tab may delete it meanwhile. */
class OpfsFolder {
  #written = 0;

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
    await ifThere(list());
    return names;
  }

  list() {
    return this.#names((name) => !name.startsWith(UNFINISHED));
  }

  /** @param {string} name */
  async read(name) {
    const folder = await ifThere(this.root.getDirectoryHandle(this.name));
    const handle = folder && (await ifThere(folder.getFileHandle(name)));
    if (!handle) return null;
    const access = await /** @type {any} */ (handle).createSyncAccessHandle?.({ mode: "read-only" }).catch(() => null);
    // Where only one handle may be open at a time another tab may have it.
    if (!access) return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    try {
      const bytes = borrow(await access.getSize());
      return bytes.subarray(0, access.read(bytes, { at: 0 }));
    } finally {
      await access.close();
    }
  }

  /** Under another name first: a crash in the middle leaves nothing that looks whole.
   * @param {string} name @param {Uint8Array} bytes */
  async write(name, bytes) {
    await present;
    const folder = await this.root.getDirectoryHandle(this.name, { create: true });
    const draft = `${UNFINISHED}${TAB}-${this.#written++}`;
    const handle = await folder.getFileHandle(draft, { create: true });
    try {
      await writeDraft(handle, bytes);
      if (await finish(handle, folder, name, bytes)) return;
      await this.remove(draft);
    } catch (thrown) {
      await this.remove(draft).catch(() => {});
      throw thrown;
    }
  }

  /** @param {string} name */
  async remove(name) {
    const folder = await ifThere(this.root.getDirectoryHandle(this.name));
    if (folder) await ifThere(folder.removeEntry(name));
  }

  async sweep() {
    const manager = await locks;
    if (!manager) return;
    const { held = [] } = await manager.query();
    const alive = new Set(held.map((lock) => lock.name));
    for (const name of await this.#names((name) => name.startsWith(UNFINISHED))) {
      const [tab] = name.slice(UNFINISHED.length).split("-");
      if (!alive.has(LOCK + tab)) await this.remove(name).catch(() => {});
    }
  }
}

/** @returns {Promise<Folders>} */
export async function opfs() {
  const storage = await navigator.storage.getDirectory();
  const root = await storage.getDirectoryHandle(ROOT, { create: true });
  return {
    kind: "opfs",
    async list() {
      const names = [];
      for await (const name of root.keys()) if (!name.startsWith(TRIAL)) names.push(name);
      return names;
    },
    async open(name) {
      const folder = new OpfsFolder(root, name);
      await folder.sweep();
      return folder;
    },
    remove: async (name) => void (await ifThere(root.removeEntry(name, { recursive: true }))),
  };
}
