// One request for a range of a file, and every way in which it can go wrong, in words that say what, where,
// and what to do.

import { SILENCE, anySignal, timeLimit } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { hintFor } from "./permission.js";
import { Hiccup, cancelled, retryAfter } from "./retry.js";

/**
 * A file as its host describes it. `validator` changes when the content does; `ranges` says whether parts of
 * it can be asked for. `vague`: its ETags differ from answer to answer, though the file is the same.
 * `unsure`: `size` may be that of a compressed body.
 * @typedef {{ size: number, etag: string, modified: string, ranges: boolean, vague?: boolean, unsure?: boolean }} Identity
 */

/** Statuses after which the same request may succeed. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

/** How often a host is asked whether its ETags mean anything. */
const OPINIONS = 4;

/** Bytes read at once. */
const PIECE = 1 << 18;

/** @param {URL} url @returns {string} without what may be a secret */
const placeOf = (url) => url.origin + url.pathname;

/** @param {string} kind @param {URL} url @param {string} message @param {string} [hint] */
export const failure = (kind, url, message, hint) => new Failure({ kind, place: placeOf(url), message, ...(hint && { hint }) });

/** @param {URL} url @param {number} status */
function statusHint(url, status) {
  if (status === 404 || status === 410) return "The file is not there: the model's folder is incomplete, or its address is wrong.";
  if (status === 401 || status === 403) return "Its host wants a password or an agreement first. Download the files, then open them from your disk.";
  return url.origin === self.location.origin ? "Retry in a moment." : "Its host has trouble. Retry in a moment: what has arrived is kept.";
}

/**
 * @param {URL} url
 * @param {{ range: [number, number | ""] | null, signal: AbortSignal, again?: boolean, method?: "GET" | "HEAD" }} how `range` is
 *   first and last byte, empty for the file's last
 * @returns {Promise<Response>} of a status that is fine, 404, 410 or 416
 */
export async function request(url, { range, signal, again = false, method = "GET" }) {
  let response;
  const limit = timeLimit(SILENCE);
  try {
    response = await fetch(url, {
      method,
      // Weights are kept by us, verified: a second copy of gigabytes in the browser's own cache helps nobody.
      cache: again ? "reload" : "no-store",
      credentials: "same-origin",
      referrerPolicy: "no-referrer",
      signal: anySignal([signal, limit.signal]),
      // The one form of this header that needs no preflight.
      ...(range && { headers: { range: `bytes=${range[0]}-${range[1]}` } }),
    });
  } catch (thrown) {
    if (signal.aborted) throw cancelled();
    const silent = limit.signal.aborted;
    const message = `could not be fetched (${silent ? `no answer within ${SILENCE / 1000} s` : thrown instanceof Error ? thrown.message : thrown})`;
    throw new Hiccup({ kind: "network", place: placeOf(url), message, hint: silent ? statusHint(url, 504) : await hintFor(url) });
  } finally {
    limit.over();
  }
  const { status } = response;
  if (response.ok || [404, 410, 416].includes(status)) return response;
  await response.body?.cancel();
  const fields = { kind: "network", place: placeOf(url), message: `the server answered ${status} ${response.statusText}`.trim(), hint: statusHint(url, status) };
  throw PASSING.includes(status) ? new Hiccup(fields, retryAfter(response.headers.get("retry-after"))) : new Failure(fields);
}

/** @param {URL} url */
export const missing = (url) => failure("network", url, "the server answered 404", statusHint(url, 404));

/** @param {Response} response */
export const isPage = (response) => response.headers.get("content-type")?.startsWith("text/html") ?? false;

/** @param {URL} url */
export function webPage(url) {
  return failure("manifest", url, "this is a web page, not a file of a model", "Give the address of the file itself: on a hub, what its download button points to.");
}

/** Where a partial answer lies in the file, if its host lets us see. @param {Response} response */
export function contentRange(response) {
  const seen = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  return seen && { first: Number(seen[1]), last: Number(seen[2]), size: seen[3] === "*" ? NaN : Number(seen[3]) };
}

/** What tells one version from another. A weak ETag says the same as a strong one: a host that compresses on the way has no other.
 * @param {Response} response */
