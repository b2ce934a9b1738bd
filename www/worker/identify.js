// What a file is, before any of it is wanted: its length, its version, whether its host gives parts of it. Hosts hide some of
// that from other sites, refuse HEAD, or say the length of what they compressed.

import { contentRange, failure, isPage, request, validators } from "./http.js";
import { Hiccup } from "./retry.js";

/** @typedef {import("./http.js").Identity} Identity */

/** A body of at most this length is read to count it where it may be compressed, bytes. */
const COUNTED = 16 << 20;

/** Length of a body, counted as it passes. @param {Response} response */
async function count(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (let size = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return size;
    size += value.length;
  }
}

/** The length of a whole file, counted. @param {URL} url @param {AbortSignal} signal */
export const countWhole = async (url, signal) => count(await request(url, { range: null, signal }));

/** Length of a file that came whole where a range was asked for. That it is compressed is hidden from other sites, and then the
 * answer's length is not the file's; such a body is not even decompressed where a range was asked for.
 * @param {URL} url @param {Response} response @param {AbortSignal} signal */
async function sizeOfWhole(url, response, signal) {
  const length = Number(response.headers.get("content-length") ?? NaN);
  const encoding = response.headers.get("content-encoding");
  const plain = url.origin === self.location.origin && !encoding;
  if (plain && !Number.isFinite(length)) return { size: await count(response) };
  await response.body?.cancel().catch(() => {});
  if (!Number.isFinite(length) || (!plain && length <= COUNTED)) return { size: await countWhole(url, signal) };
  return plain ? { size: length } : { size: length, unsure: true };
}

/**
 * The length of a file whose `Content-Range` is hidden from us: the length of an answer always shows. A range is never
 * compressed, but some hosts give less than the whole of it; other answers may be compressed. So each is put to the test.
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
    if (size > 0 && (await has(url, size - 1, signal)) && !(await has(url, size, signal))) return size;
  }
  return null;
}

/** Whether the file has a byte there. @param {URL} url @param {number} at @param {AbortSignal} signal */
async function has(url, at, signal) {
  // Refusals are often hidden from other sites, too: then there is an error instead of an answer.
  const response = await request(url, { range: [at, at], signal }).catch(() => null);
  await response?.body?.cancel().catch(() => {});
  return response?.status === 206;
}

/**
 * Asks for one byte, which tells the length of the file, its version, and whether ranges work.
 * @param {URL} url @param {AbortSignal} signal
 * @param {boolean} [again] it has failed before: a host may compress although it was asked for a range, which Chrome takes for
 *   an error, or not allow other sites to ask for one; then the whole is asked for
 * @returns {Promise<Identity | null | "page">} null when there is no such file
 */
export async function identify(url, signal, again = false) {
  const response = await request(url, { range: [0, 0], signal }).catch((thrown) => {
    if (!again || !(thrown instanceof Hiccup)) throw thrown;
    return request(url, { range: null, signal });
  });
  const seen = contentRange(response);
  const known = validators(response);
  if (response.status === 416) return { size: seen?.size || 0, ...known, ranges: true };
  if (response.status === 200) {
    if (isPage(response)) {
      await response.body?.cancel();
      return "page";
    }
    return { ...(await sizeOfWhole(url, response, signal)), ...known, ranges: false };
  }
  await response.body?.cancel();
  if (!response.ok) return null;
  if (isPage(response)) return "page";
  if (seen && Number.isFinite(seen.size)) return { size: seen.size, ...known, ranges: true };
  const size = await hiddenSize(url, signal);
  if (size !== null) return { size, ...known, ranges: true };
  throw failure("network", url, "its host does not say how long the file is", "Its host must expose the header Content-Range to other sites (CORS).");
}
