// Lists and deletes models in this browser's storage, in a worker that ends when no call is pending.

import { quantOf } from "../shared/hub-files.js";
import { HUB_ORIGIN, parseName } from "../shared/hub-name.js";
import { Caller } from "../shared/messenger.js";
import { cancelled } from "./engine-link.js";
import { pageAddress } from "./engine-options.js";
import { startWorker } from "./workers.js";

/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Stored} Stored */
/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */

/** The worker, of all calls: they must not overlap, since a file that one reads cannot be deleted.
 * @type {Caller | null} */
let worker = null;
let pending = 0;

/** @template {"stored" | "forget"} M @param {M} method @param {Calls[M][0]} args @param {EngineOptions} options
 * @returns {Promise<Calls[M][1]>} */
async function callWorker(method, args, options) {
  worker ??= new Caller(startWorker("worker/storage.js", options), () => (worker = null));
  const used = worker;
  pending += 1;
  try {
    return await used.call(method, args);
  } finally {
    pending -= 1;
    if (!pending) {
      used.close(cancelled("the list of models is no longer needed"));
      worker = null;
    }
  }
}

/** Returns the kind of storage and the models in it, newest first. @param {EngineOptions} options */
export const storedModels = (options) => callWorker("stored", null, options);

/** Whether a stored model is the one that a name or an address means. @param {Stored} stored @param {string} text */
function isNamed({ key, addresses }, text) {
  if (key === text) return true;
  const found = parseName(text, pageAddress());
  if ("address" in found) return addresses.includes(found.address);
  const { id, folder, quant, file } = found.repository;
  const prefix = `${HUB_ORIGIN}/${id}/resolve/`;
  const [first = ""] = addresses;
  const path = first.slice(prefix.length).split("/").slice(1).join("/");
  return first.startsWith(prefix) && path.startsWith(file || folder) && (!quant || quantOf(path) === quant.toUpperCase());
}

/** Deletes stored models: a listed one, or those of a key, a name or an address.
 * @param {Stored | string} ref @param {EngineOptions} options
 * @returns {Promise<number>} of deleted models */
export async function deleteStored(ref, options) {
  const wanted = typeof ref === "object" ? [ref] : (await storedModels(options)).models.filter((stored) => isNamed(stored, ref));
  for (const { key } of wanted) await callWorker("forget", { key }, options);
  return wanted.length;
}
