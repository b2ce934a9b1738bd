// Turns what a person pastes or picks into a model: completes addresses, and gives files the names that the engine
// knows them by. Makes no request.

import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").ModelRef} ModelRef */

/** Model hub whose page addresses people copy. */
const HUB = "huggingface.co";
const SCHEME = "https:";
/** Path segment of the files of a repository on the hub, and those of its pages. */
const FILE_SEGMENT = "resolve";
const PAGE_SEGMENTS = ["blob", "tree", "raw"];
/** Name of a piece of a split GGUF: stem, number, count. */
export const SPLIT_GGUF = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
/** Folder, in file names, of the second directory that an original LLaVA checkpoint needs. */
export const VISION_TOWER_FOLDER = "vision_tower/";

/** @param {string} place @param {string} message @param {string} hint */
const addressError = (place, message, hint) => new Failure({ kind: "page", place, message, hint });

/**
 * Returns the address of the file itself: that of the file that a page of the hub shows, or of a folder's main file.
 * @param {string} text
 * @param {string} base
 * @returns {string}
 */
export function fileAddress(text, base) {
  let url;
  try {
    // Many people copy "huggingface.co/…" without a scheme.
    url = new URL(text.startsWith(`${HUB}/`) ? `${SCHEME}//${text}` : text, base);
  } catch {
    throw addressError(text, "this is not an address", "Paste the address of a manifest.json, a .gguf or a config.json.");
  }
  if (![SCHEME, "http:"].includes(url.protocol)) throw addressError(text, `${url.protocol} is not the scheme of a web address`, "It begins with https.");
  url.hash = "";
  if (url.hostname === HUB) {
    const [owner = "", name = "", how = "tree", revision = "main", ...rest] = url.pathname.split("/").filter(Boolean);
    const folder = how === "tree" ? [...rest, "config.json"] : rest;
    if (!PAGE_SEGMENTS.includes(how) && how !== FILE_SEGMENT) throw addressError(text, "this page of the hub is not a model's", "Open its Files tab, and copy the address of a file.");
    url.pathname = [owner, name, FILE_SEGMENT, revision, ...folder].join("/");
    // The query of the hub ("?download=true" and state of its pages) does not change the file.
    url.search = "";
  } else if (url.pathname.endsWith("/")) {
    url.pathname += "manifest.json";
  }
  return url.href;
}

/** Returns the file name in an address. @param {string} address */
export function fileNameOf(address) {
  return decodeURIComponent(new URL(address).pathname.split("/").pop() ?? "");
}

/**
 * Returns the files at these addresses, under distinct names.
 * @param {string[]} addresses
 * @returns {Map<string, string>}
 */
export function entryFiles(addresses) {
  /** @type {Map<string, string>} */
  const entry = new Map();
  for (const address of addresses) {
    const name = fileNameOf(address);
    entry.set(entry.has(name) ? (name === "config.json" ? VISION_TOWER_FOLDER + name : `${entry.size + 1}-${name}`) : name, address);
  }
  return entry;
}

/**
 * Builds a model from files that were picked or dropped: a pair of .gguf files, or a folder of shards or of a
 * checkpoint.
 * @param {{ path: string, file: File }[]} list
 * @returns {ModelRef}
 */
export function modelFromFiles(list) {
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
  // The first piece of a split file stands for all.
  const heads = ggufs.filter((file) => (SPLIT_GGUF.exec(file.name)?.[2] ?? "00001") === "00001");
  if (heads.length !== 1 && heads.length !== 2) {
    const found = heads.length ? `${heads.length} models in .gguf, and it is not clear which belong together` : "there is no .gguf, manifest.json or config.json among them";
    throw addressError("files", found, "Choose a .gguf and its mmproj together, or the folder of one model.");
  }
  return { files: Object.fromEntries(ggufs.map((file) => [file.name, file])), entry: heads.map((file) => file.name) };
}
