// Estimates a model's speed before it is downloaded, by timing one matrix of its size and type.

import { Failure } from "../shared/failure.js";

/** Bytes that a model may take on the CPU. WebAssembly addresses 4 GiB; the program, its pictures and its tables need
 * some of it. */
export const CPU_MEMORY_LIMIT = 3.5e9;

/** Returns the estimate; `null` where the device failed to run it.
 * @param {import("./engine-link.js").EngineLink} link */
export function estimateSpeed(link) {
  return link.call("probe", null).catch((thrown) => {
    const failure = Failure.from(thrown, "probe");
    if (failure.kind === "cancelled") throw failure;
    console.info("No estimate of the speed:", thrown);
    return null;
  });
}
