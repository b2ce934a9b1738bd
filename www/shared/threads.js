// Whether the engine may have several threads here. They need memory that they share, which browsers give only to pages
// that are isolated from other sites (docs/hosting.md), and a build of the engine for it.

import { threads as built } from "../pkg/builds.js";

/** @typedef {import("./protocol.js").Threads} Threads */

/** Memory may grow to so much, in pages of 64 KiB: what WebAssembly addresses, or what the browser has room for. */
const PAGES = [65536, 32768, 16384, 8192];
/** What the program begins with; it grows as it needs. */
const FIRST_PAGES = 64;
/** More threads than this were never tried. */
const MOST = 8;

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
const one = (why) => ({ threads: 1, pages: 0, why });

/** What there is here. @param {number} [wanted] at most @returns {Threads} */
export function threadsHere(wanted = Infinity) {
  const threads = Math.min(processors(), wanted);
  if (threads < 2) return one(wanted < 2 ? "as you chose" : "this machine has one processor");
  if (!built) return one("this page was built without threads");
  if (!globalThis.crossOriginIsolated) return one("the host of this page does not isolate it from other sites");
  if (!("waitAsync" in Atomics)) return one("this browser lacks Atomics.waitAsync");
  const pages = sharedMemory(Infinity)?.pages;
  return pages ? { threads, pages, why: "" } : one("this browser has no memory that threads can share");
}

/** Where the engine's code is. @param {boolean} shared the build for shared memory */
export const codeAddress = (shared) => new URL(`../pkg/${shared ? "threads/" : ""}llava_web_bg.wasm`, import.meta.url).href;
