/** @template T */
export class LocalStore<T> {
    /** @param {string} name */
    constructor(name: string);
    name: string;
    /** @param {string} key @returns {T | undefined} */
    get(key: string): T | undefined;
    /** @param {string} key @param {T} value */
    set(key: string, value: T): void;
    #private;
}
