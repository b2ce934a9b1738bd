// Threads of the engine's CPU backend: workers of the page, which share the engine's memory and end with it. The engine
// never waits for a thread that does not start.

/** Time to wait for the threads before the engine reports how many it has, ms. A thread that starts later works, too. */
const START_TIMEOUT = 5000;

/**
 * @param {MessagePort[]} ports one for each thread
 * @param {{ code: WebAssembly.Module, memory: WebAssembly.Memory, queue: number }} shared what a thread needs
 * @returns {Promise<string[]>} for each thread that did not start, why
 */
export async function startThreads(ports, shared) {
  /** @param {MessagePort} port @returns {Promise<string>} */
  const start = (port) =>
    new Promise((resolve) => {
      setTimeout(() => resolve("it did not start in time"), START_TIMEOUT);
      port.onmessage = ({ data }) => resolve(data);
      try {
        port.postMessage(shared);
      } catch (thrown) {
        resolve(String(thrown));
      }
    });
  const results = await Promise.all(ports.map(start));
  return results.filter(Boolean);
}

/** Ends threads that are not needed. @param {MessagePort[]} ports */
export function endThreads(ports) {
  for (const port of ports) port.postMessage(null);
}
