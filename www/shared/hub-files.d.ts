/** Returns the type in a file's name, in capitals. @param {string} path */
export function quantOf(path: string): string;
/** Finds the models of a repository. @param {HubFile[]} files @returns {Models} */
export function findModels(files: HubFile[]): Models;
/** Returns the pairs that a wanted type means: `Q4_K` also means Q4_K_M and Q4_K_S, where there is no Q4_K.
 * @param {Pair[]} pairs @param {string} wanted */
export function pairsOfType(pairs: Pair[], wanted: string): Pair[];
/**
 * Returns the pair to propose: of those that fit and are no long download the widest up to 8 bits; where all are long, 4
 * bits; where nothing fits, the smallest.
 * @param {Pair[]} pairs the smallest first @param {number} memory bytes that a model may take
 */
export function proposePair(pairs: Pair[], memory: number): Pair | undefined;
/** Download above which 4 bits are preferred, bytes. */
export const LONG_DOWNLOAD: 2500000000;
/**
 * A file of a repository.
 */
export type HubFile = {
    path: string;
    bytes: number;
};
/**
 * A language model and its mmproj. `paths` are the files to name (the first piece of a split file), `quant` is the type
 * of the language model's weights in capitals, empty where its name does not say.
 */
export type Pair = {
    quant: string;
    paths: string[];
    bytes: number;
};
export type Models = {
    pairs: Pair[];
    languages: string[];
    projectors: string[];
    unread: string[];
    config: string;
    manifest: string;
};
