// The conversation as this browser stores it from one visit to the next, in IndexedDB. There is one: of several tabs,
// the one that has been answered last has stored its own. Nothing is sent.

import { requested, serialQueue } from "../shared/async.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./types.js").Note} Note */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Turn} Turn */
/** A picture as bytes: some browsers store no Blob in a private window.
 * @typedef {{ name: string, type: string, bytes: ArrayBuffer }} StoredPicture */
/** What earlier versions of the page have stored of an answer.
 * @typedef {Pick<import("../shared/protocol.js").Answered, "answer" | "timing">} EarlierResult */
/** @typedef {Note | Omit<Turn, "pictures"> & { pictures: string[] }} StoredEntry */

const DATABASE = "llava-web conversation";
/** Changes with the format: what another version has stored is not read. */
const VERSION = 1;
/** Object stores: the entries under one key, and the pictures by id. */
const ENTRIES = "entries";
const PICTURES = "pictures";

/** Runs one job at a time: what is erased during the storing of an answer stays erased. */
const runSerially = serialQueue();

/**
 * Runs `work` in one transaction, which takes effect as a whole or not at all.
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(entries: IDBObjectStore, pictures: IDBObjectStore) => Promise<T>} work that awaits requests only
 * @returns {Promise<T>} which rejects where the browser stores nothing
 */
async function transact(mode, work) {
  const opening = indexedDB.open(DATABASE, VERSION);
  opening.onupgradeneeded = () => {
    for (const name of [...opening.result.objectStoreNames]) opening.result.deleteObjectStore(name);
    for (const name of [ENTRIES, PICTURES]) opening.result.createObjectStore(name);
  };
  const database = await requested(opening);
  try {
    const transaction = database.transaction([ENTRIES, PICTURES], mode);
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const [value] = await Promise.all([work(transaction.objectStore(ENTRIES), transaction.objectStore(PICTURES)), ended]);
    return value;
  } finally {
    database.close();
  }
}

/** Stores a conversation in place of the last one. Pictures that are stored already are not written again.
 * @param {Conversation} conversation @returns {Promise<string>} why it is not stored; empty where it is */
export function save({ entries }) {
  const copy = entries.map((entry) => ({ ...entry }));
  return runSerially(() => store(copy)).then(() => "", String);
}

/** @param {(Turn | Note)[]} entries */
async function store(entries) {
  /** @type {StoredEntry[]} */
  const stored = [];
  /** @type {Map<string, Picture>} */
  const wanted = new Map();
  for (const entry of entries) {
    if ("note" in entry) stored.push(entry);
    // A question without an answer is not part of the conversation.
    else if (entry.result) stored.push({ ...entry, pictures: entry.pictures.map(({ id }) => id) });
    for (const picture of "note" in entry ? [] : entry.pictures) wanted.set(picture.id, picture);
  }
  /** @type {Map<string, StoredPicture>} */
  const files = new Map();
  // A transaction ends when it waits for anything else than its requests: the bytes are read before.
  for (const [id, { blob, name }] of wanted) files.set(id, { name, type: blob.type, bytes: await blob.arrayBuffer() });
  await transact("readwrite", async (entries, pictures) => {
    const known = await requested(pictures.getAllKeys());
    for (const id of known) if (!files.has(String(id))) pictures.delete(id);
    for (const [id, file] of files) if (!known.includes(id)) pictures.put(file, id);
    await requested(entries.put(stored, ENTRIES));
  });
}

/** Returns the entries of the stored conversation. @returns {Promise<(Turn | Note)[] | null>} */
export function loadSaved() {
  const saved = transact("readonly", async (entries, pictures) => {
    /** @type {StoredEntry[] | undefined} */
    const stored = await requested(entries.get(ENTRIES));
    if (!stored?.length) return null;
    const [ids, files] = await Promise.all([requested(pictures.getAllKeys()), requested(pictures.getAll())]);
    const shown = new Map(ids.map((id, i) => [String(id), shownPicture(String(id), files[i])]));
    const picturesOf = (/** @type {string[]} */ ids) => ids.flatMap((id) => shown.get(id) ?? []);
    return stored.map((entry) => ("note" in entry ? entry : { ...entry, result: asResult(entry.result), pictures: picturesOf(entry.pictures) }));
  });
  return saved.catch((thrown) => (console.info("No conversation is stored:", thrown), null));
}

/** Returns what is known of an answer, also of one that an earlier version of the page has stored.
 * @param {Turn["result"] | EarlierResult} result @returns {Turn["result"]} */
function asResult(result) {
  if (!result || "usage" in result) return result;
  const { answer, timing } = result;
  const [prompt_tokens, completion_tokens] = [answer.prompt_ids.length, answer.ids.length];
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens, prompt_tokens_details: { cached_tokens: answer.reused_rows } };
  return { usage, timings: timing, stop_reason: answer.stop };
}

/** @param {string} id @param {StoredPicture} file @returns {Picture} */
function shownPicture(id, { name, type, bytes }) {
  const blob = new Blob([bytes], { type });
  return { id, blob, name, url: URL.createObjectURL(blob), source: "", seen: null };
}

/** Erases the stored conversation and its pictures. */
export function clearSaved() {
  const clear = () => transact("readwrite", async (entries, pictures) => {
    entries.clear();
    await requested(pictures.clear());
  });
  return runSerially(clear).catch((thrown) => console.info("No conversation is erased:", thrown));
}
