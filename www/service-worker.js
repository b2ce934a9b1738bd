// Offline use: caches the page's files of one version, all of them or none. The document names its version and all
// files under addresses of that version (`./build.sh build`), so that versions cannot mix. Models are cached and
// verified by worker/model-cache.js.
//
// It controls neither the page that registers it nor one that an older version serves: in some browsers a request that
// waits for a worker to become active waits for a minute and fails.

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
/** Name of the cache that says which version is complete; with a version appended, the cache of that version. It tells
 * this page from others of its origin. */
const CACHE = `llava-web ${new URL(scope.registration.scope).pathname}`;
/** Time that the network has before the cached file is served, ms. */
const NETWORK_TIMEOUT = 4000;
/** Clients whose document came from the cache (true) or from the network (false). The files of a page without versions
 * in its addresses come from the same.
 * @type {Map<string, boolean>} */
const origins = new Map();

/** Returns the address of the page's document without its query. @returns {string} */
const documentKey = () => scope.registration.scope;
/** Returns whether a key is that of a document: the page's, the proof's, or a demo's. @param {string} key */
const isDocument = (key) => key === documentKey() || key === `${documentKey()}proof.html` || (key.startsWith(`${documentKey()}demos/`) && key.endsWith(".html"));
/** Returns the cache's key of an address: the page's document has its scope, and others lose their query. @param {URL} url */
function keyOf(url) {
  const key = url.origin + url.pathname;
  if (key === `${documentKey()}index.html`) return documentKey();
  return key === `${documentKey()}demos/` ? `${key}index.html` : key;
}
/** Returns the version in an address; empty where it has none. @param {string} key */
const versionIn = (key) => /\/v\/([0-9a-f]{16})\//.exec(key.slice(documentKey().length - 1))?.[1] ?? "";
/** Returns the version of a document; `null` for a document of another page. @param {string} text */
const versionOf = (text) => /<meta name="llava-web-version" content="([0-9a-f]*)">/.exec(text)?.[1] ?? null;

/** Returns the caches of the complete versions: the current one, and the one before it, which open tabs may need.
 * @returns {Promise<{ current: string, before: string } | null>} */
async function complete() {
  const record = await (await caches.open(CACHE)).match("complete");
  return record ? record.json() : null;
}

/** Returns whether a response is the file that its address names: sign-in pages of networks answer every address with
 * HTML.
 * @param {string} key @param {Response} response */
function isGenuine(key, response) {
  const html = response.headers.get("content-type")?.startsWith("text/html") ?? false;
  return response.ok && !response.redirected && html === isDocument(key);
}

/** Fetches a file into the cache of a version. @param {string} key @param {Cache} cache @param {string} version */
async function fetchInto(key, cache, version) {
  if (version && (await cache.match(key))) return;
  const response = await fetch(key, { cache: isDocument(key) ? "no-cache" : "default" });
  // A file that the host does not have is not part of the page.
  if ([404, 410].includes(response.status) && !isDocument(key)) return;
  if (!isGenuine(key, response)) throw new Error(`${key} answers ${response.status} ${response.headers.get("content-type")}`);
  const now = isDocument(key) ? versionOf(await response.clone().text()) : version;
  if (now !== version) throw new Error(`the host has version ${now}, and this page is of ${version}`);
  await cache.put(key, response);
}

/** Caches the files of a document, of one version: of demos, if the addresses hold one, otherwise of the page. The version
 * replaces the one before only when all are cached. Documents come last, so that a cached one has its files.
 * @param {string} version @param {string[]} addresses */
async function cacheVersion(version, addresses) {
  const urls = addresses.map((address) => new URL(address)).filter((url) => url.href.startsWith(documentKey()));
  const keys = [...new Set(urls.map(keyOf))];
  const documents = keys.filter(isDocument);
  const files = keys.filter((key) => !isDocument(key) && versionIn(key) === version);
  // Files without a version in their addresses are all fetched again.
  const name = `${CACHE} ${version || `at ${Date.now()}`}`;
  const cache = await caches.open(name);
  try {
    for (const key of [...files, ...(documents.length ? documents : [documentKey()])]) await fetchInto(key, cache, version);
  } catch (thrown) {
    if (!version) await caches.delete(name);
    throw thrown;
  }
  const last = await complete();
  const record = { current: name, before: last?.current === name ? last.before : (last?.current ?? "") };
  await (await caches.open(CACHE)).put("complete", new Response(JSON.stringify(record)));
  for (const other of await caches.keys()) {
    // Until November 2026 the cache "llava-web" held the files of every version.
    if (other === "llava-web" || (other.startsWith(`${CACHE} `) && !Object.values(record).includes(other))) await caches.delete(other);
  }
}

/** Returns the network's answer if it is the requested file and arrives in time.
 * @param {Request} request @param {string} key @returns {Promise<Response | null>} */
async function fromNetwork(request, key) {
  const timeout = new Promise((resolve) => setTimeout(() => resolve(null), NETWORK_TIMEOUT));
  const answered = fetch(request).then(async (response) => {
    // A page that its host has removed (404, 410) is a valid answer; another page at the same address is not.
    if ([404, 410].includes(response.status)) return response;
    if (!isGenuine(key, response)) return null;
    return !isDocument(key) || versionOf(await response.clone().text()) !== null ? response : null;
  });
  return Promise.race([answered.catch(() => null), timeout]);
}

/** Answers a request from the cache or from the network.
 * @param {FetchEvent} event @param {string} key @returns {Promise<Response>} */
async function answer({ request, clientId, resultingClientId }, key) {
  const version = versionIn(key);
  const record = await complete();
  // Of a new version, only the page may be cached yet, or only a demo.
  const names = version ? [`${CACHE} ${version}`] : record ? [record.current, ...(isDocument(key) && record.before ? [record.before] : [])] : [];
  let cached;
  for (const name of names) cached ??= (await caches.has(name)) ? await (await caches.open(name)).match(key, { ignoreVary: true }) : undefined;
  // The content of an address with a version never changes.
  if (cached && version) return cached;
  const origin = isDocument(key) ? undefined : origins.get(clientId);
  const found = !cached || origin === false ? await fetch(request) : origin ? null : await fromNetwork(request, key);
  if (resultingClientId) origins.set(resultingClientId, !found);
  return found ?? /** @type {Response} */ (cached);
}

scope.addEventListener("message", (event) => {
  const { keep: addresses, version } = event.data ?? {};
  if (!Array.isArray(addresses) || typeof version !== "string") return;
  const done = cacheVersion(version, addresses).then(
    () => "kept",
    (thrown) => String(thrown),
  );
  event.waitUntil(done.then((result) => event.ports[0]?.postMessage(result)));
});
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.location.origin) return;
  const key = keyOf(url);
  if (request.mode !== "navigate" && (request.headers.has("range") || ["no-store", "reload"].includes(request.cache))) return;
  // Navigations to other pages below this one are not handled.
  if (request.mode === "navigate" && !isDocument(key)) return;
  event.respondWith(answer(event, key));
});
