/**
 * Reads a name. A page of one file of the hub gives that file's address, unless the file is a .gguf, whose partner has to
 * be found in the repository's listing.
 * @param {string} text @param {string} base address that others are relative to
 * @returns {ModelName}
 */
export function parseName(text: string, base: string): ModelName;
export const HUB_ORIGIN: "https://huggingface.co";
export function fileOnHub({ id, revision }: {
    id: string;
    revision: string;
}, path: string): string;
/**
 * A repository of the hub, or a part of it. `quant` is the wanted type of the weights, empty where the name has none;
 * `file` is the wanted .gguf, empty for any.
 */
export type Repository = {
    id: string;
    revision: string;
    folder: string;
    quant: string;
    file: string;
};
/**
 * `address` is that of a file; `repository` has to be listed first.
 */
export type ModelName = {
    address: string;
} | {
    repository: Repository;
};
