// Loading weights: kept parts first, the rest in order of use, several at once, each in one buffer that the
// next takes over as soon as the engine has its bytes. Never the whole model, whatever its size.

import { anySignal, groupBy } from "../shared/async.js";
import { Failure } from "../shared/failure.js";
import { giveBack, letGo } from "./buffers.js";
import { stopIfAsked } from "./retry.js";
import { alone, atOnce, company } from "./tabs.js";

/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */
/** @typedef {import("../shared/protocol.js").PlanPart} PlanPart */
/** @typedef {import("./kept-source.js").KeptSource} KeptSource */

/** Connections used at once, at most: enough to fill a line. */
const LANES = 4;
/** Parts in flight, bytes: what the tab's heap has to bear while gigabytes pass through it. */
const IN_FLIGHT = 48e6;
/** Between two reports of bytes fetched, ms: the eye needs no more. */
const PROGRESS_INTERVAL = 100;

/** Bytes of parts that lanes hold at present. */
let held = 0;
export const inFlight = () => held;

/** Counts bytes and says so, not too often. */
class Counter {
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
    this.#say(from, resumed);
  }

  /** @param {string} words */
  wait(words) {
    this.#waiting = words;
    this.#say("network", true);
  }

  /** @param {FetchEvent["from"]} from @param {boolean} now */
  #say(from, now) {
    const time = performance.now();
    if (!now && time - this.#last < PROGRESS_INTERVAL && this.done < this.total) return;
    this.#last = time;
    this.emit({ type: "fetch", done: this.done, total: this.total, received: this.#received, from, waiting: this.#waiting });
  }
}

/** What another attempt, or another part, may do better: the fault is the bytes'. @param {unknown} thrown */
const isDamage = (thrown) => Failure.from(thrown, "worker").kind === "shard";

/**
 * @param {object} job
 * @param {KeptSource} job.source
 * @param {PlanPart[]} job.parts those that are still missing, in order of use
 * @param {number} job.done bytes of the others
 * @param {(part: PlanPart, bytes: Uint8Array) => Promise<void>} job.push rejects when the bytes are not the part's; the lanes
 *   may call it at once, and go on fetching meanwhile
 * @param {(event: FetchEvent) => void} job.emit
 * @param {AbortSignal} job.signal
 * @returns {Promise<void>} rejects at the first failure, but with damage only once all the rest is done
 */
export async function fetchParts({ source, parts, done, push, emit, signal }) {
  const counter = new Counter(done, parts.reduce((sum, part) => sum + part.bytes, done), emit);
  const own = new AbortController();
  const stop = anySignal([signal, own.signal]);
  const from = source.kind === "files" ? "files" : "network";
  const how = { signal: stop, onBytes: (/** @type {number} */ more) => counter.add(more, from), onWait: (/** @type {string} */ words) => counter.wait(words) };
  /** @type {Failure[]} */
  const damage = [];

  /** @param {PlanPart} part @param {Uint8Array} bytes @returns {Promise<Failure | null>} why the bytes are not the part's */
  const refusal = async (part, bytes) => {
    try {
      await push(part, bytes);
      return null;
    } catch (thrown) {
      counter.add(-part.bytes, from);
      if (!isDamage(thrown)) throw thrown;
      await source.shelf.drop(await source.rangeOf(part));
      return Failure.from(thrown, part.file);
    } finally {
      giveBack(bytes);
    }
  };
  /** @param {PlanPart[]} wanted @returns {Promise<PlanPart[]>} those that are not kept, or not as they should be */
  const fromStore = async (wanted) => {
    const missing = [];
    for (const part of wanted) {
      stopIfAsked(stop);
      const bytes = await source.kept(part);
      if (bytes) counter.add(part.bytes, "store");
      if (!bytes || (await refusal(part, bytes))) missing.push(part);
    }
    return missing;
  };
  /** @param {PlanPart[]} wanted */
  const fromSource = async (wanted) => {
    /** @type {Map<PlanPart, Failure>} */
    const refused = new Map();
    if (!wanted.length) return refused;
    for await (const { part, bytes } of source.parts(wanted, how)) {
      const why = await refusal(part, bytes);
      if (why) refused.set(part, why);
    }
    return refused;
  };
  /** @param {PlanPart[]} wanted */
  const run = async (wanted) => {
    const missing = await fromStore(wanted);
    if (!missing.length) return;
    const name = `llava-web ${source.shelf.key} ${missing.map((part) => part.index)}`;
    await (source.keep ? alone : atOnce)(name, stop, async (waited) => {
      // Another tab may have stored it between the look into the store and the lock, or have held the lock.
      const shared = waited || (source.keep && (await others.has()));
      if (shared) await source.shelf.look();
      const refused = await fromSource(shared ? await fromStore(missing) : missing);
      damage.push(...(await fromSource([...refused.keys()])).values());
    });
  };

  const others = await company(`llava-web ${source.shelf.key} loads`);
  if (source.keep) await source.shelf.look();
  const queue = await inJobs(source, parts);
  const lane = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      const largest = Math.max(...job.map((part) => part.bytes));
      held += largest;
      try {
        await run(job);
      } catch (thrown) {
        stopIfAsked(signal);
        if (isDamage(thrown)) damage.push(Failure.from(thrown, "part"));
        else {
          // What is not the part's fault (no network, no memory, a lost device) will not get better with the next.
          own.abort();
          throw thrown;
        }
      } finally {
        held -= largest;
      }
    }
  };
  const largest = Math.max(1, ...parts.map((part) => part.bytes));
  const lanes = Math.max(1, Math.min(LANES, Math.floor(IN_FLIGHT / largest)));
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  others.leave();
  letGo();
  stopIfAsked(signal);
  const failed = ends.flatMap((end) => (end.status === "rejected" ? [Failure.from(end.reason, "load")] : []));
  // Lanes that were called off because of another's failure have nothing of their own to say.
  const first = failed.find((failure) => failure.kind !== "cancelled") ?? failed[0] ?? damage[0];
  if (first) throw first;
}

/** What is fetched in one go: a part, or all of a file that comes only as a whole. What is kept goes first.
 * @param {KeptSource} source @param {PlanPart[]} parts */
async function inJobs(source, parts) {
  /** @type {Map<string | PlanPart, PlanPart[]>} */
  const jobs = groupBy(parts, (part) => (source.comesWhole(part.file) ? part.file : part));
  const sorted = [...jobs.values()].map((job) => job.sort((a, b) => a.offset - b.offset));
  const kept = await Promise.all(sorted.map(async (job) => (await Promise.all(job.map(async (part) => source.shelf.has(await source.rangeOf(part))))).every(Boolean)));
  return [...sorted.filter((_, i) => kept[i]), ...sorted.filter((_, i) => !kept[i])];
}
