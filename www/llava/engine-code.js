// The engine's code: chooses its build, and compiles it once for all models of a page.

import { chooseThreads, compileCode, fetchCode } from "../shared/threads.js";
import { buildsOf, threadsOf } from "./engine-options.js";

/** @typedef {import("../shared/protocol.js").Threads} Threads */
/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */
/** `version` identifies the build by its response headers, which are known before its code. `code` is `null` where it
 * could not be compiled: then the worker tries again, and reports the error.
 * @typedef {{ threads: Threads, address: string, version: Promise<string>, code: Promise<WebAssembly.Module | null> }}
 *   EngineCode */

/** Addresses of the builds, in the form that bundlers know. @type {Record<Threads["build"], () => URL>} */
const bundled = {
  "": () => new URL("../pkg/llava_web_bg.wasm", import.meta.url),
  "threads/": () => new URL("../pkg/threads/llava_web_bg.wasm", import.meta.url),
  "relaxed/": () => new URL("../pkg/relaxed/llava_web_bg.wasm", import.meta.url),
};

/** By address. @type {Map<string, Pick<EngineCode, "version" | "code">>} */
const requested = new Map();

/** Returns the address of a build. @param {Threads["build"]} build @param {EngineOptions} options */
function codeAddress(build, options) {
  const folder = buildsOf(options);
  return (folder ? new URL(`${build}llava_web_bg.wasm`, folder) : bundled[build]()).href;
}

/** Returns the address of the grammars' code; `undefined` where it is beside the package's scripts.
 * @param {EngineOptions} options */
export function grammarAddress(options) {
  const folder = buildsOf(options);
  return folder ? new URL("grammar/llava_grammar_bg.wasm", folder).href : undefined;
}

/** Chooses the build for this browser, and requests it, unless an earlier call has. @param {EngineOptions} options
 * @returns {EngineCode} */
export function engineCode(options) {
  const threads = chooseThreads(threadsOf(options));
  const address = codeAddress(threads.build, options);
  let known = requested.get(address);
  if (!known) {
    const response = fetchCode(address);
    const version = response.then(
      ({ headers }) => headers.get("etag") ?? headers.get("last-modified") ?? headers.get("content-length") ?? "",
      () => "",
    );
    const code = compileCode(response).catch(() => {
      // The next model asks again.
      requested.delete(address);
      return null;
    });
    known = { version, code };
    requested.set(address, known);
  }
  return { threads, address, ...known };
}
