// Fetching weights: several parts at once, each into one buffer of its exact size, never the whole model.

import { Failure } from "../shared/failure.js";

/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */

/** Connections used at once: enough to fill a line, few enough to bound what is in flight. */
const LANES = 4;

/**
 * @param {URL} url
 * @param {RequestCache} cache
 * @returns {Promise<Response>}
 */
async function request(url, cache) {
  const foreign = url.origin !== self.location.origin;
  let response;
  try {
    response = await fetch(url, { cache, credentials: "same-origin" });
  } catch (thrown) {
    throw new Failure({
      kind: "network",
      place: url.href,
      message: `could not be fetched (${thrown instanceof Error ? thrown.message : thrown})`,
      hint: foreign
        ? `Its host must allow other sites to read it (CORS), and this page must be allowed to ask it: start it with --model-host ${url.origin}.`
        : "Check the connection, then retry: what has arrived is kept.",
    });
  }
  if (!response.ok) {
    throw new Failure({
      kind: "network",
      place: url.href,
      message: `the server answered ${response.status} ${response.statusText}`.trim(),
      hint: response.status === 404 ? "The file is not there: the model's folder is incomplete, or its address is wrong." : "Retry in a moment.",
    });
  }
  return response;
}

/**
 * A small file, whole. A server that answers a page instead of a missing file is the usual mistake.
 * @param {URL} url
 * @returns {Promise<Uint8Array>}
 */
export async function fetchManifest(url) {
  const response = await request(url, "no-cache");
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw new Failure({
      kind: "manifest",
      place: url.href,
      message: "this is a web page, not a model's manifest.json",
      hint: "Give the address of manifest.json itself after ?model=.",
    });
  }
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * @param {URL} url
 * @param {number} bytes what the manifest promises
 * @param {RequestCache} cache
 * @param {(more: number) => void} onBytes
 * @returns {Promise<Uint8Array>} exactly `bytes` long
 */
async function fetchPart(url, bytes, cache, onBytes) {
  const response = await request(url, cache);
  const buffer = new Uint8Array(bytes);
  let filled = 0;
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > bytes) {
        await reader.cancel();
        throw new Failure({ kind: "shard", place: url.href, message: `longer than the ${bytes} bytes of the manifest` });
      }
      buffer.set(value, filled);
      filled += value.length;
      onBytes(value.length);
    }
    if (filled < bytes) {
      throw new Failure({ kind: "shard", place: url.href, message: `ended after ${filled} of ${bytes} bytes` });
    }
    return buffer;
  } catch (thrown) {
    onBytes(-filled);
    if (thrown instanceof Failure) throw thrown;
    throw new Failure({
      kind: "network",
      place: url.href,
      message: `the connection broke after ${filled} of ${bytes} bytes`,
      hint: "Retry: what has arrived is kept.",
    });
  }
}

/**
 * Fetches `parts` and hands each to `push`, which verifies it. A bad part is fetched once more, past every
 * cache; a part that stays bad does not keep the others from arriving.
 * @param {object} job
 * @param {URL} job.base what the file names are relative to
 * @param {PlanPart[]} job.parts
 * @param {(part: PlanPart, bytes: Uint8Array) => Promise<void>} job.push rejects when the bytes are not the part's
 * @param {(more: number) => void} job.onBytes
 * @returns {Promise<void>} rejects with the first failure once all the rest is done
 */
export async function fetchParts({ base, parts, push, onBytes }) {
  const queue = [...parts];
  /** @type {Failure[]} */
  const failures = [];
  // The engine takes one part at a time; the lanes go on fetching meanwhile.
  /** @type {Promise<void>} */
  let pushing = Promise.resolve();

  /** @param {PlanPart} part @param {RequestCache} cache */
  const attempt = async (part, cache) => {
    const bytes = await fetchPart(new URL(part.file, base), part.bytes, cache, onBytes);
    const turn = pushing.then(() => push(part, bytes));
    pushing = turn.catch(() => {});
    try {
      await turn;
    } catch (thrown) {
      onBytes(-part.bytes);
      throw thrown;
    }
  };
  /** @param {unknown} thrown */
  const worthAnother = (thrown) => ["shard", "network"].includes(Failure.from(thrown, "worker").kind);

  const lane = async () => {
    for (let part = queue.shift(); part; part = queue.shift()) {
      try {
        await attempt(part, "default");
      } catch (first) {
        try {
          if (!worthAnother(first)) throw first;
          await attempt(part, "reload");
        } catch (second) {
          failures.push(Failure.from(second, part.file));
          // What is not the part's fault (no memory, a lost device) will not get better with the next part.
          if (!worthAnother(second)) queue.length = 0;
        }
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failures[0]) throw failures[0];
}
