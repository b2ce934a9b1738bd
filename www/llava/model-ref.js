// Finds the model that a reference means: an address, a name on the hub, an entry of the catalogue, files, a folder, or
// a model in this browser's storage.

import { modelFromFiles } from "../shared/address.js";
import { Failure, untilAborted } from "../shared/failure.js";
import { addressesOf, bytesOf, loadCatalogue, withCatalogue } from "./catalogue.js";
import { pageAddress } from "./engine-options.js";
import { resolveModel } from "./hub.js";
import { describeMachine } from "./machine.js";
import { storedModels } from "./stored-models.js";
import { variantFor } from "./suitable.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("../shared/protocol.js").Stored} Stored */
/** A file with its path in the folder of the model. @typedef {{ path: string, file: File }} FileInFolder */
/**
 * What names a model: an address, a name on the hub (`org/name`, `org/name:Q4_K_M`, `hf.co/org/name`), a name in the
 * catalogue, a key of `LLaVA.cached()`; two of these for a language model and its mmproj; files of a model, or a
 * folder with them.
 * @typedef {string | URL | string[] | File | FileList | File[] | FileInFolder[] | FileSystemDirectoryHandle | Stored |
 *   ModelRef} Ref
 */

/** Options of finding a model: the backend decides how much memory there is.
 * @typedef {import("./engine-options.js").EngineOptions & { backend?: import("../shared/protocol.js").BackendChoice,
 *   signal?: AbortSignal }} ResolveOptions */
/** `memory`: bytes that a model may take. @typedef {{ memory: () => Promise<number>, options: ResolveOptions }} How */

/** Key of a stored model. */
const KEY = /^[0-9a-f]{16}$/;
/** Properties by one of which an object is known to name a model. */
const KEYS = ["kind", "key", "addresses", "stored", "files"];
/** Files above which a folder is not read: no model has as many. */
const MAX_FILES = 2000;

/** @param {FileSystemDirectoryHandle} folder @param {string} path @param {FileInFolder[]} found */
async function collect(folder, path, found) {
  // TypeScript's list of the DOM lacks the iterator.
  const entries = /** @type {AsyncIterable<FileSystemDirectoryHandle | FileSystemFileHandle>} */ (/** @type {any} */ (folder).values());
  for await (const entry of entries) {
    if (found.length >= MAX_FILES) return found;
    if (entry.kind === "directory") await collect(entry, `${path}${entry.name}/`, found);
    else found.push({ path: path + entry.name, file: await entry.getFile() });
  }
  return found;
}

/** @param {File | FileInFolder} entry @returns {FileInFolder} */
const inFolder = (entry) => ("file" in entry ? entry : { path: entry.webkitRelativePath || entry.name, file: entry });

/** Returns the model of an entry of the catalogue, in the type that suits this machine; `null` where there is none.
 * @param {string} text @param {How} how */
async function fromCatalogue(text, { memory, options }) {
  const [name = "", quant = ""] = text.toLowerCase().split(":");
  if (/[/.]/.test(name)) return null;
  const entry = (await loadCatalogue(options)).find((model) => [model.id, model.name].some((own) => own.toLowerCase() === name));
  if (!entry) return null;
  const variants = entry.variants.filter((variant) => (!quant || variant.name.toLowerCase() === quant) && addressesOf(variant));
  const chosen = variantFor({ variants }, { memory: await memory(), room: null }) ?? variants.sort((a, b) => bytesOf(a) - bytesOf(b))[0];
  return chosen ? { addresses: addressesOf(chosen) ?? [] } : null;
}

/** @param {string[]} texts @param {How} how @returns {Promise<ModelRef>} */
async function fromTexts(texts, how) {
  const [text = ""] = texts;
  if (texts.length === 1) {
    if (KEY.test(text)) {
      const stored = (await storedModels(how.options)).models.find(({ key }) => key === text);
      if (stored) return fromStored(stored);
      throw new Failure({ kind: "storage", place: text, message: "no model with this key is saved here", hint: "LLaVA.cached() lists those that are." });
    }
    const known = await fromCatalogue(text, how);
    if (known) return known;
  }
  return resolveModel(texts, pageAddress(), how.memory, how.options.signal);
}

/** @param {Stored} stored @returns {ModelRef} */
const fromStored = ({ key, addresses }) => (addresses.length ? { addresses } : { stored: key });

/** @param {Exclude<Ref, ModelRef>} ref @param {How} how @returns {Promise<ModelRef>} */
async function find(ref, how) {
  if (typeof ref === "string" || ref instanceof URL) return fromTexts([String(ref).trim()], how);
  if (ref instanceof File) return modelFromFiles([inFolder(ref)]);
  if ("kind" in ref) return modelFromFiles(await collect(ref, "", []));
  if ("key" in ref) return fromStored(/** @type {Stored} */ (/** @type {unknown} */ (ref)));
  const list = [...ref];
  const texts = list.filter((entry) => typeof entry === "string");
  if (texts.length && texts.length === list.length) return fromTexts(texts, how);
  return modelFromFiles(/** @type {(File | FileInFolder)[]} */ (list.filter((entry) => typeof entry !== "string")).map(inFolder));
}

/** Finds the model that a reference means.
 * @param {Ref} ref @param {ResolveOptions} options @returns {Promise<ModelRef>} */
export function resolveRef(ref, options) {
  return untilAborted(options.signal, "model", async () => {
    const named = typeof ref === "string" || (typeof ref === "object" && ref && (Symbol.iterator in ref || ref instanceof URL || ref instanceof File || KEYS.some((key) => key in ref)));
    if (!named) throw new Failure({ kind: "argument", place: "model", message: `${ref} names no model`, hint: "Give an address, a name on the hub, or files." });
    const memory = async () => (await describeMachine(options.backend !== "cpu")).memory;
    const isModel = typeof ref === "object" && !("key" in ref) && ("addresses" in ref || "stored" in ref || ("files" in ref && "entry" in ref));
    return withCatalogue(isModel ? /** @type {ModelRef} */ (ref) : await find(/** @type {Exclude<Ref, ModelRef>} */ (ref), { memory, options }), options);
  });
}
