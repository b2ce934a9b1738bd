// A model tried out on this machine before it is fetched.

import { Failure } from "../shared/failure.js";

/** WebAssembly addresses 4 GiB; the program, its pictures and its tables need some of it. Bytes. */
export const CPU_MOST = 3.5e9;

/** What a trial says; `null` where the device could not go through with it.
 * @param {import("./engine-link.js").EngineLink} link */
export function tryOut(link) {
  return link.call("probe", null).catch((thrown) => {
    const failure = Failure.from(thrown, "probe");
    if (failure.kind === "cancelled") throw failure;
    console.info("No prediction:", thrown);
    return null;
  });
}
