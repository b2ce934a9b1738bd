/** Returns the entry of a table under a name that comes from a request; names of the prototype have none.
 * @template T @param {Record<string, T>} table @param {unknown} name @returns {T | undefined} */
export function entryOf<T>(table: Record<string, T>, name: unknown): T | undefined;
/** @param {unknown} value @param {string} where @returns {Record<string, unknown>} */
export function readObject(value: unknown, where: string): Record<string, unknown>;
/** Reads a field that may be absent. @param {unknown} value @param {string} where @returns {boolean | undefined} */
export function readBoolean(value: unknown, where: string): boolean | undefined;
/** Reads a field that may be absent. `range` is the lowest and highest value, and whether it is whole.
 * @param {unknown} value @param {string} where @param {[number, number, boolean?]} range @returns {number | undefined} */
export function readNumber(value: unknown, where: string, [low, high, whole]: [number, number, boolean?]): number | undefined;
