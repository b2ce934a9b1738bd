// Threads that help the engine on the CPU: workers of the page, which share the engine's memory and end with it. The engine
// never waits for one that does not come.

/** How long the others are waited for before the engine says how many it has, ms. One that comes later works, too. */
const PATIENCE = 5000;

/**
 * @param {MessagePort[]} ports one for each thread
 * @param {{ code: WebAssembly.Module, memory: WebAssembly.Memory, board: number }} share what a thread needs
 * @returns {Promise<string[]>} why some did not come
 */
export async function gather(ports, share) {
  /** @param {MessagePort} port @returns {Promise<string>} */
  const start = (port) =>
    new Promise((resolve) => {
      setTimeout(() => resolve("it did not start in time"), PATIENCE);
      port.onmessage = ({ data }) => resolve(data);
      try {
        port.postMessage(share);
      } catch (thrown) {
        resolve(String(thrown));
      }
    });
  const ends = await Promise.all(ports.map(start));
  return ends.filter(Boolean);
}

/** Ends threads that are not needed. @param {MessagePort[]} ports */
export function dismiss(ports) {
  for (const port of ports) port.postMessage(null);
}
