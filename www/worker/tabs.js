// What tabs that load the same model owe each other: every part is fetched by one of them.

import { deferred } from "../shared/async.js";

/** Web Locks, or null where the browser lacks them or refuses them (site data blocked, a frame without storage): the manager
 * is there even then, and only its requests fail.
 * @type {Promise<LockManager | null>} */
export const locks = (async () => {
  try {
    const { locks = null } = navigator;
    await locks?.request("llava-web probe", { mode: "shared" }, () => {});
    return locks;
  } catch {
    return null;
  }
})();

/**
 * One tab at a time fetches a part; the next finds it kept.
 * @param {string} name @param {AbortSignal} signal @param {(waited: boolean) => Promise<void>} work
 */
export async function alone(name, signal, work) {
  const manager = await locks;
  if (!manager) return work(false);
  const free = await manager.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await work(false);
    return lock !== null;
  });
  if (!free) await manager.request(name, { signal }, () => work(true));
}

/**
 * Says to other tabs that this one loads the same model, and notices when one of them does or did meanwhile.
 * @param {string} name
 */
export async function company(name) {
  const manager = await locks;
  let seen = false;
  const done = deferred();
  if (manager) await new Promise((granted) => manager.request(name, { mode: "shared" }, () => (granted(null), done.promise)));
  const has = async () => {
    if (!seen && manager) seen = ((await manager.query()).held ?? []).filter((lock) => lock.name === name).length > 1;
    return seen;
  };
  // One that is there now may be gone at the next question, and have stored parts until then.
  await has();
  return {
    has,
    leave: () => done.resolve(null),
  };
}

/** @type {typeof alone} nothing is shared with other tabs */
export const atOnce = (_name, _signal, work) => work(false);
