// Requests a range of a file, and describes every failure: what, where, and what to do.

import { STALL_TIMEOUT, anySignal, timeLimit } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { networkHint } from "./permission.js";
import { RetryableError, cancelled, parseRetryAfter } from "./retry.js";

/**
 * A file as its host describes it. `etag` or `modified` changes with the content; `ranges`: parts of it can be
 * requested; `vague`: its ETags differ between answers although the file is the same; `unsure`: `size` may be that of a
 * compressed body.
 * @typedef {{ size: number, etag: string, modified: string, ranges: boolean,
 *   vague?: boolean, unsure?: boolean }} FileInfo
 */

/** Statuses after which a repeated request may succeed. */
const TRANSIENT_STATUSES = [408, 425, 429, 500, 502, 503, 504];

/** Requests that test whether a host's ETags are stable. */
const ETAG_PROBES = 4;

/** Bytes per read. */
const READ_BYTES = 1 << 18;

/** Returns an address without its query, which may hold a secret. @param {URL} url @returns {string} */
const placeOf = (url) => url.origin + url.pathname;

/** @param {string} kind @param {URL} url @param {string} message @param {string} [hint] */
export const failure = (kind, url, message, hint) => new Failure({ kind, place: placeOf(url), message, ...(hint && { hint }) });

/** @param {URL} url @param {number} status */
function statusHint(url, status) {
  if (status === 404 || status === 410) return "The file is not there: the model's folder is incomplete, or its address is wrong.";
  if (status === 401 || status === 403) return "Its host asks for a password or an agreement. Download the files yourself, then open them from your disk.";
  return url.origin === self.location.origin ? "Retry in a moment." : "Its host reports a problem. Retry in a moment: what has arrived is saved.";
}

/**
 * Sends one request for a file, or for a range of it.
 * @param {URL} url
 * @param {{ range: [number, number | ""] | null, signal: AbortSignal, again?: boolean, method?: "GET" | "HEAD" }} how
 *   `range` is the first and the last byte; empty for the last of the file
 * @returns {Promise<Response>} with a status of success, 404, 410 or 416
 */
export async function request(url, { range, signal, again = false, method = "GET" }) {
  let response;
  const limit = timeLimit(STALL_TIMEOUT);
  try {
    response = await fetch(url, {
      method,
      // Weights are cached here, verified: a second copy of gigabytes in the browser's own cache would be of no use.
      cache: again ? "reload" : "no-store",
      credentials: "same-origin",
      referrerPolicy: "no-referrer",
      signal: anySignal([signal, limit.signal]),
      // The only form of this header that needs no preflight request.
      ...(range && { headers: { range: `bytes=${range[0]}-${range[1]}` } }),
    });
  } catch (thrown) {
    if (signal.aborted) throw cancelled();
    const timedOut = limit.signal.aborted;
    const message = `could not be downloaded (${timedOut ? `no answer within ${STALL_TIMEOUT / 1000} s` : thrown instanceof Error ? thrown.message : thrown})`;
    throw new RetryableError({ kind: "network", place: placeOf(url), message, hint: timedOut ? statusHint(url, 504) : await networkHint(url) });
  } finally {
    limit.clear();
  }
  const { status } = response;
  if (response.ok || [404, 410, 416].includes(status)) return response;
  await response.body?.cancel();
  const fields = { kind: "network", place: placeOf(url), message: `the server answered ${status} ${response.statusText}`.trim(), hint: statusHint(url, status) };
  // A hub refuses at its own address what needs an account. Where it has redirected to a signed address, a refusal means
  // that the signature has expired: the hub's address gives another.
  const expired = response.redirected && [401, 403].includes(status);
  throw expired || TRANSIENT_STATUSES.includes(status) ? new RetryableError(fields, parseRetryAfter(response.headers.get("retry-after"))) : new Failure(fields);
}

/** @param {URL} url */
export const notFound = (url) => failure("network", url, "the server answered 404", statusHint(url, 404));

/** @param {Response} response */
export const isHtml = (response) => response.headers.get("content-type")?.startsWith("text/html") ?? false;

/** @param {URL} url */
export function htmlError(url) {
  return failure("manifest", url, "this is a web page, not a file of a model", "Give the address of the file itself: on a hub, what its download button points to.");
}

