// Names the page's own script, besides those of the package: the security policy allows script addresses from Trusted
// Types policies only.

/** Address of the service worker, in the folder that the document names as its root. It has no version: the service
 * worker serves whichever version is cached, and its folder defines its scope. @type {any} */
export const serviceWorkerAddress = (() => {
  const address = `${document.documentElement.dataset.root ?? ""}service-worker.js`;
  const rules = { createScriptURL: () => new URL(address, document.baseURI).href };
  // Browsers without Trusted Types accept the plain address.
  const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
  return policy.createScriptURL("");
})();
