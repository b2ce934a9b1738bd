// What tabs that load the same model owe each other: every part is fetched by one of them.

/**
 * One tab at a time fetches a part; the next finds it kept.
 * @param {string} name @param {AbortSignal} signal @param {(waited: boolean) => Promise<void>} work
 */
export async function alone(name, signal, work) {
  if (!navigator.locks) return work(false);
  const free = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await work(false);
    return lock !== null;
  });
  if (!free) await navigator.locks.request(name, { signal }, () => work(true));
}

/**
 * Says to other tabs that this one loads the same model, and notices when one of them does or did meanwhile.
 * @param {string} name
 */
export async function company(name) {
  const { locks } = navigator;
  let seen = false;
  const done = Promise.withResolvers();
  if (locks) await new Promise((granted) => locks.request(name, { mode: "shared" }, () => (granted(null), done.promise)));
  return {
    async has() {
      if (!seen && locks) seen = ((await locks.query()).held ?? []).filter((lock) => lock.name === name).length > 1;
      return seen;
    },
    leave: () => done.resolve(null),
  };
}

/** @type {typeof alone} nothing is shared with other tabs */
export const atOnce = (_name, _signal, work) => work(false);
