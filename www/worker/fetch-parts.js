// Loads the weights: cached parts first, the others in order of use, over several connections. Each part has one
// buffer, which is reused when the engine has its bytes, so that memory does not depend on the size of the model.

import { anySignal, groupBy } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { clearPool, release } from "./buffer-pool.js";
import { throwIfCancelled } from "./retry.js";
import { joinPeers, withTabLock, withoutLock } from "./tab-locks.js";

/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */
/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */
/** @typedef {import("./cached-source.js").CachedSource} CachedSource */

/** Limit on simultaneous connections: enough to saturate a line. */
const MAX_CONNECTIONS = 4;
/** Limit on the bytes of parts in flight, for the tab's heap. */
const MAX_IN_FLIGHT = 48e6;
/** Interval between two progress events, ms. */
const PROGRESS_INTERVAL = 100;

/** Bytes of the parts in flight. */
let bytesInFlight = 0;
export const inFlightBytes = () => bytesInFlight;

/** Counts bytes, and emits progress events at limited intervals. */
class ProgressCounter {
  #last = -Infinity;
  #received = 0;
  #waiting = "";

  /** @param {number} done @param {number} total @param {(event: FetchEvent) => void} emit */
  constructor(done, total, emit) {
    this.done = done;
    this.total = total;
    this.emit = emit;
  }

  /** @param {number} more @param {FetchEvent["from"]} from */
  add(more, from) {
    this.done += more;
    if (from === "network") this.#received += Math.max(0, more);
    const resumed = this.#waiting !== "";
    this.#waiting = "";
    this.#report(from, resumed);
  }

  /** @param {string} text */
  waitFor(text) {
    this.#waiting = text;
    this.#report("network", true);
  }

