// A host of model files that fails on purpose, and records every range it was asked for.

import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

/**
 * The fault of one answer. `cut` closes the connection after this number of bytes, `short` ends the body there as if it
 * were complete, `stall` sends nothing more with the connection open, `flip` changes the byte there.
 * @typedef {{ status?: number, retryAfter?: number, cut?: number, short?: number, stall?: number, flip?: number,
 *   hang?: boolean, type?: string }} Fault
 */
/** A requested range of a file; one byte is a request for the file's size.
 * @typedef {{ file: string, first: number, end: number, whole: boolean }} Asked */

/** Bytes per write, so that a cut falls inside a body. */
const CHUNK = 16_384;

/** Numbers that look random and repeat with their seed (mulberry32). @param {number} seed */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class FaultyHost {
  /** @type {Map<string, Buffer>} */
  files = new Map();
  /** @type {Asked[]} */
  asked = [];
  /** Bytes of bodies that were sent. */
  sent = 0;
  /** Whether parts of files may be asked for. */
  ranges = true;
  cors = true;
  etag = '"one"';
  /** Behaviour of real hosts: `weak` compresses whole files, with a weak ETag that ends in "-gzip"; `etags` changes the
   * ETag with every answer; `gzip` serves no ranges, and compresses everything; `nohead` hides Content-Range, and refuses
   * HEAD; `chunked` serves no ranges, and sends no length; `cap` sends at most 64 KiB of a range.
   * @type {"" | "weak" | "etags" | "gzip" | "chunked" | "nohead" | "cap" | "nohead cap"} */
  habit = "";
  #answers = 0;
  /** Pause between two writes, ms. */
  pace = 0;
  /** Called for every range. @type {(asked: Asked) => Fault | null} */
  fault = () => null;
  #server = createServer((request, response) => this.#answer(request, response).catch(() => response.destroy()));

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve(null)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (this.#server.address());
    this.origin = `http://127.0.0.1:${port}`;
    return this;
  }

  origin = "";

  /** All connections end, now. */
  cutAll() {
    this.#server.closeAllConnections();
  }

  async close() {
    this.#server.close();
    this.cutAll();
  }

  /** Resolves when `bytes` more bytes of bodies were sent. @param {number} bytes */
  async afterSending(bytes) {
    const goal = this.sent + bytes;
    for (let waited = 0; this.sent < goal && waited < 10_000; waited += 5) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
  async #answer(request, response) {
    const file = decodeURIComponent(new URL(request.url ?? "", this.origin).pathname.slice(1));
    const content = this.files.get(file);
    if (this.cors) {
      response.setHeader("access-control-allow-origin", "*");
      if (!this.habit.includes("nohead")) response.setHeader("access-control-expose-headers", "content-range, etag, retry-after");
    }
    if (!content) return void response.writeHead(404).end("no such file");
    if (request.method === "HEAD" && this.habit.includes("nohead")) return void response.writeHead(405).end();
    const range = this.ranges && !["gzip", "chunked"].includes(this.habit) ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") : null;
    let [first, end] = range ? [Number(range[1]), Math.min(Number(range[2] || content.length) + 1, content.length)] : [0, content.length];
    if (range && first >= content.length) return void response.writeHead(416).end();
    if (range && this.habit.includes("cap")) end = Math.min(end, first + 65_536);
    const asked = { file, first, end, whole: !range };
    this.asked.push(asked);
    const fault = (end - first > 1 && this.fault(asked)) || {};
    if (fault.hang) return;
    if (fault.retryAfter !== undefined) response.setHeader("retry-after", fault.retryAfter);
    if (fault.status) return void response.writeHead(fault.status).end();
    response.setHeader("etag", this.habit === "etags" ? `"${this.#answers++}"` : this.etag);
    response.setHeader("content-type", fault.type ?? "application/octet-stream");
    if (range) response.setHeader("content-range", `bytes ${first}-${end - 1}/${content.length}`);
    const squeezed = !range && ["weak", "gzip"].includes(this.habit);
    if (squeezed) response.setHeader("content-encoding", "gzip");
    if (squeezed && this.habit === "weak") response.setHeader("etag", `W/${this.etag.replace(/"$/, '-gzip"')}`);
    const body = squeezed ? gzipSync(content) : Buffer.from(content.subarray(first, end));
    if (fault.flip !== undefined) body[fault.flip] = (body[fault.flip] ?? 0) ^ 0x55;
    const length = fault.short ?? body.length;
    if (this.habit !== "chunked") response.setHeader("content-length", length);
    response.writeHead(range ? 206 : 200);
    const stop = Math.min(fault.cut ?? fault.stall ?? length, length);
    for (let at = 0; at < stop && !response.destroyed; at += CHUNK) {
      const piece = body.subarray(at, Math.min(at + CHUNK, stop));
      await new Promise((resolve) => response.write(piece, resolve));
      this.sent += piece.length;
      if (this.pace) await new Promise((resolve) => setTimeout(resolve, this.pace));
    }
    if (fault.stall !== undefined) return;
    if (fault.cut !== undefined) response.destroy();
    else response.end();
  }
}

/**
 * A model for the stand-in engine in one file: a header that is the plan, then parts whose sums it knows.
 * @param {{ parts?: number, bytes?: number, seed?: number, more?: object }} [size]
 */
export function fakeModel({ parts = 24, bytes = 65_536, seed = 1, more = {} } = {}) {
  const next = random(seed);
  const header = 4096 * Math.ceil((parts * 130 + 1000) / 4096);
  const file = Buffer.alloc(header + parts * bytes);
  for (let at = header; at < file.length; at += 4) file.writeUInt32LE((next() * 2 ** 32) >>> 0, at);
  const list = Array.from({ length: parts }, (_, index) => {
    const offset = header + index * bytes;
    file[offset] = 1; // 0xff would be refused
    const sum = file.subarray(offset, offset + bytes).reduce((sum, byte) => (sum * 31 + byte) >>> 0, 0);
    return { index, file: "model.gguf", offset, bytes, sha256: null, sum };
  });
  const plan = { name: `Model ${seed}`, parameters: 1e6, parts: list, total_bytes: parts * bytes, context: 512, ...more };
  file.write(JSON.stringify(plan));
  return { file, plan, header };
}
