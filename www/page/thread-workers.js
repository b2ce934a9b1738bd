// Workers that are the engine's other threads on the CPU. The page makes them, since a worker of the engine's worker is not to
// be had everywhere: Firefox, asked for one, may not return for ever.

import { ownScripts } from "../shared/own-scripts.js";

/**
 * Starts so many. Each waits at its port, which the engine's worker is to be given, for the memory that it shares; the page
 * never sees that, and so does not keep it.
 * @param {number} count
 * @returns {{ workers: Worker[], ports: MessagePort[] }}
 */
export function startThreads(count) {
  const started = Array.from({ length: count }, () => {
    const worker = new Worker(ownScripts.createScriptURL("worker/team-thread.js"), { type: "module", name: "cpu" });
    // It is no crash: the engine works without it.
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
