// A stand-in for the model hub: its listing in JSON, with pages; its redirects to signed addresses of another origin, which
// expire; Range there; gated models, unknown ones, and a limit on requests. `serveTo` puts it in the place of the hub for a
// browser: the page itself asks for the hub's real address.

import { copyFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { FaultyHost } from "./faulty-host.mjs";
import { fakeRoot, launch, serve, www } from "./harness.mjs";

const HUB = "https://huggingface.co";
/** Headers that the hub lets other sites see. */
const EXPOSED = "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag";

/** @typedef {{ status: number, headers: Record<string, string>, body: string }} Answer */
/** `gated`: its listing is public, its files are not; `closed`: neither.
 * @typedef {{ files: Map<string, Buffer | number>, gated?: boolean, closed?: boolean }} Repository */

export class FakeHub {
  /** Repositories by id; a file is its content, or only its length. @type {Map<string, Repository>} */
  repositories = new Map();
  /** Addresses that were asked for, without their origin. @type {string[]} */
  asked = [];
  /** Entries on a page of a listing. */
  pageLength = 1000;
  /** Requests after which each further one is answered with 429. */
  limit = Infinity;
  /** Whether a signature, by its number, has expired before it is used. @type {(number: number) => boolean} */
  expires = () => false;
  /** Signatures that were given, and whether each is good. @type {boolean[]} */
  #signatures = [];
  /** Requests that came with a signature that had expired. */
  expired = 0;
  /** The second origin: files by their id and path. */
  cdn = new FaultyHost();
  #door = createServer((request, response) => this.#pass(request, response));
  #own = createServer((request, response) => {
    const { status, headers, body } = this.answer(request.url ?? "/", request.method);
    response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body);
  });
  origin = "";
  signedOrigin = "";

  async listen() {
    await this.cdn.listen();
    for (const server of [this.#door, this.#own]) await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
    [this.signedOrigin = "", this.origin = ""] = [this.#door, this.#own].map((server) => `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`);
    return this;
  }

  async close() {
    await this.cdn.close();
    for (const server of [this.#door, this.#own]) {
      server.closeAllConnections();
      server.close();
    }
  }

  /** Adds a repository. @param {string} id @param {Record<string, Buffer | number>} files @param {Partial<Repository>} [more] */
  add(id, files, more = {}) {
    this.repositories.set(id, { files: new Map(Object.entries(files)), ...more });
    for (const [name, content] of Object.entries(files)) this.cdn.files.set(`${id}/${name}`, typeof content === "number" ? Buffer.alloc(Math.min(content, 4096)) : content);
  }

  /** Answers for the hub itself, in the place of its real address.
   * @param {import("playwright-core").BrowserContext} context */
  async serveTo(context) {
    await context.route(`${HUB}/**`, (route) => {
      const url = new URL(route.request().url());
      return route.fulfill(this.answer(url.pathname + url.search, route.request().method()));
    });
  }

  /** @param {string} address @param {string} [method] @returns {Answer} */
  answer(address, method = "GET") {
    this.asked.push(address);
    /** @param {number} status @param {string} body @param {Record<string, string>} [headers] */
    const reply = (status, body, headers = {}) => ({ status, body, headers: { "access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED, "content-type": "application/json", ...headers } });
    if (this.asked.length > this.limit) return reply(429, "rate limited", { "retry-after": "7" });
    const url = new URL(address, HUB);
    const [, api, id = "", revision = "", rest = ""] = /^(\/api\/models)?\/([^/]+\/[^/]+)\/(?:tree|resolve)\/([^/]+)\/?(.*)$/.exec(url.pathname) ?? [];
    const repository = this.repositories.get(id);
    // The hub does not tell those without an account whether a name is taken.
    if (!repository) return reply(401, '{"error":"Invalid username or password."}', { "x-error-code": "RepoNotFound" });
    if (repository.closed || (repository.gated && !api)) return reply(401, '{"error":"Access to model is restricted."}', { "x-error-code": "GatedRepo" });
    if (revision !== "main") return reply(404, "{}", { "x-error-code": "RevisionNotFound" });
    if (api) return this.#list(reply, url, repository, decodeURIComponent(rest));
    const path = decodeURIComponent(rest);
    const content = repository.files.get(path);
    if (content === undefined) return reply(404, "Entry not found", { "x-error-code": "EntryNotFound" });
    const signature = this.#signatures.length;
    this.#signatures.push(!this.expires(signature));
    const size = String(typeof content === "number" ? content : content.length);
    return reply(302, "", { location: `${this.signedOrigin}/${id}/${path}?signature=${signature}`, "x-linked-size": size, ...(method === "HEAD" && { "content-length": "0" }) });
  }

  /** @param {(status: number, body: string, headers?: Record<string, string>) => Answer} reply @param {URL} url
   * @param {Repository} repository @param {string} folder */
  #list(reply, url, { files }, folder) {
    const inside = [...files].filter(([path]) => !folder || path.startsWith(`${folder}/`));
    const folders = [...new Set(inside.flatMap(([path]) => (path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : [])))];
    const entries = [
      ...folders.map((path) => ({ type: "directory", oid: "0", size: 0, path })),
      ...inside.map(([path, content]) => {
        const size = typeof content === "number" ? content : content.length;
        return size > 1e6 ? { type: "file", oid: "1", size, path, lfs: { oid: "2", size, pointerSize: 134 } } : { type: "file", oid: "1", size, path };
      }),
    ];
    const at = Number(url.searchParams.get("cursor") ?? 0);
    const next = new URL(url);
    next.searchParams.set("cursor", String(at + this.pageLength));
    return reply(200, JSON.stringify(entries.slice(at, at + this.pageLength)), at + this.pageLength < entries.length ? { link: `<${next.href}>; rel="next"` } : {});
  }

  /** The second origin: lets requests with a good signature through.
   * @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
  async #pass(request, response) {
    const url = new URL(request.url ?? "/", this.signedOrigin);
    const good = this.#signatures[Number(url.searchParams.get("signature") ?? NaN)] ?? false;
    response.setHeader("access-control-allow-origin", "*").setHeader("access-control-expose-headers", "content-range, etag, accept-ranges");
    if (!good) {
      this.expired++;
      return void response.writeHead(403).end("<Error><Code>AccessDenied</Code></Error>");
    }
    const answer = await fetch(this.cdn.origin + url.pathname, { headers: request.headers.range ? { range: request.headers.range } : {} });
    for (const name of ["content-range", "content-length", "etag", "content-type"]) {
      const value = answer.headers.get(name);
      if (value) response.setHeader(name, value);
    }
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  }
}

/** Starts a stand-in of the hub, the page with a stand-in of the engine and with the catalogue, and a browser. */
export async function besideHub() {
  const hub = await new FakeHub().listen();
  const { root, remove } = await fakeRoot();
  await copyFile(path.join(www, "models/catalogue.json"), path.join(root, "models/catalogue.json"));
  // The second origin of the stand-in; the hub itself is allowed by default.
  const server = await serve(root, ["--model-host", hub.signedOrigin]);
  const browser = await launch({ gpu: false });
  const stop = async () => {
    await browser.close();
    await server.stop();
    await remove();
    await hub.close();
  };
  return { hub, server, browser, stop };
}
