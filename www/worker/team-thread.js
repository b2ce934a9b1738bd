// A thread that helps the engine on the CPU: the same program in the same memory, waiting for work as long as it lives. It
// reads no further message.

import { fail, initSync, work } from "../pkg/threads/llava_web.js";

self.addEventListener("message", (event) => {
  const { code, memory, board } = /** @type {MessageEvent} */ (event).data;
  let joined = false;
  try {
    initSync({ module: code, memory });
    work(board, () => {
      joined = true;
      self.postMessage("");
    });
  } catch (thrown) {
    // Whoever waits for this thread must not do so for ever.
    if (joined) fail(board);
    else self.postMessage(String(thrown));
  }
});
