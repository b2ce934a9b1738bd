// Folders that persist after the tab: in the origin's private file system (OPFS), or in the Cache API where OPFS is
// missing or fails. A self-test decides: some browsers have methods of the same names that take other arguments or
// always fail.

import { ROOT_FOLDER, TAB_ID, TRIAL_PREFIX, opfs } from "./opfs.js";

/**
 * @typedef {object} Folder
 * @property {() => Promise<string[]>} list  names of complete files
 * @property {(name: string) => Promise<Uint8Array | null>} read
 * @property {(name: string, bytes: Uint8Array) => Promise<void>} write
 * @property {(name: string) => Promise<void>} remove
 */

/**
 * @typedef {object} Folders
 * @property {"opfs" | "cache" | "none"} kind
 * @property {() => Promise<string[]>} list
 * @property {(name: string) => Promise<Folder>} open  a folder that may not exist yet
 * @property {(name: string) => Promise<void>} remove
 */

/** Stores folders in the Cache API. @returns {Promise<Folders>} */
async function cacheApi() {
  const prefix = `${ROOT_FOLDER} `;
  await caches.keys();
  return {
    kind: "cache",
    async list() {
      const names = (await caches.keys()).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
      return names.filter((name) => !name.startsWith(TRIAL_PREFIX));
    },
    async open(name) {
      const cache = await caches.open(prefix + name);
      /** @param {string} file */
      const key = (file) => new URL(`/${ROOT_FOLDER}/${name}/${file}`, self.location.origin).href;
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

/** Folders that store nothing, for browsers without storage. @type {Folders} */
const noStorage = {
  kind: "none",
  list: async () => [],
  open: async () => ({ list: async () => [], read: async () => null, write: async () => {}, remove: async () => {} }),
  remove: async () => {},
};

/** Writes a file and reads it back; rejects where that fails. @param {Folders} folders @returns {Promise<Folders>} */
async function selfTest(folders) {
  const name = TRIAL_PREFIX + TAB_ID;
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

/** Returns the first kind of storage that works in this browser. @returns {Promise<Folders>} */
export async function openFolders() {
  // Without hashes (on a page without HTTPS) stored bytes could not be verified.
  if (!globalThis.crypto?.subtle) return noStorage;
  for (const open of [opfs, cacheApi]) {
    try {
      return await selfTest(await open());
    } catch (thrown) {
      // On a full disk another kind of storage would be full as well.
      if (thrown instanceof DOMException && thrown.name === "QuotaExceededError") return open();
      console.info(`Models are not stored through ${open.name}:`, thrown);
    }
  }
  return noStorage;
}
