// Locks between tabs (Web Locks): of tabs that load the same model, one fetches each part.

import { deferred } from "../shared/async.js";

/** The lock manager; `null` where the browser has none or refuses its requests (site data is blocked, or the frame has
 * no storage).
 * @type {Promise<LockManager | null>} */
export const locks = (async () => {
  try {
    const { locks = null } = navigator;
    // Where requests are refused the manager exists all the same.
    await locks?.request("llava-web probe", { mode: "shared" }, () => {});
    return locks;
  } catch {
    return null;
  }
})();

/**
 * Runs `work` while no other tab holds the lock of this name.
 * @param {string} name @param {AbortSignal} signal
 * @param {(waited: boolean) => Promise<void>} work  `waited`: another tab held the lock before
 */
export async function withTabLock(name, signal, work) {
  const manager = await locks;
  if (!manager) return work(false);
  const free = await manager.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await work(false);
    return lock !== null;
  });
  if (!free) await manager.request(name, { signal }, () => work(true));
}

/** Runs `work` without a lock. @type {typeof withTabLock} */
export const withoutLock = (_name, _signal, work) => work(false);

/**
 * Holds a shared lock that tells other tabs that this one loads the model, and detects the same lock of other tabs.
 * @param {string} name
 */
export async function joinPeers(name) {
  const manager = await locks;
  let found = false;
  const done = deferred();
  if (manager) await new Promise((granted) => manager.request(name, { mode: "shared" }, () => (granted(null), done.promise)));
  /** Returns whether another tab held the lock at this or an earlier call. */
  const seen = async () => {
    if (!found && manager) found = ((await manager.query()).held ?? []).filter((lock) => lock.name === name).length > 1;
    return found;
  };
  // A tab that loads now may have ended before the next call, and have stored parts by then.
  await seen();
  return {
    seen,
    leave: () => done.resolve(null),
  };
}
