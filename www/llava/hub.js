// Finds the files of a model that is named by its repository: asks the hub's public listing, and checks every byte of the
// answer that is used.

import { Failure, aborted } from "../shared/failure.js";
import { STALL_TIMEOUT, anySignal, timeLimit } from "../shared/async.js";
import { findModels, pairsOfType, proposePair } from "../shared/hub-files.js";
import { HUB_ORIGIN, fileOnHub, parseName } from "../shared/hub-name.js";

/** @typedef {import("../shared/hub-files.js").HubFile} HubFile */
/** @typedef {import("../shared/hub-name.js").Repository} Repository */
/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** Limits on a listing: no model has as many files, or files as large. */
const MAX_PAGES = 20;
const MAX_BYTES = 4e12;
/** Names of files in a message. */
const MAX_NAMED = 6;

/** @param {string} place @param {string} message @param {string} hint */
const hubError = (place, message, hint) => new Failure({ kind: "network", place, message, hint });

/** Describes an answer of the hub that is no listing. @param {string} id @param {Response} response */
function refusal(id, response) {
  const { status, headers } = response;
  const code = headers.get("x-error-code") ?? "";
  const page = `${HUB_ORIGIN}/${id}`;
  // To those without an account the hub answers 401 for a name that it does not have.
  if (status === 404 || code === "RepoNotFound") return hubError(id, "the hub has no public model of this name or revision", `Check the name: ${page}`);
  if (code === "RevisionNotFound" || code === "EntryNotFound") return hubError(id, "the hub's model has no such revision or folder", `See ${page}/tree/main`);
  if (status === 401 || status === 403) return hubError(id, "needs an account: the hub shows this model only to those who have agreed to its terms, or there is no such model", `Sign in at ${page}, download its files there, then open them from your disk.`);
  if (status === 429) {
    const seconds = Number(headers.get("retry-after"));
    const wait = seconds > 0 && seconds < 86_400 ? `in ${Math.ceil(seconds)} s` : "in some minutes";
    return hubError(id, "the hub limits how often it may be asked (429)", `Try again ${wait}.`);
  }
  return hubError(id, `the hub answered ${status} ${response.statusText}`.trim(), "Try again in a moment.");
}

/** @param {string} id @param {URL} url @param {AbortSignal} [signal] */
async function ask(id, url, signal) {
  const limit = timeLimit(STALL_TIMEOUT);
  try {
    const response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal: signal ? anySignal([limit.signal, signal]) : limit.signal });
    if (!response.ok) throw refusal(id, response);
    return { body: /** @type {unknown} */ (await response.json()), link: response.headers.get("link") ?? "" };
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    if (signal?.aborted) throw aborted(signal, id);
    if (thrown instanceof SyntaxError) throw hubError(id, "the hub's listing could not be read: it is not JSON", "Name the address of a file instead.");
    const why = limit.signal.aborted ? `no answer within ${STALL_TIMEOUT / 1000} s` : thrown instanceof Error ? thrown.message : thrown;
    throw hubError(`${url.origin}${url.pathname}`, `the list of its files could not be downloaded (${why})`, "Check the connection. If it is fine, the hub does not let this page read it (CORS): files from your disk need no permission.");
  } finally {
    limit.clear();
  }
}

/** Returns the files in one page of a listing.
 * @param {unknown} body @returns {HubFile[] | null} null where it is none */
function filesIn(body) {
  if (!Array.isArray(body)) return null;
  return body.flatMap((/** @type {{ type?: unknown, path?: unknown, size?: unknown, lfs?: { size?: unknown } } | null} */ entry) => {
    const bytes = entry?.lfs?.size ?? entry?.size;
    const valid = entry?.type === "file" && typeof entry.path === "string" && typeof bytes === "number" && bytes >= 0 && bytes <= MAX_BYTES;
    // A path that leads out of its repository is no file of it.
    return valid && !`${entry.path}`.split("/").some((part) => ["", ".", ".."].includes(part)) ? [{ path: String(entry.path), bytes }] : [];
  });
}

/** Lists a repository, or a folder of it.
 * @param {Repository} repository @param {AbortSignal} [signal] @returns {Promise<HubFile[]>} */
export async function listRepository({ id, revision, folder }, signal) {
  const path = folder ? `/${folder.split("/").map(encodeURIComponent).join("/")}` : "";
  let url = new URL(`${HUB_ORIGIN}/api/models/${id}/tree/${revision}${path}?recursive=true`);
  /** @type {HubFile[]} */
  const files = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const { body, link } = await ask(id, url, signal);
    const more = filesIn(body);
    if (!more) throw hubError(id, "the hub's listing could not be read: it is not a list of files", "Name the address of a file instead.");
    files.push(...more);
    const next = /<([^>]+)>\s*;\s*rel="next"/.exec(link)?.[1];
    if (!next) return files;
    url = new URL(next, url);
    if (url.origin !== HUB_ORIGIN) return files;
  }
  return files;
}

