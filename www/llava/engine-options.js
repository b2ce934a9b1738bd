// Where the package's files are, and how many threads the engine may have: in the options of a call, or for all calls.

/** `base`: address of the package's folder, where its files are not beside its scripts. `wasm`: address of the folder
 * of the engine's builds (`pkg/`), where it is not in that. `threads`: the most that the engine may have on the CPU.
 * @typedef {{ base?: string | URL, wasm?: string | URL, threads?: number }} EngineOptions */

/** Options of calls that do not have them. @type {EngineOptions} */
let defaults = {};

/** Sets options for all later calls. @param {EngineOptions} options */
export function configure(options) {
  defaults = { ...defaults, ...options };
}

/** Returns the address that others are relative to. */
export const pageAddress = () => globalThis.document?.baseURI ?? location.href;

/** Returns a folder's address, which may lack the slash at its end. @param {string | URL} address */
const folderOf = (address) => new URL(String(address).replace(/\/?$/, "/"), pageAddress());

/** Returns the folder of the package; `null` where its files are beside its scripts. @param {EngineOptions} options */
export function baseOf({ base = defaults.base }) {
  return base === undefined ? null : folderOf(base);
}

/** Returns the folder of the engine's builds; `null` where it is beside the package's scripts.
 * @param {EngineOptions} options */
export function buildsOf(options) {
  const { wasm = defaults.wasm } = options;
  if (wasm !== undefined) return folderOf(wasm);
  const base = baseOf(options);
  return base && new URL("pkg/", base);
}

/** Returns the most threads that the engine may have. @param {EngineOptions} options */
export const threadsOf = ({ threads = defaults.threads }) => threads;
