// Folders that outlive the tab: the origin's private file system (OPFS), or the Cache API where a browser lacks it or
// where it turns out not to work. Which it is, a trial decides: browsers have methods of the same name that take other
// arguments, or always fail.

import { ROOT, TAB, TRIAL, opfs } from "./opfs.js";

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

/** @returns {Promise<Folders>} */
async function cacheApi() {
  const prefix = `${ROOT} `;
  await caches.keys();
  return {
    kind: "cache",
    async list() {
      const names = (await caches.keys()).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
      return names.filter((name) => !name.startsWith(TRIAL));
    },
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

/** Writes and reads back a file; rejects where that does not work. @param {Folders} folders @returns {Promise<Folders>} */
async function tried(folders) {
  const name = TRIAL + TAB;
  try {
    const folder = await folders.open(name);
    await folder.write("trial", Uint8Array.of(1, 2, 3));
    const [names, read] = [await folder.list(), await folder.read("trial")];
    if (names.join() !== "trial" || read?.join() !== "1,2,3") throw new Error(`a trial wrote 1,2,3 into "trial", and found ${read} in "${names}"`);
  } finally {
    await folders.remove(name).catch(() => {});
  }
  return folders;
}

/** What works in this browser, best first. @returns {Promise<Folders>} */
export async function openFolders() {
  // Without hashes (a page that is not served securely) nothing kept could be trusted.
  if (!globalThis.crypto?.subtle) return nowhere;
  for (const open of [opfs, cacheApi]) {
    try {
      return await tried(await open());
    } catch (thrown) {
      // A full disk is no reason to take another store, which would be as full.
      if (thrown instanceof DOMException && thrown.name === "QuotaExceededError") return open();
      console.info(`Models are not kept through ${open.name}:`, thrown);
    }
  }
  return nowhere;
}
