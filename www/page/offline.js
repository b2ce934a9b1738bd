// Asks the service worker to keep what this visit has used, so that the next one needs no network.

import { ownScripts } from "./engine-link.js";

/** @typedef {import("./session.js").Session} Session */

/** Larger models are left to the browser's own cache, bytes. */
const KEEP_BELOW = 100e6;

/** @param {Session} session once its model works */
export async function keepForOffline(session) {
  const { loaded, plan } = session;
  // Not every browser offers it, and a private window may refuse; the page works without.
  if (!loaded || !plan || plan.total_bytes > KEEP_BELOW || !("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(ownScripts.createScriptURL("service-worker.js"), { scope: "./" });
    const { active } = await navigator.serviceWorker.ready;
    const ours = performance.getEntriesByType("resource").map((entry) => entry.name);
    const files = [...ours, ...(await session.workerFiles()), location.href.replace(/[?#].*$/, "")];
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
