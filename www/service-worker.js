// Offline: what a visit has used of the page is kept as one version of it, complete or not at all. The document says which
// version it is and names all the rest under an address of that version (`./build.sh build`), so that nothing here can mix
// two. Models are not its business: worker/store.js keeps them, verified.
//
// It takes over neither the page that registers it nor one that an older version of it serves: a request that had to wait
// until a worker is active would wait for a minute in some browsers, and fail then.

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
/** Names what is kept of this page, among others of its origin: the cache that says which version is complete; with a version
 * behind it, the cache of that version. */
const CACHE = `llava-web ${new URL(scope.registration.scope).pathname}`;
/** How long the network has before what is kept is served, ms. */
const PATIENCE = 4000;
/** Clients whose document was kept (true) or came from the network (false): the rest of a page that has no versions in its
 * addresses comes from the same. @type {Map<string, boolean>} */
const origins = new Map();

/** @returns {string} the address of the document, whatever its query */
const documentKey = () => scope.registration.scope;
/** @param {URL} url */
const keyOf = (url) => (url.href.startsWith(documentKey()) && /^(index\.html)?$/.test(url.pathname.slice(new URL(documentKey()).pathname.length)) ? documentKey() : url.origin + url.pathname);
/** The version in an address; empty where it has none. @param {string} key */
const versionIn = (key) => /\/v\/([0-9a-f]{16})\//.exec(key.slice(documentKey().length - 1))?.[1] ?? "";
/** The version that a document is of; null where it is no document of this page. @param {string} text */
const versionOf = (text) => /<meta name="llava-web-version" content="([0-9a-f]*)">/.exec(text)?.[1] ?? null;

/** Names of the caches that hold a complete version: the one to be served, and the one before it, which open tabs may need.
 * @returns {Promise<{ current: string, before: string } | null>} */
async function complete() {
  const noted = await (await caches.open(CACHE)).match("complete");
  return noted ? noted.json() : null;
}

/** Whether a response is what its address says: sign-in pages of networks answer every address with HTML. @param {string} key @param {Response} response */
function isGenuine(key, response) {
  const html = response.headers.get("content-type")?.startsWith("text/html") ?? false;
  return response.ok && !response.redirected && html === (key === documentKey());
}

/** @param {string} key @param {Cache} cache @param {string} version */
async function store(key, cache, version) {
  if (version && (await cache.match(key))) return;
  const response = await fetch(key, { cache: key === documentKey() ? "no-cache" : "default" });
  // What the host does not have is no part of the page.
  if ([404, 410].includes(response.status) && key !== documentKey()) return;
  if (!isGenuine(key, response)) throw new Error(`${key} answers ${response.status} ${response.headers.get("content-type")}`);
  const now = key === documentKey() ? versionOf(await response.clone().text()) : version;
  if (now !== version) throw new Error(`the host has version ${now} by now, and this page is of ${version}`);
  await cache.put(key, response);
}

/** Keeps a version; only when all of it is there it takes the place of the one before.
 * @param {string} version @param {string[]} addresses */
async function keep(version, addresses) {
  const urls = addresses.map((address) => new URL(address)).filter((url) => url.href.startsWith(documentKey()));
  const keys = new Set(urls.map(keyOf).filter((key) => key === documentKey() || versionIn(key) === version));
  // What has no version in its addresses is asked for anew, all of it.
  const name = `${CACHE} ${version || `at ${Date.now()}`}`;
  const cache = await caches.open(name);
  try {
    for (const key of [...keys, documentKey()]) await store(key, cache, version);
  } catch (thrown) {
    if (!version) await caches.delete(name);
    throw thrown;
  }
  const last = await complete();
  const noted = { current: name, before: last?.current === name ? last.before : (last?.current ?? "") };
  await (await caches.open(CACHE)).put("complete", new Response(JSON.stringify(noted)));
  for (const other of await caches.keys()) {
    // "llava-web" is what this page kept until November 2026, of every version.
    if (other === "llava-web" || (other.startsWith(`${CACHE} `) && !Object.values(noted).includes(other))) await caches.delete(other);
  }
}

/** What the network says in time, if that is what was asked for. @param {Request} request @param {string} key @returns {Promise<Response | null>} */
async function fromNetwork(request, key) {
  const late = new Promise((resolve) => setTimeout(() => resolve(null), PATIENCE));
  const asked = fetch(request).then(async (response) => {
    // That the page is gone from its host is an answer, and so is another page in its place, at the same address.
    if ([404, 410].includes(response.status)) return response;
    if (!isGenuine(key, response)) return null;
    return key !== documentKey() || versionOf(await response.clone().text()) !== null ? response : null;
  });
  return Promise.race([asked.catch(() => null), late]);
}

/** @param {FetchEvent} event @param {string} key @returns {Promise<Response>} */
async function answer({ request, clientId, resultingClientId }, key) {
  const version = versionIn(key);
  const noted = await complete();
  const names = version ? [`${CACHE} ${version}`] : noted ? [noted.current] : [];
  let kept;
  for (const name of names) kept ??= (await caches.has(name)) ? await (await caches.open(name)).match(key, { ignoreVary: true }) : undefined;
  // An address with a version has one content for ever.
  if (kept && version) return kept;
  const origin = key === documentKey() ? undefined : origins.get(clientId);
  const found = !kept || origin === false ? await fetch(request) : origin ? null : await fromNetwork(request, key);
  if (resultingClientId) origins.set(resultingClientId, !found);
  return found ?? /** @type {Response} */ (kept);
}

scope.addEventListener("message", (event) => {
  const { keep: addresses, version } = event.data ?? {};
  if (!Array.isArray(addresses) || typeof version !== "string") return;
  const done = keep(version, addresses).then(
    () => "kept",
    (thrown) => String(thrown),
  );
  event.waitUntil(done.then((said) => event.ports[0]?.postMessage(said)));
});
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.location.origin) return;
  const key = keyOf(url);
  if (request.mode !== "navigate" && (request.headers.has("range") || ["no-store", "reload"].includes(request.cache))) return;
  // Other pages below this one are none of ours.
  if (request.mode === "navigate" && key !== documentKey()) return;
  event.respondWith(answer(event, key));
});
