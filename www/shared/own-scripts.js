// Names the scripts of this page: the security policy allows script addresses from this Trusted Types policy only, on
// the page and in workers.

/** Returns the address of a script of this page; throws for every other name.
 * @type {{ createScriptURL: (name: string) => any }} */
export const ownScripts = (() => {
  const names = ["worker/worker.js", "worker/worker-threads.js", "worker/pool-thread.js", "worker/storage.js", "service-worker.js"];
  const rules = {
    /** @param {string} name */
    createScriptURL(name) {
      if (!names.includes(name)) throw new TypeError(`${name} is not a script of this page`);
      // The service worker has no version in its address: it serves whichever version is cached, and its folder defines
      // its scope.
      if (name === "service-worker.js") return new URL(name, /** @type {any} */ (globalThis).document.baseURI).href;
      return new URL(`../${name}`, import.meta.url).href;
    },
  };
  // Browsers without Trusted Types accept the plain address.
  return /** @type {any} */ (globalThis).trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
})();
