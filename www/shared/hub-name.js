// Reads the name of a model as people write it: `org/name`, `org/name:Q4_K_M`, `hf.co/org/name`, an address of a page of
// the hub, or any other address. Makes no request.

import { Failure } from "./failure.js";
import { fileAddress } from "./address.js";

/** Origin of the model hub. */
const SCHEME = "https:";
export const HUB_ORIGIN = `${SCHEME}//huggingface.co`;
/** Its host names: the short one redirects to the other. */
const HUB_HOSTS = ["huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"];
/** First path segments of the hub that are not owners of models. */
const OTHER_PAGES = ["datasets", "spaces", "docs", "blog", "papers", "collections", "posts", "learn", "join", "login", "models", "api"];
/** Two segments without a scheme; a file name or a folder (`models/llava/`) is an address instead. */
const BARE_NAME = /^[\w][\w.-]*\/[\w][\w.-]*(:[\w.-]+)?$/;
const FILE_NAME = /\.(gguf|json|safetensors|bin|html?)$/i;

/**
 * A repository of the hub, or a part of it. `quant` is the wanted type of the weights, empty where the name has none;
 * `file` is the wanted .gguf, empty for any.
 * @typedef {{ id: string, revision: string, folder: string, quant: string, file: string }} Repository
 */
/** `address` is that of a file; `repository` has to be listed first.
 * @typedef {{ address: string } | { repository: Repository }} ModelName */

/** @param {string} place @param {string} message @param {string} hint */
const nameError = (place, message, hint) => new Failure({ kind: "page", place, message, hint });

/** Returns the path of an address or name on the hub, with its quantisation; `null` where it is another host's.
 * @param {string} text @returns {{ segments: string[], quant: string } | null} */
function hubPath(text) {
  let path = text;
  if (!BARE_NAME.test(text) || FILE_NAME.test(text)) {
    const [, host = "", rest = ""] = /^(?:https?:\/\/|hf:\/\/)?([^/?#]+)(\/[^?#]*)?/i.exec(text) ?? [];
    if (/^hf:\/\//i.test(text)) path = host + rest;
    else if (HUB_HOSTS.includes(host.toLowerCase())) path = rest;
    else return null;
  }
  const [, plain = "", quant = ""] = /^([^:]*)(?::([\w.-]+))?$/.exec(path) ?? [];
  return { segments: plain.split("/").filter(Boolean), quant };
}

/**
 * Reads a name. A page of one file of the hub gives that file's address, unless the file is a .gguf, whose partner has to
 * be found in the repository's listing.
 * @param {string} text @param {string} base address that others are relative to
 * @returns {ModelName}
 */
export function parseName(text, base) {
  const found = hubPath(text.trim());
  if (!found) return { address: fileAddress(text.trim(), base) };
  const { segments, quant } = found;
  const [owner = "", name = "", how = "tree", revision = "main", ...rest] = segments;
  if (!owner || !name || OTHER_PAGES.includes(owner)) throw nameError(text, "this page of the hub is not a model's", "Give the name of a model, such as org/name, or the address of its page.");
  const id = `${owner}/${name}`;
  const path = rest.map(decodeURIComponent).join("/");
  // "latest" is what other programs write for "any".
  const repository = { id, revision, folder: "", quant: quant.toLowerCase() === "latest" ? "" : quant, file: "" };
  if (how === "tree") return { repository: { ...repository, folder: path } };
  if (!["blob", "resolve", "raw"].includes(how) || !rest.length) throw nameError(text, "this page of the hub is not a model's", "Open its Files tab, and copy the address of a file.");
  if (/\.gguf$/i.test(path)) return { repository: { ...repository, folder: path.split("/").slice(0, -1).join("/"), file: path } };
  return { address: fileOnHub({ id, revision }, path) };
}

/** Returns the address of a file in a repository. @param {{ id: string, revision: string }} repository @param {string} path */
export const fileOnHub = ({ id, revision }, path) => `${HUB_ORIGIN}/${id}/resolve/${revision}/${path.split("/").map(encodeURIComponent).join("/")}`;
