// Stands between a browser and our server: counts what passes, can be shut as if there were no network, and can fail.

import { createServer, request } from "node:http";
import { once } from "node:events";

/** A request that came, and the bytes of body that were answered so far.
 * @typedef {{ path: string, bytes: number }} Passed */

export class Gate {
  /** @type {Passed[]} */
  passed = [];
  /** Status to answer a path with, in the place of the server's; 0 lets it through. @type {(path: string) => number} */
  fault = () => 0;
  #server = createServer((request, response) => this.#pass(request, response));
  #port = 0;

  /** @param {string} target address of the server */
  constructor(target) {
    this.target = target;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Lets requests through, always at the same address: a browser's storage belongs to that. */
  async open() {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = /** @type {import("node:net").AddressInfo} */ (this.#server.address()).port;
    return this;
  }

  /** Refuses connections, those that are open too. */
  async shut() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Bytes of weights that passed since the last `passed = []`. */
  get weights() {
    return this.passed.filter(({ path }) => /\.(bin|gguf)$/.test(path)).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** @param {import("node:http").IncomingMessage} asked @param {import("node:http").ServerResponse} response */
  #pass(asked, response) {
    const url = new URL(asked.url ?? "/", this.target);
    const passed = { path: url.pathname, bytes: 0 };
    this.passed.push(passed);
    const status = this.fault(url.pathname);
    if (status) return void response.writeHead(status).end();
    const { host: _, ...headers } = asked.headers;
    const onward = request(url, { method: asked.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("data", (piece) => (passed.bytes += piece.length));
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    asked.pipe(onward);
  }
}