export const validators = (response) => ({ etag: response.headers.get("etag")?.replace(/^W\//, "") ?? "", modified: response.headers.get("last-modified") ?? "" });

/**
 * Whether ETags differ though the file does not: machines behind one name, each with its own. After a change all answers agree.
 * @param {URL} url @param {Identity} identity noted in @param {string} etag of the last answer @param {AbortSignal} signal
 */
async function isVague(url, identity, etag, signal) {
  for (let asked = 0; asked < OPINIONS; asked++) {
    const response = await request(url, { range: [0, 0], signal });
    await response.body?.cancel();
    const size = contentRange(response)?.size ?? identity.size;
    if (size !== identity.size) return false;
    if (validators(response).etag !== etag) return (identity.vague = true);
  }
  return false;
}

/**
 * The body from `first` on, checked to be of the file that was identified.
 * @param {URL} url
 * @param {{ first: number, end: number, identity: Identity | null, signal: AbortSignal, again?: boolean }} how
 *   `identity` is null where a promised hash is the better check
 * @returns {Promise<{ read: (stop?: boolean) => Promise<Uint8Array | null>, position: number }>}
 */
export async function openBody(url, { first, end, identity, signal, again }) {
  const whole = first === 0 && end === identity?.size;
  const response = await request(url, { range: whole || identity?.ranges === false ? null : [first, end - 1], signal, again });
  const changed = (/** @type {string} */ how) =>
    failure("changed", url, `changed on its server while it was being read: ${how}`, "Retry: what no longer belongs to it is thrown away.");
  if (response.status === 404 || response.status === 410) throw missing(url);
  if (response.status === 416) throw changed(`it no longer has ${end} bytes`);
  if (isPage(response)) throw webPage(url);
  const { etag, modified } = validators(response);
  // Hosts of many machines may give one file several ETags; its date then is the same on all of them.
  const sameDate = Boolean(modified) && modified === identity?.modified;
  // What comes in one piece is of one version, whatever hosts call it compressed and not.
  const differs = identity && etag && identity.etag && etag !== identity.etag && !sameDate && !whole && !identity.vague;
  if (differs && !(await isVague(url, identity, etag, signal))) throw changed(`its ETag was ${identity.etag} and is ${etag}`);
  if (identity && !whole && !etag && modified && identity.modified && !sameDate) throw changed(`it was of ${identity.modified} and is of ${modified}`);
  const seen = contentRange(response);
  if (identity && seen && Number.isFinite(seen.size) && seen.size !== identity.size) throw changed(`it had ${identity.size} bytes and has ${seen.size}`);
  if (response.status === 206 && seen && seen.first !== first) {
    throw failure("network", url, `the server gave the bytes from ${seen.first} on instead of those from ${first} on`, "Its host answers Range requests wrongly: download the files, then open them from your disk.");
  }
  return { read: chunks(/** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body)), position: response.status === 206 ? first : 0 };
}

/**
 * Reads a body piece by piece, through one buffer where the browser can: otherwise the pieces of gigabytes would
 * be garbage faster than it is collected. A piece is good until the next is asked for; asked to stop, the
 * connection ends.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {(stop?: boolean) => Promise<Uint8Array | null>} null at the end
 */
function chunks(body) {
  let buffer = new ArrayBuffer(PIECE);
  /** @type {ReadableStreamBYOBReader | ReadableStreamDefaultReader<Uint8Array>} */
  let reader;
  let next = () => /** @type {ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>} */ (reader).read();
  try {
    const through = body.getReader({ mode: "byob" });
    reader = through;
    next = () => /** @type {any} */ (through.read(new Uint8Array(buffer)));
  } catch {
    reader = body.getReader();
  }
  return async (stop = false) => {
    if (stop) await reader.cancel();
    const { done, value } = stop ? { done: true } : await unlessSilent(next());
    if (value) buffer = value.buffer;
    return done || !value ? null : value;
  };
}

/** @template T @param {Promise<T>} coming @returns {Promise<T>} rejects when nothing comes for too long */
function unlessSilent(coming) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nothing came for ${SILENCE / 1000} s`)), SILENCE);
    coming.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
