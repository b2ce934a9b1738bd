// The security policy lets scripts be named only through this policy, on the page and in workers.

/** It knows these. @type {{ createScriptURL: (name: string) => any }} */
export const ownScripts = (() => {
  const names = ["worker/worker.js", "worker/worker-threads.js", "worker/pool-thread.js", "worker/storage.js", "service-worker.js"];
  const rules = {
    /** @param {string} name */
    createScriptURL(name) {
      if (!names.includes(name)) throw new TypeError(`${name} is not ours`);
      // Its address has no version: it serves whichever is there, and its place says which pages are its own.
      if (name === "service-worker.js") return new URL(name, /** @type {any} */ (globalThis).document.baseURI).href;
      return new URL(`../${name}`, import.meta.url).href;
    },
  };
  // Browsers without trusted types take the plain address.
  return /** @type {any} */ (globalThis).trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
})();
