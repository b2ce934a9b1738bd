// Which build of the engine runs here, and with how many threads. Several need memory that they share, which browsers give
// only to pages that are isolated from other sites (docs/hosting.md).

import { threads as built } from "../pkg/builds.js";
import { SILENCE, timeLimit } from "./async.js";

/** @typedef {import("./protocol.js").Threads} Threads */

/** Memory may grow to so much, in pages of 64 KiB: what WebAssembly addresses, or what the browser has room for. */
const PAGES = [65536, 32768, 16384, 8192];
/** What the program begins with; it grows as it needs. */
const FIRST_PAGES = 64;
/** More threads than this were never tried. */
const MOST = 8;
/** The smallest program with a relaxed instruction:
 * `(func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2 i32x4.relaxed_dot_i8x16_i7x16_add_s)`. */
const RELAXED = new Uint8Array([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version
  ...[1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b], // types: one
  ...[3, 2, 1, 0], // functions: one, of it
  ...[10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x93, 2, 0x0b], // its code
]);

/** @param {number} most pages @returns {{ memory: WebAssembly.Memory, pages: number } | null} */
export function sharedMemory(most) {
  for (const pages of PAGES.filter((pages) => pages <= most)) {
    try {
      return { memory: new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: pages, shared: true }), pages };
    } catch {
      // Its address space is taken from the start: a phone may have room for less.
    }
  }
  return null;
}

/** Up to four processors are cores more often than not; of more, every other one shares a core or is a small one. */
function processors() {
  const count = navigator.hardwareConcurrency ?? 1;
  return Math.min(MOST, Math.max(Math.min(count, 4), count >> 1));
}

/** @param {string} why @returns {Threads} */
const one = (why) => ({ build: "", threads: 1, pages: 0, why });

/** What there is here. @param {number} [wanted] at most @returns {Threads} */
export function threadsHere(wanted = Infinity) {
  const threads = Math.min(processors(), wanted);
  if (threads < 2) return one(wanted < 2 ? "as you chose" : "this machine has one processor");
  if (!built) return one("this page was built without threads");
  if (!globalThis.crossOriginIsolated) return one("the host of this page does not isolate it from other sites");
  if (!("waitAsync" in Atomics)) return one("this browser lacks Atomics.waitAsync");
  const pages = sharedMemory(Infinity)?.pages;
  const build = WebAssembly.validate(RELAXED) ? "relaxed/" : "threads/";
  return pages ? { build, threads, pages, why: "" } : one("this browser has no memory that threads can share");
}

/** Asks for the engine's code. @param {string} address @returns {Promise<Response>} rejects when no answer begins in time */
export async function askForCode(address) {
  const limit = timeLimit(SILENCE);
  try {
    return await fetch(address, { signal: limit.signal });
  } finally {
    limit.over();
  }
}

/** The engine's code, compiled while it arrives, or, where the host gives it another type than WebAssembly's, from its bytes.
 * @param {Promise<Response>} asked @returns {Promise<WebAssembly.Module>} */
export async function compiled(asked) {
  const response = await asked;
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${response.url}`);
  const type = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/wasm" && WebAssembly.compileStreaming) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Where the engine's code is. @param {Threads["build"]} build */
export const codeAddress = (build) => new URL(`../pkg/${build}llava_web_bg.wasm`, import.meta.url).href;
