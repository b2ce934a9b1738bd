// Whether a host sends what the page, or the file of a model, needs: ./build.sh check-host URL. Every line is "ok", "to
// set" (it will not work, or may break) or "could be better"; the exit status is 1 where something is to be set.
// Reasons: src/docs/hosting.md.

import { createHash } from "node:crypto";

/** Another site's page, as far as a host can tell. */
const SITE = "https://another-site.example";
const PATIENCE = 20_000;
/** A name that no host has. */
const ABSENT = "llava-web-check-0123456789abcdef";

let wrong = 0;
/** @param {boolean} fine @param {string} what @param {string} [advice] @param {boolean} [must] */
function say(fine, what, advice = "", must = true) {
  if (!fine && must) wrong++;
  const mark = fine ? "ok              " : must ? "to set          " : "could be better ";
  console.log(`${mark}${what}${fine || !advice ? "" : `\n                → ${advice}`}`);
}

/** @param {string | URL} url @param {Record<string, string>} [headers] @param {string} [method] */
async function ask(url, headers = {}, method = "GET") {
  const response = await fetch(url, { method, headers: { "accept-encoding": "identity", ...headers }, signal: AbortSignal.timeout(PATIENCE), redirect: "follow" });
  return { response, status: response.status, header: (/** @type {string} */ name) => response.headers.get(name) ?? "" };
}
/** @param {Awaited<ReturnType<typeof ask>>} answer */
const text = (answer) => answer.response.text();
/** @param {Awaited<ReturnType<typeof ask>>} answer */
const drop = (answer) => answer.response.body?.cancel().catch(() => {});
/** @param {string} header @param {string} type */
const isType = (header, type) => header.split(";")[0]?.trim().toLowerCase() === type;
/** @param {string} caching */
const isChecked = (caching) => /no-cache|no-store|max-age=0\b/.test(caching);

/** The page. @param {URL} url @param {string} html @param {Awaited<ReturnType<typeof ask>>} document */
async function checkPage(url, html, document) {
  const version = /name="llava-web-version" content="([0-9a-f]*)"/.exec(html)?.[1];
  say(version !== undefined, "this is the page", "It answers with another document. Give the address under which visitors open the page.");
  if (version === undefined) return;
  say(version !== "", `its addresses carry the version (${version || "none"})`, "Serve the folder site/ that ./build.sh build writes, not www/: caches may mix two builds otherwise.", false);
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  say(url.protocol === "https:" || local, "a secure origin", "Serve it over HTTPS: browsers give WebGPU, threads, storage and offline use to nothing else.");
  say(isChecked(document.header("cache-control")), `the document is asked for anew: Cache-Control: ${document.header("cache-control") || "(none)"}`, "Send Cache-Control: no-cache for the document, service-worker.js and manifests, so that a new version is seen immediately.");
  isolation("the document", document);
  const policy = document.header("content-security-policy");
  say(policy !== "", "Content-Security-Policy", "Optional: without the header the policy in index.html holds for the page, not for its worker.", false);
  if (policy) say(/script-src[^;]*'wasm-unsafe-eval'/.test(policy) && /worker-src[^;]*'self'|default-src[^;]*'self'/.test(policy), "the policy lets WebAssembly and workers run", "script-src needs 'self' 'wasm-unsafe-eval', and worker-src 'self'.");

  const base = version ? `v/${version}/` : "";
  /** @type {[string, string[], string][]} */
  const files = [
    ["start.js", ["text/javascript", "application/javascript"], "no script runs"],
    ["page/main.js", ["text/javascript", "application/javascript"], "no module runs"],
    ["worker/worker-threads.js", ["text/javascript", "application/javascript"], "the engine's worker does not start"],
    ["style.css", ["text/css"], "the page has no style"],
    ["pkg/llava_web_bg.wasm", ["application/wasm"], "the engine is compiled only after all of it has arrived"],
    ["pkg/threads/llava_web_bg.wasm", ["application/wasm"], "the engine is compiled only after all of it has arrived"],
  ];
  for (const [name, types, else_] of files) {
    const answer = await ask(new URL(base + name, url), { "accept-encoding": "gzip, br" });
    await drop(answer);
    const type = answer.header("content-type");
    if (answer.status !== 200) {
      say(false, `${base + name}: status ${answer.status}`, "Copy all of the folder, models included.", !name.startsWith("pkg/threads"));
      continue;
    }
    say(types.some((wanted) => isType(type, wanted)), `${name}: Content-Type: ${type || "(none)"}`, `Send ${types[0]}: otherwise ${else_}.`, !name.endsWith(".wasm"));
    if (name.startsWith("worker/")) isolation(name, answer);
    if (/main\.js|pkg\/llava/.test(name)) {
      const caching = answer.header("cache-control");
      if (version) say(/immutable|max-age=\d{6,}/.test(caching), `${name}: Cache-Control: ${caching || "(none)"}`, "Below v/: public, max-age=31536000, immutable. The address changes with the content.", false);
      else say(isChecked(caching), `${name}: Cache-Control: ${caching || "(none)"}`, "Without a version in the address: no-cache.");
      say(answer.header("content-encoding") !== "", `${name}: compressed`, "Compress scripts and .wasm (gzip, br): a third of the bytes.", false);
    }
  }
  const worker = await ask(new URL("service-worker.js", url));
  await drop(worker);
  say(worker.status === 200 && /javascript/.test(worker.header("content-type")), `service-worker.js: ${worker.status} ${worker.header("content-type")}`, "It lies beside index.html: without it the page does not work offline.", false);
  if (worker.status === 200) say(isChecked(worker.header("cache-control")), `service-worker.js: Cache-Control: ${worker.header("cache-control") || "(none)"}`, "no-cache", false);
  await checkAbsent(url);
  const manifest = new URL("models/scenes/manifest.json", url);
  console.log(`\n${manifest}`);
  await checkModel(manifest, false);
}

