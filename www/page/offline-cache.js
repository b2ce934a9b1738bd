// Caches the files of the page that this visit has used, so that the next visit needs no network.

import { serviceWorkerAddress } from "./own-scripts.js";

/** @typedef {import("./session.js").Session} Session */

/** Version of this document; empty where its addresses carry none. */
const version = document.querySelector("meta[name=llava-web-version]")?.getAttribute("content") ?? "";

/** Registers the service worker, and sends it the list of files. @param {Session} session whose model is loaded */
export async function cacheForOffline(session) {
  // Some browsers have no service worker, and a private window may refuse one; the page works without.
  if (!session.activity.loaded || !("serviceWorker" in navigator)) return;
  try {
    // The script bypasses the browser's cache: an old one must not outlive its page.
    await navigator.serviceWorker.register(serviceWorkerAddress, { scope: "./", updateViaCache: "none" });
    const { active } = await navigator.serviceWorker.ready;
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const files = [...loaded, ...((await session.loading.running?.files()) ?? [])];
    if (!active) return;
    const { port1, port2 } = new MessageChannel();
    const reply = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage({ keep: [...new Set(files)], version }, [port2]);
    const result = await reply;
    if (result !== "kept") throw new Error(result);
    session.offline = true;
    session.activity.changed();
  } catch (thrown) {
    console.info("Not saved for offline use:", thrown);
  }
}
