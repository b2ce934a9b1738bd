// A thread of the engine's CPU backend: the same program in the same memory, which runs jobs as long as it lives. The memory
// comes through a port; after that the thread reads no further message.

import { fail_worker, initSync, run_worker } from "../pkg/threads/llava_web.js";

self.addEventListener("message", (event) => {
  const port = /** @type {MessagePort} */ (/** @type {MessageEvent} */ (event).data);
  port.onmessageerror = () => port.postMessage("the memory that it shares could not be read");
  port.onmessage = ({ data }) => {
    if (!data) return self.close();
    const { code, memory, queue } = data;
    let started = false;
    try {
      initSync({ module: code, memory });
      run_worker(queue, () => {
        started = true;
        port.postMessage("");
      });
    } catch (thrown) {
      // The engine must not wait for this thread for ever.
      if (started) fail_worker(queue);
      else port.postMessage(String(thrown));
    }
  };
});
