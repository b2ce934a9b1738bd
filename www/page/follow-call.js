// Shows what the package does during a call, through the loss of a GPU if need be: the model is then loaded again, and the
// call goes on.

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("./activity.js").Phase} Phase */
/** @typedef {import("./session.js").Session} Session */

/**
 * @template T
 * @param {Session} session
 * @param {Phase} phase  of the call, whose pictures may have to be encoded first
 * @param {(onProgress: (event: EngineEvent) => void) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function followCall({ loading, activity, conversation }, phase, work) {
  /** Phase that this call has begun. An error of something else may have replaced it. @type {Phase} */
  let begun = phase;
  /** Question that was being answered when the GPU was lost. @type {import("./types.js").Turn | undefined} */
  let interrupted;
  const goesOn = () => {
    if (!loading.recovering) return;
    loading.recovering = false;
    activity.loaded = true;
    // Stopped meanwhile.
    if (interrupted?.state === "stopped") activity.stop();
  };
  /** @param {EngineEvent} event */
  const onProgress = (event) => {
    if (event.type === "recover") {
      loading.recovering = true;
      activity.loaded = false;
      if (conversation.last?.state === "streaming") interrupted = conversation.last;
      begun = "loading";
      return activity.begin("loading");
    }
    if (event.type !== "fetch") {
      goesOn();
      const now = event.type === "encode" ? "encoding" : phase;
      if (now !== begun) activity.begin(now);
      begun = now;
    }
    activity.onProgress(event);
  };
  try {
    const result = await work(onProgress);
    goesOn();
    return result;
  } finally {
    loading.recovering = false;
  }
}