/** @param {string} name @param {Awaited<ReturnType<typeof ask>>} answer */
function isolation(name, { header }) {
  const [opener, embedder] = [header("cross-origin-opener-policy"), header("cross-origin-embedder-policy")];
  const isolated = opener === "same-origin" && ["require-corp", "credentialless"].includes(embedder);
  say(isolated, `${name}: isolated from other sites`, "Send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp: without them the CPU backend has one thread.", false);
}

/** What a host says of names it does not have. @param {URL} url */
async function checkAbsent(url) {
  const answer = await ask(new URL(`v/${ABSENT}.js`, url));
  await drop(answer);
  say(answer.status === 404 || answer.status === 410, `a file that is not there: status ${answer.status}`, "Answer 404, and no page instead: a missing script or model file is taken for what it is only then.");
  say(!/immutable|max-age=\d{3,}/.test(answer.header("cache-control")), `a file that is not there: Cache-Control: ${answer.header("cache-control") || "(none)"}`, "An error that is remembered for long outlives its cause.");
}

/** A file of a model. @param {URL} url @param {boolean} foreign whether pages of other sites are to read it */
async function checkModel(url, foreign) {
  const range = await ask(url, { range: "bytes=0-0", origin: SITE });
  await drop(range);
  const ranges = range.status === 206;
  const hashed = /\/[0-9a-f]{16,}\.bin$/.test(url.pathname);
  // Shards are fetched whole.
  const large = /\.(gguf|safetensors|bin)$/.test(url.pathname) && !hashed;
  if (range.status >= 400) return say(false, `status ${range.status}`, "The file is not there, or not for everybody.");
  say(ranges, `parts of it can be asked for (Range: status ${range.status})`, "Without ranges a file is read from its beginning each time. Let the host answer Range requests.", large);
  const size = Number(/\/(\d+)$/.exec(range.header("content-range"))?.[1] ?? NaN);
  if (ranges) say(Number.isFinite(size), `Content-Range: ${range.header("content-range") || "(none)"}`, "It must say the length of the whole file, after the slash.");
  const type = range.header("content-type");
  say(!isType(type, "text/html"), `Content-Type: ${type || "(none)"}`, "This is a web page. Give the address of the file itself.");
  const origin = range.header("access-control-allow-origin");
  const cors = origin === "*" || origin === SITE;
  say(cors, `Access-Control-Allow-Origin: ${origin || "(none)"}`, "Send *: pages of other sites may not read it otherwise.", foreign);
  if (cors) {
    const exposed = range.header("access-control-expose-headers").toLowerCase();
    for (const name of ["content-range", "etag"]) say(exposed === "*" || exposed.includes(name), `other sites see ${name}`, "Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, ETag. Hidden, more requests are needed, and a change is noticed by the length only.", false);
    const embedding = range.header("cross-origin-resource-policy");
    say(embedding !== "same-origin" && embedding !== "same-site", `Cross-Origin-Resource-Policy: ${embedding || "(none)"}`, "Send cross-origin, or nothing.", foreign);
  }
  const [etag, modified] = [range.header("etag"), range.header("last-modified")];
  say(etag !== "" || modified !== "", `its version: ETag ${etag || "(none)"}, Last-Modified ${modified || "(none)"}`, "Send one of them: otherwise a change of the file is noticed by its length only.", false);
  const again = await ask(url, { range: "bytes=0-0", origin: SITE });
  await drop(again);
  say(again.header("etag") === etag || again.header("last-modified") === modified && modified !== "", "the version is the same when asked again", "Machines behind one name should give one file one ETag, or at least one date.", false);
  const whole = await ask(url, { "accept-encoding": "gzip, br", origin: SITE });
  await drop(whole);
  say(!large || whole.header("content-encoding") === "", `compressed: ${whole.header("content-encoding") || "no"}`, "Weights do not shrink, and a compressed answer has no ranges: switch it off for them.", false);
  const caching = whole.header("cache-control");
  if (hashed) say(/immutable|max-age=\d{6,}/.test(caching), `Cache-Control: ${caching || "(none)"}`, "Named by its hash: public, max-age=31536000, immutable.", false);
  else say(!/immutable|max-age=\d{6,}/.test(caching), `Cache-Control: ${caching || "(none)"}`, "no-cache: a name that is no hash may get another content.");
  if (!url.pathname.endsWith("manifest.json")) return;
  const manifest = JSON.parse(await text(await ask(url)));
  const shard = manifest.shards?.[0] ?? manifest.parts?.[0];
  const file = shard?.file ?? shard?.name;
  if (!file) return;
  console.log(`\n${new URL(file, url)}`);
  await checkModel(new URL(file, url), foreign);
  if (typeof shard.sha256 !== "string") return;
  const bytes = Buffer.from(await (await ask(new URL(file, url))).response.arrayBuffer());
  say(createHash("sha256").update(bytes).digest("hex") === shard.sha256, "its bytes are what the manifest promises", "Copy the file again, in binary mode.");
}

const [address] = process.argv.slice(2);
try {
  if (!address) throw new Error("check-host URL: the address of the page (https://example.org/llava/), or of a model's file");
  const url = new URL(address);
  console.log(String(url));
  if (url.pathname.endsWith("/") || url.pathname.endsWith(".html")) {
    const document = await ask(url, { accept: "text/html" });
    say(document.status === 200 && isType(document.header("content-type"), "text/html"), `status ${document.status}, Content-Type: ${document.header("content-type") || "(none)"}`, "The page's own address must answer with text/html.");
    await checkPage(new URL(document.response.url), await text(document), document);
  } else {
    await checkModel(url, true);
  }
  console.log(wrong ? `\n${wrong} to set.` : "\nNothing has to be set.");
} catch (thrown) {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? `: ${thrown.cause.message}` : "";
  console.error(`check-host: ${thrown instanceof Error ? thrown.message : thrown}${cause}`);
  wrong++;
}
process.exitCode = wrong ? 1 : 0;
