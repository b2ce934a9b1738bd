// Caches the files of the page that this visit has used, so that the next visit needs no network.

import { serviceWorkerAddress } from "./own-scripts.js";

/** @typedef {import("./session.js").Session} Session */

/** Version of this document; empty where its addresses carry none. */
export const version = document.querySelector("meta[name=llava-web-version]")?.getAttribute("content") ?? "";

/** Registers the service worker, and has it cache files and those that this visit has loaded.
 * @param {string[]} files @param {string} scope relative to this document
 * @returns {Promise<boolean>} whether they are cached */
export async function keepOffline(files, scope) {
  // Some browsers have no service worker, and a private window may refuse one; the page works without.
  if (!("serviceWorker" in navigator)) return false;
  try {
    // The script bypasses the browser's cache: an old one must not outlive its page.
    await navigator.serviceWorker.register(serviceWorkerAddress, { scope, updateViaCache: "none" });
    const { active } = await navigator.serviceWorker.ready;
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    if (!active) return false;
    const { port1, port2 } = new MessageChannel();
    const reply = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage({ keep: [...new Set([...loaded, ...files])], version }, [port2]);
    const result = await reply;
    if (result !== "kept") throw new Error(result);
    return true;
  } catch (thrown) {
    console.info("Not saved for offline use:", thrown);
    return false;
  }
}

/** Caches the page. @param {Session} session whose model is loaded */
export async function cacheForOffline(session) {
  if (!session.activity.loaded) return;
  const files = (await session.loading.running?.files()) ?? [];
  if (!(await keepOffline(files, "./"))) return;
  session.offline = true;
  session.activity.changed();
}
