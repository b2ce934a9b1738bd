// Asks the service worker to keep the files of the page that this visit has used, so that the next one needs no network.

import { ownScripts } from "../shared/own-scripts.js";

/** @typedef {import("./session.js").Session} Session */

/** The version of this document; empty where its addresses carry none. */
const version = document.querySelector("meta[name=llava-web-version]")?.getAttribute("content") ?? "";

/** @param {Session} session once its model works */
export async function keepForOffline(session) {
  // Not every browser offers it, and a private window may refuse; the page works without.
  if (!session.loaded || !("serviceWorker" in navigator)) return;
  try {
    // Never out of the browser's cache: an old one must not outlive its page.
    await navigator.serviceWorker.register(ownScripts.createScriptURL("service-worker.js"), { scope: "./", updateViaCache: "none" });
    const { active } = await navigator.serviceWorker.ready;
    const ours = performance.getEntriesByType("resource").map((entry) => entry.name);
    // The list of kept models may not have been asked for yet.
    const later = ownScripts.createScriptURL("worker/storage.js");
    const files = [...ours, String(later), ...(await session.workerFiles())];
    if (!active) return;
    const { port1, port2 } = new MessageChannel();
    const kept = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage({ keep: [...new Set(files)], version }, [port2]);
    const said = await kept;
    if (said !== "kept") throw new Error(said);
    session.kept = true;
    session.changed();
  } catch (thrown) {
    console.info("Not kept for offline use:", thrown);
  }
}