/** Returns the range of a partial answer, if its host exposes it. @param {Response} response */
export function contentRange(response) {
  const seen = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  return seen && { first: Number(seen[1]), last: Number(seen[2]), size: seen[3] === "*" ? NaN : Number(seen[3]) };
}

/** Returns what identifies a version of a file. A weak ETag counts as a strong one, since hosts that compress have no
 * other.
 * @param {Response} response */
export const validators = (response) => ({ etag: response.headers.get("etag")?.replace(/^W\//, "") ?? "", modified: response.headers.get("last-modified") ?? "" });

/**
 * Returns whether a host's ETags differ between answers for an unchanged file, as with several servers behind one name.
 * After a change all answers agree.
 * @param {URL} url @param {FileInfo} info marked `vague` if so @param {string} etag of the last answer
 * @param {AbortSignal} signal
 */
async function hasUnstableEtags(url, info, etag, signal) {
  for (let probe = 0; probe < ETAG_PROBES; probe++) {
    const response = await request(url, { range: [0, 0], signal });
    await response.body?.cancel();
    const size = contentRange(response)?.size ?? info.size;
    if (size !== info.size) return false;
    if (validators(response).etag !== etag) return (info.vague = true);
  }
  return false;
}

/**
 * Opens the body of a file from `first` on, and checks that it is of the expected version.
 * @param {URL} url
 * @param {{ first: number, end: number, info: FileInfo | null, signal: AbortSignal, again?: boolean }} how
 *   `info` is null where a promised hash is checked instead
 * @returns {Promise<{ read: (stop?: boolean) => Promise<Uint8Array | null>, position: number }>}
 */
export async function openBody(url, { first, end, info, signal, again }) {
  const whole = first === 0 && end === info?.size;
  const response = await request(url, { range: whole || info?.ranges === false ? null : [first, end - 1], signal, again });
  const changed = (/** @type {string} */ how) =>
    failure("changed", url, `changed on its server while it was being read: ${how}`, "Retry: saved parts of the old version are deleted.");
  if (response.status === 404 || response.status === 410) throw notFound(url);
  if (response.status === 416) throw changed(`it no longer has ${end} bytes`);
  if (isHtml(response)) throw htmlError(url);
  const { etag, modified } = validators(response);
  // Hosts of several servers may give a file several ETags, with the same date.
  const sameDate = Boolean(modified) && modified === info?.modified;
  // A whole file is of one version, although its compressed and plain forms have different ETags.
  const differs = info && etag && info.etag && etag !== info.etag && !sameDate && !whole && !info.vague;
  if (differs && !(await hasUnstableEtags(url, info, etag, signal))) throw changed(`its ETag was ${info.etag} and is ${etag}`);
  if (info && !whole && !etag && modified && info.modified && !sameDate) throw changed(`it was of ${info.modified} and is of ${modified}`);
  const seen = contentRange(response);
  if (info && seen && Number.isFinite(seen.size) && seen.size !== info.size) throw changed(`it had ${info.size} bytes and has ${seen.size}`);
  if (response.status === 206 && seen && seen.first !== first) {
    throw failure("network", url, `the server gave the bytes from ${seen.first} on instead of those from ${first} on`, "Its host answers Range requests wrongly: download the files, then open them from your disk.");
  }
  return { read: pieceReader(/** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body)), position: response.status === 206 ? first : 0 };
}

/**
 * Returns a function that reads a body piece by piece, through one buffer where the browser can: otherwise the pieces
 * of gigabytes would be garbage faster than it is collected. A piece is valid until the next call. With `stop` the
 * connection ends.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {(stop?: boolean) => Promise<Uint8Array | null>} null at the end
 */
export function pieceReader(body) {
  let buffer = new ArrayBuffer(READ_BYTES);
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
    const { done, value } = stop ? { done: true } : await withStallTimeout(next());
    if (value) buffer = value.buffer;
    return done || !value ? null : value;
  };
}

/** Rejects when a read brings nothing within STALL_TIMEOUT.
 * @template T @param {Promise<T>} read @returns {Promise<T>} */
function withStallTimeout(read) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no data for ${STALL_TIMEOUT / 1000} s`)), STALL_TIMEOUT);
    read.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
