/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */
/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */
/**
 * A model of models/catalogue.json; src/docs/sources.md describes the fields.
 * @typedef {object} CatalogueModel
 * @property {string} id
 * @property {string} name
 * @property {string} sentence
 * @property {boolean} offered  whether the first screen may offer it
 * @property {"photographs" | "shapes"} knows
 * @property {string} licence
 * @property {number} context  rows that `memory` is for
 * @property {number} parameters
 * @property {number} cache_per_token  bytes
 * @property {string} [page]  repository that describes it
 * @property {string} [template]  of its prompts, where the file's own is wrong or missing
 * @property {string[]} [traps]  what is known to go wrong
 * @property {CatalogueVariant[]} variants
 */
/**
 * The files of a model with one type of weights. `path` is `null` where it is not known; `bytes` of a file that is not
 * `exact` are rounded. `memory` are the bytes of weights and cache on the device.
 * @typedef {{ name: string, repository?: string, address?: string, bytes_per_token: number, memory: number,
 *   files: { path: string | null, bytes: number, exact: boolean }[] }} CatalogueVariant
 */
/** Returns the address of the catalogue, of the same version as this script. @param {EngineOptions} options */
export function catalogueAddress(options: EngineOptions): string;
/** Returns the models of the catalogue; none where it cannot be read.
 * @param {EngineOptions} options @returns {Promise<CatalogueModel[]>} */
export function loadCatalogue(options: EngineOptions): Promise<CatalogueModel[]>;
/** Returns the addresses of a variant's files; `null` where their names are not known.
 * @param {CatalogueVariant} variant @returns {string[] | null} */
export function addressesOf({ repository, files }: CatalogueVariant): string[] | null;
/** Adds what the catalogue knows of a model of the hub, and what its addresses do not say: the template of its prompts,
 * what is known to go wrong, its variants. Returns every other model as it is.
 * @param {ModelRef} model @param {EngineOptions} options @returns {Promise<ModelRef>} */
export function withCatalogue(model: ModelRef, options: EngineOptions): Promise<ModelRef>;
export function bytesOf({ files }: CatalogueVariant): number;
export type ModelRef = import("../shared/protocol.js").ModelRef;
export type EngineOptions = import("./engine-options.js").EngineOptions;
/**
 * A model of models/catalogue.json; src/docs/sources.md describes the fields.
 */
export type CatalogueModel = {
    id: string;
    name: string;
    sentence: string;
    /**
     * whether the first screen may offer it
     */
    offered: boolean;
    knows: "photographs" | "shapes";
    licence: string;
    /**
     * rows that `memory` is for
     */
    context: number;
    parameters: number;
    /**
     * bytes
     */
    cache_per_token: number;
    /**
     * repository that describes it
     */
    page?: string | undefined;
    /**
     * of its prompts, where the file's own is wrong or missing
     */
    template?: string | undefined;
    /**
     * what is known to go wrong
     */
    traps?: string[] | undefined;
    variants: CatalogueVariant[];
};
/**
 * The files of a model with one type of weights. `path` is `null` where it is not known; `bytes` of a file that is not
 * `exact` are rounded. `memory` are the bytes of weights and cache on the device.
 */
export type CatalogueVariant = {
    name: string;
    repository?: string;
    address?: string;
    bytes_per_token: number;
    memory: number;
    files: {
        path: string | null;
        bytes: number;
        exact: boolean;
    }[];
};
