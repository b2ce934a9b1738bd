// Chooses the build of the engine and its number of threads. Several threads need shared memory, which browsers give
// only to pages that are isolated from other sites (src/docs/hosting.md).

import { threads as built } from "../pkg/builds.js";
import { STALL_TIMEOUT, timeLimit } from "./async.js";

/** @typedef {import("./protocol.js").Threads} Threads */

/** Limits on the memory to try, in pages of 64 KiB: from what WebAssembly addresses down to what a phone has. */
const MEMORY_PAGES = [65536, 32768, 16384, 8192];
/** Initial memory of the program, in pages; it grows as needed. */
const INITIAL_PAGES = 64;
/** Limit on the threads; more were never tested. */
const MAX_THREADS = 8;
/** The smallest module with a relaxed SIMD instruction:
 * `(func (param v128 v128 v128) (result v128)
 *   local.get 0 local.get 1 local.get 2 i32x4.relaxed_dot_i8x16_i7x16_add_s)`. */
const RELAXED = new Uint8Array([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version
  ...[1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b], // types: one
  ...[3, 2, 1, 0], // functions: one, of it
  ...[10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x93, 2, 0x0b], // its code
]);

/** @param {number} most pages @returns {{ memory: WebAssembly.Memory, pages: number } | null} */
export function sharedMemory(most) {
  for (const pages of MEMORY_PAGES.filter((pages) => pages <= most)) {
    try {
      return { memory: new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: pages, shared: true }), pages };
    } catch {
      // The address space is reserved immediately: a phone may not have this size.
    }
  }
  return null;
}

/** Estimates the number of fast cores: up to four processors are usually cores; of more, every other one shares a core
 * or is a slow one. */
function processors() {
  const count = navigator.hardwareConcurrency ?? 1;
  return Math.min(MAX_THREADS, Math.max(Math.min(count, 4), count >> 1));
}

/** @param {string} why @returns {Threads} */
const singleThread = (why) => ({ build: "", threads: 1, pages: 0, why });

/** Chooses build and threads for this browser. @param {number} [wanted] at most @returns {Threads} */
export function chooseThreads(wanted = Infinity) {
  const threads = Math.min(processors(), wanted);
  if (threads < 2) return singleThread(wanted < 2 ? "as you chose" : "this machine has one processor");
  if (!built) return singleThread("this page was built without threads");
  if (!globalThis.crossOriginIsolated) return singleThread("the host of this page does not isolate it from other sites");
  if (!("waitAsync" in Atomics)) return singleThread("this browser lacks Atomics.waitAsync");
  // WebKitGTK makes shared memory, but lets no worker receive it: it lacks this name then.
  const pages = "SharedArrayBuffer" in globalThis ? sharedMemory(Infinity)?.pages : 0;
  const build = WebAssembly.validate(RELAXED) ? "relaxed/" : "threads/";
  return pages ? { build, threads, pages, why: "" } : singleThread("this browser has no memory that threads can share");
}

/** Requests the engine's code.
 * @param {string} address @returns {Promise<Response>} rejects when no answer begins within STALL_TIMEOUT */
export async function fetchCode(address) {
  const limit = timeLimit(STALL_TIMEOUT);
  try {
    return await fetch(address, { signal: limit.signal });
  } finally {
    limit.clear();
  }
}

/** Compiles the engine's code while it arrives, or from its bytes where the host does not send WebAssembly's type.
 * @param {Promise<Response>} request @returns {Promise<WebAssembly.Module>} */
export async function compileCode(request) {
  const response = await request;
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${response.url}`);
  const type = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/wasm" && WebAssembly.compileStreaming) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}
