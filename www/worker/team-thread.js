// A thread that helps the engine on the CPU: the same program in the same memory, waiting for work as long as it lives. What
// it is to share comes through a port, and after that it reads no further message.

import { fail, initSync, work } from "../pkg/threads/llava_web.js";

self.addEventListener("message", (event) => {
  const port = /** @type {MessagePort} */ (/** @type {MessageEvent} */ (event).data);
  port.onmessageerror = () => port.postMessage("what it was to share could not be read");
  port.onmessage = ({ data }) => {
    if (!data) return self.close();
    const { code, memory, board } = data;
    let joined = false;
    try {
      initSync({ module: code, memory });
      work(board, () => {
        joined = true;
        port.postMessage("");
      });
    } catch (thrown) {
      // Whoever waits for this thread must not do so for ever.
      if (joined) fail(board);
      else port.postMessage(String(thrown));
    }
  };
});
