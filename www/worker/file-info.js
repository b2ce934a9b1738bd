// Finds a file's length, its version, and whether its host serves ranges, before the file is read. Hosts hide some of
// that from other sites, refuse HEAD, or give the length of a compressed body.

import { contentRange, failure, isHtml, pieceReader, request, validators } from "./http.js";
import { RetryableError } from "./retry.js";

/** @typedef {import("./http.js").FileInfo} FileInfo */

/** Length up to which a body that may be compressed is read to count it, bytes. */
const MAX_COUNTED_BYTES = 16 << 20;

/** Counts the bytes of a body. @param {Response} response */
async function countBody(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (let size = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return size;
    size += value.length;
  }
}

/** Counts the bytes of a whole file. @param {URL} url @param {AbortSignal} signal */
export const countBytes = async (url, signal) => countBody(await request(url, { range: null, signal }));

/** Returns the length of a file that came whole although a range was requested. From other sites the header that says
 * it is compressed is hidden, and its Content-Length may be of the compressed body; browsers do not even decompress an
 * answer to a range request.
 * @param {URL} url @param {Response} response @param {AbortSignal} signal */
async function sizeOfWhole(url, response, signal) {
  const length = Number(response.headers.get("content-length") ?? NaN);
  const encoding = response.headers.get("content-encoding");
  const plain = url.origin === self.location.origin && !encoding;
  if (plain && !Number.isFinite(length)) return { size: await countBody(response) };
  await response.body?.cancel().catch(() => {});
  if (!Number.isFinite(length) || (!plain && length <= MAX_COUNTED_BYTES)) return { size: await countBytes(url, signal) };
  return plain ? { size: length } : { size: length, unsure: true };
}

/**
 * Finds the length of a file whose `Content-Range` is hidden: the length of an answer is always visible. Ranges are
 * never compressed, but some hosts serve less than requested; other answers may be compressed. So each candidate is
 * tested.
 * @param {URL} url @param {AbortSignal} signal
 * @returns {Promise<number | null>}
 */
async function hiddenSize(url, signal) {
  /** @type {Partial<Parameters<typeof request>[1]>[]} */
  const ways = [{ method: "HEAD" }, { range: [0, ""] }, {}];
  for (const way of ways) {
    const response = await request(url, { range: null, signal, ...way }).catch(() => null);
    const size = Number((response?.ok && response.headers.get("content-length")) || NaN);
    await response?.body?.cancel().catch(() => {});
    if (signal.aborted) return null;
    if (size > 0 && (await hasByte(url, size - 1, signal)) && !(await hasByte(url, size, signal))) return size;
  }
  return null;
}

/** Returns whether the file has a byte at this offset.
 * @param {URL} url @param {number} at @param {AbortSignal} signal */
async function hasByte(url, at, signal) {
  // Refusals are often hidden from other sites, too, and surface as an error.
  const response = await request(url, { range: [at, at], signal }).catch(() => null);
  await response?.body?.cancel().catch(() => {});
  return response?.status === 206;
}

/** Reads the answer to a range request as far as it comes, and no more than was requested.
 * @param {Response} response @param {number} bytes requested */
async function readHead(response, bytes) {
  const read = pieceReader(/** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body));
  const head = new Uint8Array(bytes);
  let received = 0;
  try {
    while (received < bytes) {
      const piece = (await read())?.subarray(0, bytes - received);
      if (!piece) break;
      head.set(piece, received);
      received += piece.length;
    }
  } catch {
    // What is missing is requested again.
  }
  await read(true).catch(() => {});
  return head.subarray(0, received);
}

/**
 * Requests the beginning of a file; the answer gives its length, its version, and whether ranges work.
 * @param {URL} url @param {AbortSignal} signal
 * @param {import("./http-source.js").Begin} begin
 * @param {boolean} [again] whether the request has failed before. A host may compress an answer to a range request,
 *   which Chrome reports as an error, or forbid other sites range requests; then the whole file is requested
 * @returns {Promise<FileInfo | null | "page">} null when the file does not exist
 */
export async function fetchFileInfo(url, signal, { bytes, onHead }, again = false) {
  const response = await request(url, { range: [0, bytes - 1], signal }).catch((thrown) => {
    if (!again || !(thrown instanceof RetryableError)) throw thrown;
    return request(url, { range: null, signal });
  });
  const seen = contentRange(response);
  const known = validators(response);
  if (response.status === 416) return { size: seen?.size || 0, ...known, ranges: true };
  if (response.status === 200) {
    if (isHtml(response)) {
      await response.body?.cancel();
      return "page";
    }
    return { ...(await sizeOfWhole(url, response, signal)), ...known, ranges: false };
  }
  const usable = response.ok && !isHtml(response);
  if (usable && bytes > 1 && (seen?.first ?? 0) === 0) onHead(await readHead(response, bytes));
  else await response.body?.cancel();
  if (!response.ok) return null;
  if (isHtml(response)) return "page";
  if (seen && Number.isFinite(seen.size)) return { size: seen.size, ...known, ranges: true };
  const size = await hiddenSize(url, signal);
  if (size !== null) return { size, ...known, ranges: true };
  throw failure("network", url, "its host does not say how long the file is", "Its host must expose the header Content-Range to other sites (CORS).");
}