/** Names some files. @param {string[]} paths */
const some = (paths) => `${paths.slice(0, MAX_NAMED).join(", ")}${paths.length > MAX_NAMED ? ` and ${paths.length - MAX_NAMED} more` : ""}`;

/** Returns the model in a listed repository.
 * @param {Repository} repository @param {HubFile[]} files @param {number} memory @returns {ModelRef} */
export function modelIn(repository, files, memory) {
  const { id, quant, file } = repository;
  const { pairs, languages, projectors, unread, config, manifest } = findModels(files);
  const addressesOf = (/** @type {string[]} */ paths) => paths.map((path) => fileOnHub(repository, path));
  const offered = file && !projectors.includes(file) ? pairs.filter(({ paths }) => paths.includes(file)) : quant ? pairsOfType(pairs, quant) : pairs;
  const chosen = proposePair(offered, memory);
  if (chosen) {
    const variants = pairs.map(({ quant, paths, bytes }) => ({ name: quant || (paths[0] ?? ""), addresses: addressesOf(paths), bytes }));
    return { addresses: addressesOf(chosen.paths), variants };
  }
  if (quant) throw hubError(`${id}:${quant}`, "this repository has no such type of weights", pairs.length ? `It has ${some(pairs.map(({ quant, paths }) => quant || (paths[0] ?? "")))}.` : "It has no pair of .gguf files.");
  if (manifest) return { addresses: addressesOf([manifest]) };
  if (config && !file) return { addresses: addressesOf([config]) };
  if (file && !languages.includes(file) && !projectors.includes(file)) throw hubError(id, `there is no ${file}`, languages.length ? `It has ${some(languages)}.` : `See ${HUB_ORIGIN}/${id}/tree/${repository.revision}`);
  if (languages.length && unread.length === languages.length) throw hubError(id, `all of its types of weights are such as the engine does not read: ${some(unread)}`, "Types with 4 bits or more are read: Q4_0, Q4_K_M, Q5_K_M, Q6_K, Q8_0, f16.");
  if (languages.length) throw hubError(id, `it has a language model (${some(languages)}) but no mmproj .gguf, which holds what looks at pictures`, "Give the address of the matching mmproj in the second field.");
  throw hubError(id, files.length ? `it holds no model that the engine can open: ${some(files.map(({ path }) => path))}` : "it holds no files", "A pair of .gguf files, or config.json with .safetensors, can be opened.");
}

/**
 * Finds the model that one or two names mean: a language model and its mmproj, or all in one.
 * @param {string[]} texts @param {string} base address that others are relative to
 * @param {() => Promise<number>} memory bytes that a model may take on this machine
 * @param {AbortSignal} [signal]
 * @returns {Promise<ModelRef>}
 */
export async function resolveModel(texts, base, memory, signal) {
  const [first, second] = texts.map((text) => parseName(text, base));
  if (!first) throw new Failure({ kind: "page", place: "model", message: "no model is named" });
  /** @param {Repository} repository */
  const named = (repository) => repository.file && fileOnHub(repository, repository.file);
  if (second) {
    // Two names are two files: only which file of a repository may be left open.
    const other = "address" in second ? second.address : named(second.repository);
    if (!other) throw new Failure({ kind: "page", place: texts[1] ?? "", message: "this is a repository, not a file", hint: "Give the address of the mmproj .gguf." });
    const own = "address" in first ? first.address : named(first.repository) || languageIn(first.repository, await listRepository(first.repository, signal), await memory());
    return { addresses: [own, other] };
  }
  if ("address" in first) return { addresses: [first.address] };
  return modelIn(first.repository, await listRepository(first.repository, signal), await memory());
}

/** Returns the address of a repository's language model. @param {Repository} repository @param {HubFile[]} files
 * @param {number} memory */
function languageIn(repository, files, memory) {
  const { languages, unread, config } = findModels(files);
  const pairs = languages.filter((path) => !unread.includes(path)).map((path) => ({ path, bytes: files.find((file) => file.path === path)?.bytes ?? 0 }));
  const alone = findModels([...pairs, { path: "mmproj.gguf", bytes: 0 }]).pairs;
  const paths = proposePair(repository.quant ? pairsOfType(alone, repository.quant) : alone, memory)?.paths ?? [config];
  if (!paths[0]) throw hubError(repository.id, "it has no language model that the engine can open", `See ${HUB_ORIGIN}/${repository.id}/tree/${repository.revision}`);
  return fileOnHub(repository, paths[0]);
}
