// The page the engines run in: a server whose answers isolate it (threads need that), and a worker per engine.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "Cache-Control": "no-store" };
const PAGE = "<!doctype html><title>Peers</title>";

/**
 * Serves each folder of `roots` under its name.
 * @param {Record<string, string>} roots
 */
export async function serve(roots) {
  const server = createServer((request, response) => {
    const [, name = "", ...rest] = decodeURIComponent(new URL(request.url ?? "", "http://x").pathname).split("/");
    const root = roots[name];
    const file = root && path.join(root, ...rest);
    if (name === "") return void response.writeHead(200, { ...ISOLATED, "Content-Type": "text/html" }).end(PAGE);
    if (!file || !file.startsWith(root) || !existsSync(file)) return void response.writeHead(404, ISOLATED).end();
    const type = TYPES[/** @type {keyof TYPES} */ (path.extname(file))] ?? "application/octet-stream";
    const whole = statSync(file).size;
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const [start, end] = range ? [Number(range[1]), range[2] ? Number(range[2]) : whole - 1] : [0, whole - 1];
    const headers = { ...ISOLATED, "Content-Type": type, "Content-Length": end - start + 1, "Accept-Ranges": "bytes", ETag: `"${whole}"` };
    response.writeHead(range ? 206 : 200, range ? { ...headers, "Content-Range": `bytes ${start}-${end}/${whole}` } : headers);
    createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/`, stop: () => server.close() };
}

/** One engine in a page of its own. */
export class Guest {
  /** @param {import("../browser/driver/driver.mjs").Driver} driver */
  constructor(driver) {
    this.driver = driver;
  }

  /** @param {import("../browser/driver/driver.mjs").Driver} driver  a browser for it alone @param {string} url */
  static async enter(driver, url) {
    await driver.goto(url);
    await driver.evaluate(() => {
      const worker = new Worker("/engines/worker.js", { type: "module" });
      /** @type {Map<number, (data: any) => void>} */
      const waiting = new Map();
      worker.onmessage = ({ data }) => waiting.get(data.id)?.(data);
      worker.onerror = (event) => waiting.forEach((settle) => settle({ error: event.message }));
      Object.assign(window, {
        call: async (/** @type {string} */ method, /** @type {any} */ args, /** @type {number} */ threads) => {
          // Ours takes its threads from the page that it runs in.
          const ports = threads ? (await import(String("/www/llava/workers.js"))).createThreadWorkers(threads).ports : [];
          return new Promise((resolve) => {
            const id = waiting.size;
            waiting.set(id, resolve);
            worker.postMessage({ id, method, args, ports }, ports);
          });
        },
      });
    });
    return new Guest(driver);
  }

  /** @param {string} method @param {unknown} args @param {number} [threads]  further ones, of ours @returns {Promise<any>} */
  async call(method, args, threads = 0) {
    const { value, error } = await this.driver.evaluate(({ method, args, threads }) => /** @type {any} */ (window).call(method, args, threads), { method, args, threads });
    if (error) throw new Error(error);
    return value;
  }

  /** Loads an engine. @param {{ module: string, setting: any }} engine @param {import("./engines/prompt.js").Task} task
   * @returns {Promise<string>} what it says of itself */
  load({ module, setting }, task) {
    const more = module === "ours" && setting.backend === "cpu" ? setting.threads - 1 : 0;
    return this.call("load", { name: module, task, setting }, more);
  }

  /** @param {import("./engines/prompt.js").Prompt} prompt @param {number} tokens @returns {Promise<import("./engines/prompt.js").Run>} */
  answer(prompt, tokens) {
    return this.call("answer", [prompt, tokens]);
  }

  leave() {
    return this.driver.close();
  }
}
