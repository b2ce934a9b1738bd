// Folders that outlive the tab: the origin's private file system (OPFS), or the Cache API where a browser
// lacks it. A write is all or nothing in both.

import { borrow } from "./buffers.js";

/**
 * @typedef {object} Folder
 * @property {() => Promise<string[]>} list  names of whole files
 * @property {(name: string) => Promise<Uint8Array | null>} read
 * @property {(name: string, bytes: Uint8Array) => Promise<void>} write
 * @property {(name: string) => Promise<void>} remove
 */

/**
 * @typedef {object} Folders
 * @property {"opfs" | "cache" | "none"} kind
 * @property {() => Promise<string[]>} list
 * @property {(name: string) => Promise<Folder>} open  it need not be there
 * @property {(name: string) => Promise<void>} remove
 */

const ROOT = "llava-web-models";
/** Files that are being written. What a dead tab left under such names is swept away. */
const UNFINISHED = "tmp-";
/** This tab, among those that share the folders. */
const TAB = Math.random().toString(36).slice(2, 12);
const LOCK = "llava-web tab ";

/** Held as long as the tab lives, so that the others can tell whose unfinished files are still being written. */
const present = new Promise((resolve) => {
  if (!navigator.locks) return resolve(undefined);
  navigator.locks.request(LOCK + TAB, () => new Promise(() => resolve(undefined))).catch(resolve);
});

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
    const access = await /** @type {any} */ (handle).createSyncAccessHandle({ mode: "read-only" }).catch(() => null);
    // Where only one handle may be open at a time another tab may have it.
    if (!access) return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    try {
      const bytes = borrow(access.getSize());
      return bytes.subarray(0, access.read(bytes, { at: 0 }));
    } finally {
      access.close();
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
      const access = await handle.createSyncAccessHandle();
      try {
        const written = access.write(/** @type {Uint8Array<ArrayBuffer>} */ (bytes), { at: 0 });
        if (written !== bytes.length) throw new DOMException(`only ${written} of ${bytes.length} bytes could be written`, "QuotaExceededError");
        access.flush();
      } finally {
        access.close();
      }
      await /** @type {FileSystemFileHandle & { move(name: string): Promise<void> }} */ (handle).move(name).catch(async (thrown) => {
        // Another tab reads a file of that name: for a part that means it is there already, the same to the byte.
        if (!(thrown instanceof DOMException && thrown.name === "NoModificationAllowedError")) throw thrown;
        await this.remove(draft);
      });
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
    if (!navigator.locks) return;
    const { held = [] } = await navigator.locks.query();
    const alive = new Set(held.map((lock) => lock.name));
    for (const name of await this.#names((name) => name.startsWith(UNFINISHED))) {
      const [tab] = name.slice(UNFINISHED.length).split("-");
      if (!alive.has(LOCK + tab)) await this.remove(name).catch(() => {});
    }
  }
}

/** @returns {Promise<Folders>} */
async function opfs() {
  const storage = await navigator.storage.getDirectory();
  const root = await storage.getDirectoryHandle(ROOT, { create: true });
  // Renaming is younger than the rest; without it a write could not be all or nothing.
  if (!("createSyncAccessHandle" in FileSystemFileHandle.prototype) || !("move" in FileSystemFileHandle.prototype)) throw new Error("not all of OPFS is there");
  return {
    kind: "opfs",
    async list() {
      const names = [];
      for await (const name of root.keys()) names.push(name);
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

/** @returns {Promise<Folders>} */
async function cacheApi() {
  const prefix = `${ROOT} `;
  await caches.keys();
  return {
    kind: "cache",
    list: async () => (await caches.keys()).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)),
    async open(name) {
      const cache = await caches.open(prefix + name);
      /** @param {string} file */
      const key = (file) => new URL(`/${ROOT}/${name}/${file}`, self.location.href).href;
      return {
        list: async () => (await cache.keys()).map((request) => request.url.split("/").pop() ?? ""),
        async read(file) {
          const bytes = await (await cache.match(key(file)))?.arrayBuffer();
          return bytes ? new Uint8Array(bytes) : null;
        },
        write: (file, bytes) => cache.put(key(file), new Response(/** @type {Uint8Array<ArrayBuffer>} */ (bytes))),
        remove: async (file) => void (await cache.delete(key(file))),
      };
    },
    remove: async (name) => void (await caches.delete(prefix + name)),
  };
}

/** @type {Folders} where nothing can be kept: everything is asked for and nothing is found */
const nowhere = {
  kind: "none",
  list: async () => [],
  open: async () => ({ list: async () => [], read: async () => null, write: async () => {}, remove: async () => {} }),
  remove: async () => {},
};

/** What this browser offers, best first. @returns {Promise<Folders>} */
export async function openFolders() {
  // Without hashes (a page that is not served securely) nothing kept could be trusted.
  if (!globalThis.crypto?.subtle) return nowhere;
  return opfs().catch(cacheApi).catch(() => nowhere);
}
