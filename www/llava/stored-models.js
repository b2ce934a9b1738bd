// Lists and deletes models in this browser's storage, in a worker that ends when no call is pending.

import { quantOf } from "../shared/hub-files.js";
import { HUB_ORIGIN, parseName } from "../shared/hub-name.js";
import { Caller } from "../shared/messenger.js";
import { cancelled } from "./engine-link.js";
import { startWorker } from "./workers.js";

/** @typedef {import("../shared/protocol.js").Calls} Calls */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

/** The worker, of all calls: they must not overlap, since a file that one reads cannot be deleted. @type {Caller | null} */
let worker = null;
let pending = 0;

/** @template {"stored" | "forget"} M @param {M} method @param {Calls[M][0]} args @param {string | URL} [base]
 * @returns {Promise<Calls[M][1]>} */
async function callWorker(method, args, base) {
  worker ??= new Caller(startWorker("worker/storage.js", base), () => (worker = null));
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

/** Returns the kind of storage and the models in it, newest first. @param {string | URL} [base] */
export const storedModels = (base) => callWorker("stored", null, base);

/** Whether a stored model is the one that a name or an address means. @param {Stored} stored @param {string} text
 * @param {string} page */
function isNamed({ key, addresses }, text, page) {
  if (key === text) return true;
  const found = parseName(text, page);
  if ("address" in found) return addresses.includes(found.address);
  const { id, folder, quant, file } = found.repository;
  const prefix = `${HUB_ORIGIN}/${id}/resolve/`;
  const [first = ""] = addresses;
  const path = first.slice(prefix.length).split("/").slice(1).join("/");
  return first.startsWith(prefix) && path.startsWith(file || folder) && (!quant || quantOf(path) === quant.toUpperCase());
}

/** Deletes stored models: a listed one, or those of a key, a name or an address.
 * @param {Stored | string} ref @param {string} page that addresses are relative to @param {string | URL} [base]
 * @returns {Promise<number>} of deleted models */
export async function deleteStored(ref, page, base) {
  const wanted = typeof ref === "object" ? [ref] : (await storedModels(base)).models.filter((stored) => isNamed(stored, ref, page));
  for (const { key } of wanted) await callWorker("forget", { key }, base);
  return wanted.length;
}
