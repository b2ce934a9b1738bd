// Workers that are the engine's other threads on the CPU. The page makes them: in Firefox, `new Worker()` inside a worker may
// never return.

import { ownScripts } from "../shared/own-scripts.js";

/**
 * Starts the workers. Each waits at its port, which the engine's worker receives, for the memory that it shares. The page
 * never holds that memory, and so does not keep it alive.
 * @param {number} count
 * @returns {{ workers: Worker[], ports: MessagePort[] }}
 */
export function createThreadWorkers(count) {
  const started = Array.from({ length: count }, () => {
    const worker = new Worker(ownScripts.createScriptURL("worker/pool-thread.js"), { type: "module", name: "cpu" });
    // This is not a failure of the page: the engine works without the thread.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      console.info("A thread of the engine did not start:", event.message || "its script could not be loaded");
    });
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port1, [port1]);
    return { worker, port: port2 };
  });
  return { workers: started.map(({ worker }) => worker), ports: started.map(({ port }) => port) };
}
