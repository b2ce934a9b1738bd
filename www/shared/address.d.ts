/**
 * Returns the address of the file itself: that of the file that a page of the hub shows, or of a folder's main file.
 * @param {string} text
 * @param {string} base
 * @returns {string}
 */
export function fileAddress(text: string, base: string): string;
/** Returns the file name in an address. @param {string} address */
export function fileNameOf(address: string): string;
/**
 * Returns the files at these addresses, under distinct names.
 * @param {string[]} addresses
 * @returns {Map<string, string>}
 */
export function entryFiles(addresses: string[]): Map<string, string>;
/**
 * Builds a model from files that were picked or dropped: a pair of .gguf files, or a folder of shards or of a
 * checkpoint.
 * @param {{ path: string, file: File }[]} list
 * @returns {ModelRef}
 */
export function modelFromFiles(list: {
    path: string;
    file: File;
}[]): ModelRef;
/** Name of a piece of a split GGUF: stem, number, count. */
export const SPLIT_GGUF: RegExp;
/** Folder, in file names, of the second directory that an original LLaVA checkpoint needs. */
export const VISION_TOWER_FOLDER: "vision_tower/";
export type ModelRef = import("./protocol.js").ModelRef;
