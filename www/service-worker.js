// Offline: the files of the page that a visit has used are kept, and served when the network does not answer.
// They are asked for first, so that a new version of the page is never hidden by an old one. Models are not
// its business: worker/store.js keeps them, verified.

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = "llava-web";

/** The page is one document, whatever its query. @param {URL} url */
const keyOf = (url) => url.origin + url.pathname;

scope.addEventListener("install", () => scope.skipWaiting());
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

/** @param {string[]} addresses */
async function keep(addresses) {
  const cache = await caches.open(CACHE);
  const urls = addresses.map((address) => new URL(address)).filter((url) => url.origin === scope.location.origin);
  const wanted = new Set(urls.map(keyOf));
  // What no visit uses any more makes room.
  for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
  for (const key of wanted) {
    const response = await fetch(key);
    if (response.ok) await cache.put(key, response);
  }
}

/** @param {Request} request @param {URL} url */
async function answer(request, url) {
  try {
    return await fetch(request);
  } catch (thrown) {
    const kept = await (await caches.open(CACHE)).match(keyOf(url));
    if (kept) return kept;
    throw thrown;
  }
}

scope.addEventListener("message", (event) => {
  if (!Array.isArray(event.data?.keep)) return;
  event.waitUntil(keep(event.data.keep).then(() => event.ports[0]?.postMessage("kept")));
});
scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== scope.location.origin) return;
  if (event.request.headers.has("range") || event.request.cache === "no-store") return;
  event.respondWith(answer(event.request, url));
});


