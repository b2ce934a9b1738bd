// Chooses the type of a float checkpoint's weights: the person's choice for this model, in the address or on an earlier
// visit, or else the widest type that fits this machine comfortably.

import { LocalStore } from "./local-store.js";
import { CPU_MEMORY_LIMIT, estimateSpeed } from "./speed-estimate.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Quant} Quant */
/** @typedef {import("./engine-link.js").EngineLink} EngineLink */
/** @typedef {import("./types.js").Weights} Weights */

/** Query parameter with the choice for this visit. */
const PARAMETER = "quant";
/** Bytes up to which a model fits wherever the page runs. */
const SMALL_MODEL = 100e6;
/** Tokens per second below which a smaller type is proposed. */
const COMFORTABLE_SPEED = 2;

/** Choices by the model's key in the cache. @type {LocalStore<string>} */
const chosen = new LocalStore("weights");

/** Returns the name of a type in the address. @param {Quant | undefined} quant */
const nameOfQuant = (quant) => quant ?? "exact";

/** Returns the person's choice, if there is one. @param {Plan} plan @param {string} key */
function chosenQuant({ choices = [] }, key) {
  const name = new URLSearchParams(location.search).get(PARAMETER) ?? chosen.get(key);
  return choices.find(({ quant }) => nameOfQuant(quant) === name);
}

/** Stores the person's choice for a model, and corrects an address that says otherwise.
 * @param {string} key @param {Quant | undefined} quant */
export function rememberWeights(key, quant) {
  chosen.set(key, nameOfQuant(quant));
  const address = new URL(location.href);
  if (!address.searchParams.has(PARAMETER)) return;
  address.searchParams.set(PARAMETER, nameOfQuant(quant));
  history.replaceState(null, "", address);
}

/** Returns the opened model with another type for its weights.
 * @param {EngineLink} link @param {Opened} opened @param {Quant | undefined} quant @returns {Promise<Opened>} */
export async function withQuant(link, opened, quant = null) {
  if (!opened.plan.choices?.length || (opened.plan.quant ?? null) === quant) return opened;
  return { ...opened, plan: await link.call("choose", { quant }) };
}

/**
 * Chooses the type for a model that has just been opened.
 * @param {EngineLink} link @param {Opened} opened
 * @returns {Promise<{ opened: Opened, weights: Weights }>}
 */
export async function chooseWeights(link, opened) {
  const { plan, report, storage } = opened;
  const { choices = [] } = plan;
  if (!choices.length) return { opened, weights: { chosen: false, proposed: undefined, why: "" } };
  const wanted = chosenQuant(plan, storage.key);
  if (wanted) return { opened: await withQuant(link, opened, wanted.quant), weights: { chosen: true, proposed: undefined, why: "as you chose" } };
  let current = opened;
  for (const { quant, memory } of choices) {
    current = await withQuant(link, current, quant);
    const fits = plan.total_bytes <= SMALL_MODEL || (!(report.backend === "cpu" && memory > CPU_MEMORY_LIMIT) && (await isComfortable(link)));
    const why = quant ? "the widest type that fits this machine comfortably" : "they fit this machine comfortably as they are";
    if (fits) return { opened: current, weights: { chosen: false, proposed: quant, why } };
  }
  return { opened: current, weights: { chosen: false, proposed: current.plan.quant, why: "the smallest: nothing wider fits this machine comfortably" } };
}

/** @param {EngineLink} link */
async function isComfortable(link) {
  const probe = await estimateSpeed(link);
  return Boolean(probe?.fits && probe.decode_tokens_per_second >= COMFORTABLE_SPEED);
}
