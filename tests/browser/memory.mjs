// Memory of the browsers that this program has started, as Linux tells it.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";

/** Bytes of a process that are in main memory, and the most since the last `forgetPeaks`.
 * @typedef {{ pid: number, name: string, resident: number, peak: number }} Memory */

/** Reads a field of /proc/PID/status; empty where the process has ended. @param {number} pid @param {string} field */
function status(pid, field) {
  try {
    return new RegExp(`^${field}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
  } catch {
    return "";
  }
}

/** Lists the processes that this one has started, and those that they have started. @returns {number[]} */
function descendants() {
  const parents = new Map(readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => [Number(name), Number(status(Number(name), "PPid"))]));
  /** @param {number} pid @returns {boolean} */
  const isOurs = (pid) => pid !== 0 && (parents.get(pid) === process.pid || isOurs(parents.get(pid) ?? 0));
  return [...parents.keys()].filter(isOurs);
}

/** Memory of each process that this one has started. @returns {Memory[]} */
export function memories() {
  const bytes = (/** @type {number} */ pid, /** @type {string} */ field) => Number.parseInt(status(pid, field), 10) * 1024 || 0;
  return descendants().map((pid) => ({ pid, name: status(pid, "Name"), resident: bytes(pid, "VmRSS"), peak: bytes(pid, "VmHWM") }));
}

/** Lets the peaks begin anew. */
export function forgetPeaks() {
  for (const pid of descendants()) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    } catch {
      // It has ended, or belongs to another user: then its peak is an older one.
    }
  }
}
