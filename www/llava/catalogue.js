// The catalogue of known models (models/catalogue.json; src/docs/sources.md has its fields).

import { HUB_ORIGIN, fileOnHub } from "../shared/hub-name.js";
import { baseOf } from "./engine-options.js";

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
export function catalogueAddress(options) {
  const base = baseOf(options);
  return (base ? new URL("models/catalogue.json", base) : new URL("../models/catalogue.json", import.meta.url)).href;
}
/** Revision of the repositories that is opened. */
const REVISION = "main";

/** By address. @type {Map<string, Promise<CatalogueModel[]>>} */
const catalogues = new Map();

/** Returns the models of the catalogue; none where it cannot be read.
 * @param {EngineOptions} options @returns {Promise<CatalogueModel[]>} */
export function loadCatalogue(options) {
  const address = catalogueAddress(options);
  const known = catalogues.get(address);
  if (known) return known;
  const asked = fetch(address)
    .then(async (response) => (response.ok ? (await response.json()).models : []))
    .catch((thrown) => (console.info("No catalogue:", thrown), []));
  catalogues.set(address, asked);
  return asked;
}

/** Returns the bytes to download. @param {CatalogueVariant} variant */
export const bytesOf = ({ files }) => files.reduce((sum, { bytes }) => sum + bytes, 0);

/** Returns the addresses of a variant's files; `null` where their names are not known.
 * @param {CatalogueVariant} variant @returns {string[] | null} */
export function addressesOf({ repository, files }) {
  if (!repository) return null;
  const paths = files.flatMap(({ path }) => path ?? []);
  return paths.length === files.length ? paths.map((path) => fileOnHub({ id: repository, revision: REVISION }, path)) : null;
}

/** Adds what the catalogue knows of a model of the hub, and what its addresses do not say: the template of its prompts,
 * what is known to go wrong, its variants. Returns every other model as it is.
 * @param {ModelRef} model @param {EngineOptions} options @returns {Promise<ModelRef>} */
export async function withCatalogue(model, options) {
  if (!("addresses" in model) || !model.addresses[0]?.startsWith(`${HUB_ORIGIN}/`)) return model;
  const same = (/** @type {CatalogueVariant} */ variant) => addressesOf(variant)?.join("\n") === model.addresses.join("\n");
  const entry = (await loadCatalogue(options)).find(({ variants }) => variants.some(same));
  if (!entry) return model;
  const variants = entry.variants.flatMap((variant) => {
    const addresses = addressesOf(variant);
    return addresses ? [{ name: variant.name, addresses, bytes: bytesOf(variant) }] : [];
  });
  return { ...model, variants: model.variants?.length ? model.variants : variants, ...(entry.template && { prompt_template: entry.template }), ...(entry.traps && { traps: entry.traps }) };
}