  /** @param {FetchEvent["from"]} from @param {boolean} now */
  #report(from, now) {
    const time = performance.now();
    if (!now && time - this.#last < PROGRESS_INTERVAL && this.done < this.total) return;
    this.#last = time;
    this.emit({ type: "fetch", done: this.done, total: this.total, received: this.#received, from, waiting: this.#waiting });
  }
}

/** Returns whether a failure is one of the bytes, so that another attempt or another part may succeed.
 * @param {unknown} thrown */
const isCorruption = (thrown) => Failure.from(thrown, "worker").kind === "shard";

/**
 * Loads the missing parts of a model and pushes them to the engine.
 * @param {object} job
 * @param {CachedSource} job.source
 * @param {PlanPart[]} job.parts missing ones, in order of use
 * @param {number} job.done bytes of the others
 * @param {(part: PlanPart, bytes: Uint8Array) => Promise<void>} job.push rejects when the bytes are
 *   not the part's; several calls may be pending, and fetching continues meanwhile
 * @param {(event: FetchEvent) => void} job.emit
 * @param {AbortSignal} job.signal
 * @returns {Promise<void>} rejects at the first failure; a corrupt part is reported when all other parts are loaded
 */
export async function fetchParts({ source, parts, done, push, emit, signal }) {
  const counter = new ProgressCounter(done, parts.reduce((sum, part) => sum + part.bytes, done), emit);
  const own = new AbortController();
  const stop = anySignal([signal, own.signal]);
  const from = source.kind === "files" ? "files" : "network";
  const options = { signal: stop, onBytes: (/** @type {number} */ more) => counter.add(more, from), onWait: (/** @type {string} */ text) => counter.waitFor(text) };
  /** @type {Failure[]} */
  const corrupted = [];

  /** Pushes a part to the engine, and deletes its cached copy if it is corrupt.
   * @param {PlanPart} part @param {Uint8Array} bytes @returns {Promise<Failure | null>} the reason if the bytes are
   *   not the part's */
  const tryPush = async (part, bytes) => {
    try {
      await push(part, bytes);
      return null;
    } catch (thrown) {
      counter.add(-part.bytes, from);
      if (!isCorruption(thrown)) throw thrown;
      await source.cache.delete(await source.rangeOf(part));
      return Failure.from(thrown, part.file);
    } finally {
      release(bytes);
    }
  };
  /** Loads parts from the cache. @param {PlanPart[]} wanted
   * @returns {Promise<PlanPart[]>} those that are not cached, or corrupt */
  const loadCached = async (wanted) => {
    const missing = [];
    for (const part of wanted) {
      throwIfCancelled(stop);
      const bytes = await source.cached(part);
      if (bytes) counter.add(part.bytes, "store");
      if (!bytes || (await tryPush(part, bytes))) missing.push(part);
    }
    return missing;
  };
  /** Fetches parts from the source. @param {PlanPart[]} wanted */
  const fetchMissing = async (wanted) => {
    /** @type {Map<PlanPart, Failure>} */
    const refused = new Map();
    if (!wanted.length) return refused;
    for await (const { part, bytes } of source.parts(wanted, options)) {
      const why = await tryPush(part, bytes);
      if (why) refused.set(part, why);
    }
    return refused;
  };
  /** Loads the parts of one job. @param {PlanPart[]} wanted */
  const run = async (wanted) => {
    const missing = await loadCached(wanted);
    if (!missing.length) return;
    const name = `llava-web ${source.cache.key} ${missing.map((part) => part.index)}`;
    await (source.keep ? withTabLock : withoutLock)(name, stop, async (waited) => {
      // Another tab may have stored the part before this one got the lock.
      const changed = waited || (source.keep && (await peers.seen()));
      if (changed) await source.cache.refresh();
      const refused = await fetchMissing(changed ? await loadCached(missing) : missing);
      corrupted.push(...(await fetchMissing([...refused.keys()])).values());
    });
  };

  const peers = await joinPeers(`llava-web ${source.cache.key} loads`);
  if (source.keep) await source.cache.refresh();
  const queue = await groupIntoJobs(source, parts);
  const runJobs = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      const largest = Math.max(...job.map((part) => part.bytes));
      bytesInFlight += largest;
      try {
        await run(job);
      } catch (thrown) {
        throwIfCancelled(signal);
        if (isCorruption(thrown)) corrupted.push(Failure.from(thrown, "part"));
        else {
          // A failure that is not of the bytes (no network, no memory, a lost device) would repeat with the next part.
          own.abort();
          throw thrown;
        }
      } finally {
        bytesInFlight -= largest;
      }
    }
  };
  const largest = Math.max(1, ...parts.map((part) => part.bytes));
  const connections = Math.max(1, Math.min(MAX_CONNECTIONS, Math.floor(MAX_IN_FLIGHT / largest)));
  const results = await Promise.allSettled(Array.from({ length: connections }, runJobs));
  peers.leave();
  clearPool();
  throwIfCancelled(signal);
  const failed = results.flatMap((result) => (result.status === "rejected" ? [Failure.from(result.reason, "load")] : []));
  // Connections that ended because of another one's failure report only that they were cancelled.
  const first = failed.find((failure) => failure.kind !== "cancelled") ?? failed[0] ?? corrupted[0];
  if (first) throw first;
}

/** Groups parts into jobs: one part, or all parts of a file that comes only as a whole. Cached jobs come first.
 * @param {CachedSource} source @param {PlanPart[]} parts */
async function groupIntoJobs(source, parts) {
  /** @type {Map<string | PlanPart, PlanPart[]>} */
  const jobs = groupBy(parts, (part) => (source.isWholeOnly(part.file) ? part.file : part));
  const sorted = [...jobs.values()].map((job) => job.sort((a, b) => a.offset - b.offset));
  const cached = await Promise.all(sorted.map(async (job) => (await Promise.all(job.map(async (part) => source.cache.has(await source.rangeOf(part))))).every(Boolean)));
  return [...sorted.filter((_, i) => cached[i]), ...sorted.filter((_, i) => !cached[i])];
}
