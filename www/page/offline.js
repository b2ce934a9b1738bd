// Asks the service worker to keep the files of the page that this visit has used, so that the next one needs no network.

import { ownScripts } from "../shared/own-scripts.js";

/** @typedef {import("./session.js").Session} Session */

/** @param {Session} session once its model works */
export async function keepForOffline(session) {
  // Not every browser offers it, and a private window may refuse; the page works without.
  if (!session.loaded || !("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(ownScripts.createScriptURL("service-worker.js"), { scope: "./" });
    const { active } = await navigator.serviceWorker.ready;
    const ours = performance.getEntriesByType("resource").map((entry) => entry.name);
    // The list of kept models may not have been asked for yet.
    const later = ownScripts.createScriptURL("worker/storage.js");
    const files = [...ours, String(later), ...(await session.workerFiles()), location.href.replace(/[?#].*$/, "")];
    if (!active) return;
    const { port1, port2 } = new MessageChannel();
    const kept = new Promise((resolve) => (port1.onmessage = resolve));
    active.postMessage({ keep: [...new Set(files)] }, [port2]);
    await kept;
    session.kept = true;
    session.changed();
  } catch (thrown) {
    console.info("Not kept for offline use:", thrown);
  }
}
