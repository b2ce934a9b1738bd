// Threads that help the engine on the CPU: workers of this worker, which share its memory and end with it. The engine never
// waits for one that does not come.

import { ownScripts } from "../shared/own-scripts.js";

/** How long the others are waited for before the engine says how many it has, ms. One that comes later works, too. */
const PATIENCE = 5000;

/**
 * @param {number} count
 * @param {{ code: WebAssembly.Module, memory: WebAssembly.Memory, board: number }} share what a thread needs
 * @returns {Promise<string[]>} why some did not come
 */
export async function gather(count, share) {
  /** @returns {Promise<string>} */
  const start = () =>
    new Promise((resolve) => {
      setTimeout(() => resolve("it did not start in time"), PATIENCE);
      try {
        const worker = new Worker(ownScripts.createScriptURL("worker/team-thread.js"), { type: "module", name: "cpu" });
        worker.addEventListener("message", ({ data }) => resolve(data));
        worker.addEventListener("error", (event) => {
          // It is no crash: the engine works without it.
          event.preventDefault();
          resolve(event.message || "its script could not be loaded");
        });
        worker.postMessage(share);
      } catch (thrown) {
        resolve(String(thrown));
      }
    });
  const ends = await Promise.all(Array.from({ length: count }, start));
  return ends.filter(Boolean);
}
