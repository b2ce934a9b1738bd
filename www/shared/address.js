// What a person may paste or pick, as a model: addresses made whole, files sorted into the names that the
// engine knows them by. Nothing here asks the network.

import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").ModelRef} ModelRef */

/** The model hub whose pages people copy from the address bar. */
const HUB = "huggingface.co";
const SCHEME = "https:";
/** Where a repository of the hub keeps its files, in the address; what its own pages say instead. */
const FILES = "resolve";
const PAGES = ["blob", "tree", "raw"];
/** Shards of a split GGUF: their name, and which of how many. */
export const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
/** The folder, in names, of the second directory that an original LLaVA checkpoint needs. */
export const SECOND = "vision_tower/";

/** @param {string} place @param {string} message @param {string} hint */
const refuse = (place, message, hint) => new Failure({ kind: "page", place, message, hint });

/**
 * The address of the file itself: a page of the hub becomes the file it shows, a folder its main file.
 * @param {string} text
 * @param {string} base
 * @returns {string}
 */
export function fileAddress(text, base) {
  let url;
  try {
    // "huggingface.co/…" without a scheme is what many copy.
    url = new URL(text.startsWith(`${HUB}/`) ? `${SCHEME}//${text}` : text, base);
  } catch {
    throw refuse(text, "this is not an address", "Paste the address of a manifest.json, a .gguf or a config.json.");
  }
  if (![SCHEME, "http:"].includes(url.protocol)) throw refuse(text, `${url.protocol} is not the scheme of a web address`, "It begins with https.");
  url.hash = "";
  if (url.hostname === HUB) {
    const [owner = "", name = "", how = "tree", revision = "main", ...rest] = url.pathname.split("/").filter(Boolean);
    const folder = how === "tree" ? [...rest, "config.json"] : rest;
    if (!PAGES.includes(how) && how !== FILES) throw refuse(text, "this page of the hub holds no model", "Open its Files tab, and copy the address of a file.");
    url.pathname = [owner, name, FILES, revision, ...folder].join("/");
    // "?download=true" and what its pages remember of how they were shown: the file is the same without.
    url.search = "";
  } else if (url.pathname.endsWith("/")) {
    url.pathname += "manifest.json";
  }
  return url.href;
}

/** The last name of an address, as a file. @param {string} address */
export function nameOf(address) {
  return decodeURIComponent(new URL(address).pathname.split("/").pop() ?? "");
}

/**
 * The files that addresses name, each with its address, under names that differ.
 * @param {string[]} addresses
 * @returns {Map<string, string>}
 */
export function entryOf(addresses) {
  /** @type {Map<string, string>} */
  const entry = new Map();
  for (const address of addresses) {
    const name = nameOf(address);
    entry.set(entry.has(name) ? (name === "config.json" ? SECOND + name : `${entry.size + 1}-${name}`) : name, address);
  }
  return entry;
}

/**
 * A pair of .gguf files, a folder of shards or of a checkpoint, as they were picked or dropped.
 * @param {{ path: string, file: File }[]} list
 * @returns {ModelRef}
 */
export function fromFiles(list) {
  const depth = (/** @type {string} */ path) => path.split("/").length;
  const mains = list.filter(({ file }) => ["manifest.json", "config.json"].includes(file.name));
  const main = mains.sort((a, b) => depth(a.path) - depth(b.path) || b.path.localeCompare(a.path))[0];
  const ggufs = list.map(({ file }) => file).filter((file) => file.name.toLowerCase().endsWith(".gguf"));
  if (main && !(ggufs.length && main.file.name === "config.json")) {
    const folder = main.path.slice(0, -main.file.name.length);
    const inside = list.filter(({ path }) => path.startsWith(folder));
    const files = Object.fromEntries(inside.map(({ path, file }) => [path.slice(folder.length), file]));
    return { files, entry: [main.file.name] };
  }
  // Of a file in several pieces the first stands for all.
  const heads = ggufs.filter((file) => (SPLIT.exec(file.name)?.[2] ?? "00001") === "00001");
  if (heads.length !== 1 && heads.length !== 2) {
    const found = heads.length ? `${heads.length} models in .gguf, and it is not clear which belong together` : "no .gguf, manifest.json or config.json is among them";
    throw refuse("files", found, "Choose a .gguf and its mmproj together, or the folder of one model.");
  }
  return { files: Object.fromEntries(ggufs.map((file) => [file.name, file])), entry: heads.map((file) => file.name) };
}

/** Whether files are meant as a model rather than a picture. @param {{ path: string }[]} list */
export const looksLikeModel = (list) => list.some(({ path }) => /\.(gguf|safetensors|bin)$|(^|\/)(manifest|config)\.json$/i.test(path));

/** The address of the page with this model in it, whatever else it asks for; the page's own model needs none.
 * @param {string[]} addresses @param {string} page */
export function deepLink(addresses, page) {
  const link = new URL(page);
  link.hash = "";
  link.searchParams.delete("again");
  for (const [i, name] of ["model", "mmproj"].entries()) {
    link.searchParams.delete(name);
    if (addresses[i]) link.searchParams.set(name, addresses[i]);
  }
  return link.href;
}
