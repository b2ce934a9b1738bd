// Starts the workers of the package: from beside this script, from the folder or host that the option `base` names, or as
// a bundler has placed them.

import { Failure } from "../shared/failure.js";
import { baseOf } from "./engine-options.js";

/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */
/** @typedef {"worker/worker.js" | "worker/worker-threads.js" | "worker/pool-thread.js" | "worker/storage.js"} Script */

/** Address of this script; a bundler may replace it. */
const here = import.meta.url;
/** Folder of the package; `null` where a bundler has put this script into another file. */
const packageFolder = /^https?:[^?#]*\/llava\/workers\.js([?#]|$)/.test(here) ? new URL("..", here) : null;

/** Workers in the form that bundlers know: they replace the address by that of the file which they make. webpack joins
 * those of one name in one file.
 * @type {Record<Script, () => Worker>} */
const bundled = {
  "worker/worker.js": () => new Worker(new URL("../worker/worker.js", import.meta.url), { type: "module", name: "engine" }),
  "worker/worker-threads.js": () => new Worker(new URL("../worker/worker-threads.js", import.meta.url), { type: "module", name: "engine-threads" }),
  "worker/pool-thread.js": () => new Worker(new URL("../worker/pool-thread.js", import.meta.url), { type: "module", name: "cpu" }),
  "worker/storage.js": () => new Worker(new URL("../worker/storage.js", import.meta.url), { type: "module", name: "storage" }),
};
/** @type {Record<Script, string>} */
const NAMES = { "worker/worker.js": "engine", "worker/worker-threads.js": "engine-threads", "worker/pool-thread.js": "cpu", "worker/storage.js": "storage" };

/** Addresses of scripts that the package has made, which its Trusted Types policy lets through. @type {Set<string>} */
const own = new Set();
/** Policy of the package: a page that requires Trusted Types must allow its name. `null` where the browser has none, or
 * the page does not allow it.
 * @type {{ createScriptURL: (address: string) => any } | null | undefined} */
let policy;

/** Returns an address as the browser accepts it for a worker. @param {string} address @returns {string} */
function trusted(address) {
  own.add(address);
  if (policy === undefined) {
    /** @param {string} asked */
    const createScriptURL = (asked) => {
      if (own.has(asked)) return asked;
      throw new TypeError(`${asked} is no script of llava-web`);
    };
    try {
      policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("llava-web", { createScriptURL }) ?? null;
    } catch {
      policy = null;
    }
  }
  return policy ? policy.createScriptURL(address) : address;
}

/** Scripts of this origin that import one of another origin, by its address. @type {Map<string, string>} */
const shims = new Map();

/** Returns the address of a script that a worker of this page may have: browsers refuse one of another origin, but not
 * its import.
 * @param {URL} address */
function sameOrigin(address) {
  if (address.origin === location.origin) return address.href;
  const known = shims.get(address.href);
  if (known) return known;
  const shim = URL.createObjectURL(new Blob([`import ${JSON.stringify(address.href)};`], { type: "text/javascript" }));
  shims.set(address.href, shim);
  return shim;
}

/** Starts a worker of the package. @param {Script} script @param {EngineOptions} options */
export function startWorker(script, options) {
  const folder = baseOf(options) ?? packageFolder;
  if (!folder) return bundled[script]();
  const address = new URL(script, folder);
  try {
    return new Worker(trusted(sameOrigin(address)), { type: "module", name: NAMES[script] });
  } catch (thrown) {
    throw new Failure({ kind: "engine", place: script, message: `the browser does not let this page start it (${thrown})`, hint: "The page's security policy must allow its address, and the Trusted Types policy llava-web." }, thrown);
  }
}

/** Returns the address of a script of the package; `null` where a bundler has placed it.
 * @param {Script} script @param {EngineOptions} options */
export function scriptAddress(script, options) {
  const folder = baseOf(options) ?? packageFolder;
  return folder && new URL(script, folder).href;
}

/**
 * Starts the workers that are the engine's other threads on the CPU. The page makes them: in Firefox, a worker that
 * makes another may wait for ever. Each waits at its port, which the engine's worker receives, for the memory that it
 * shares. The page never holds that memory, and so does not keep it alive.
 * @param {number} count @param {EngineOptions} [options]
 * @returns {{ workers: Worker[], ports: MessagePort[] }}
 */
export function createThreadWorkers(count, options = {}) {
  const started = Array.from({ length: count }, () => {
    const worker = startWorker("worker/pool-thread.js", options);
    // This is not a failure of the page: the engine works without the thread.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      console.info("A thread of the engine did not start:", event.message || "its script could not be loaded");
    });
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port1, [port1]);
    return { worker, port: port2 };
  });
  return { workers: started.map(({ worker }) => worker), ports: started.map(({ port }) => port) };
}
