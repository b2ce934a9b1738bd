// A host of plain files, as a static host or a CDN is one: folders at addresses, types by ending, headers for all.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import path from "node:path";

/** @type {Record<string, string>} */
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png" };
/** Headers that isolate a page from other sites. */
export const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/**
 * @param {Record<string, string>} folders by the beginning of their addresses, the longest first
 * @param {Record<string, string>} headers of every answer
 * @param {Record<string, string>} [texts] documents by address
 */
export async function staticHost(folders, headers, texts = {}) {
  /** Addresses that were asked for and are missing. @type {string[]} */
  const missing = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://host");
    const at = Object.keys(folders).find((prefix) => pathname.startsWith(prefix)) ?? "";
    const name = path.join(folders[at] ?? "", pathname.slice(at.length) || "index.html");
    const text = texts[pathname];
    const body = text ?? (name.startsWith(folders[at] ?? "/") ? await readFile(name).catch(() => null) : null);
    if (body === null && pathname !== "/favicon.ico") missing.push(pathname);
    response.writeHead(body === null ? 404 : 200, { "content-type": TYPES[path.extname(text === undefined ? name : ".html")] ?? "application/octet-stream", ...headers });
    response.end(body ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    missing,
    /** The loopback address is a secure context. */
    url: `http://127.0.0.1:${port}/`,
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(() => resolve(null)))),
  };
}
