/** Returns the estimate; `null` where the device failed to run it.
 * @param {import("./engine-link.js").EngineLink} link */
export function estimateSpeed(link: import("./engine-link.js").EngineLink): Promise<import("../shared/protocol.js").Probe | null>;
/** Bytes that a model may take on the CPU. WebAssembly addresses 4 GiB; the program, its pictures and its tables need
 * some of it. */
export const CPU_MEMORY_LIMIT: 3500000000;
