// What a person has chosen for a model before it was loaded: the type of its weights and the size of pictures, now in the
// address or on an earlier visit.

import { LocalStore } from "../shared/local-store.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Quant} Quant */

/** Query parameter with the type of the weights for this visit. */
const PARAMETER = "quant";

/** Types of weights by the model's key in the cache. @type {LocalStore<string>} */
const weights = new LocalStore("weights");
/** Longest sides of pictures by the model's key in the cache. @type {LocalStore<number>} */
const sizes = new LocalStore("picture sizes");

/** Returns the name of a type, in the address and for the package. @param {Quant | undefined} quant */
export const nameOfQuant = (quant) => quant ?? "exact";

/** Returns the person's choices for an opened model. @param {Opened} opened */
export function rememberedChoices({ storage: { key } }) {
  const quant = new URLSearchParams(location.search).get(PARAMETER) ?? weights.get(key);
  return { quant: /** @type {ReturnType<typeof nameOfQuant> | undefined} */ (quant), longest_edge: sizes.get(key) };
}

/** Stores the person's choice for a model, and corrects an address that says otherwise.
 * @param {string} key @param {Quant | undefined} quant */
export function rememberWeights(key, quant) {
  weights.set(key, nameOfQuant(quant));
  const address = new URL(location.href);
  if (!address.searchParams.has(PARAMETER)) return;
  address.searchParams.set(PARAMETER, nameOfQuant(quant));
  history.replaceState(null, "", address);
}

/** Stores the person's choice for a model. @param {string} key @param {number | undefined} edge */
export function rememberSize(key, edge) {
  if (edge) sizes.set(key, edge);
}
