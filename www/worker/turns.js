// Work that must not overlap.

/** Runs one piece of work after the other, whatever became of those before.
 * @returns {<T>(work: () => Promise<T>) => Promise<T>} */
export function oneAtATime() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
}
