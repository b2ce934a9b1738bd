// What the weights of a float checkpoint are held as: what the person chose for this model, in the address or on an earlier
// visit, else the widest type that fits this machine comfortably.

import { Kept } from "./kept.js";
import { CPU_MOST, tryOut } from "./trial.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Quant} Quant */
/** @typedef {import("./engine-link.js").EngineLink} EngineLink */
/** @typedef {import("./types.js").Weights} Weights */

/** The query parameter that decides for this visit. */
const PARAMETER = "quant";
/** A model of fewer bytes fits wherever the page runs. */
const SMALL = 100e6;
/** Tokens per second: with fewer, a type that fits is no comfortable one, and a narrower one is proposed. */
const COMFORTABLE = 2;

/** By the model's key in the store. @type {Kept<string>} */
const chosen = new Kept("weights");

/** As the address says it. @param {Quant | undefined} quant */
const nameOf = (quant) => quant ?? "exact";

/** What the person wants, if anything. @param {Plan} plan @param {string} key */
function wantedOf({ choices = [] }, key) {
  const name = new URLSearchParams(location.search).get(PARAMETER) ?? chosen.recall(key);
  return choices.find(({ quant }) => nameOf(quant) === name);
}

/** Remembers what the person chose for a model; an address that says otherwise is corrected.
 * @param {string} key @param {Quant | undefined} quant */
export function rememberWeights(key, quant) {
  chosen.remember(key, nameOf(quant));
  const address = new URL(location.href);
  if (!address.searchParams.has(PARAMETER)) return;
  address.searchParams.set(PARAMETER, nameOf(quant));
  history.replaceState(null, "", address);
}

/** The same model with another type for its weights.
 * @param {EngineLink} link @param {Opened} opened @param {Quant | undefined} quant @returns {Promise<Opened>} */
export async function holdAs(link, opened, quant = null) {
  if (!opened.plan.choices?.length || (opened.plan.quant ?? null) === quant) return opened;
  return { ...opened, plan: await link.call("choose", { quant }) };
}

/**
 * Chooses for a model that has just been opened.
 * @param {EngineLink} link @param {Opened} opened
 * @returns {Promise<{ opened: Opened, weights: Weights }>}
 */
export async function chooseWeights(link, opened) {
  const { plan, report, storage } = opened;
  const { choices = [] } = plan;
  if (!choices.length) return { opened, weights: { chosen: false, proposed: undefined, why: "" } };
  const wanted = wantedOf(plan, storage.key);
  if (wanted) return { opened: await holdAs(link, opened, wanted.quant), weights: { chosen: true, proposed: undefined, why: "as you chose" } };
  let held = opened;
  for (const { quant, memory } of choices) {
    held = await holdAs(link, held, quant);
    const fits = plan.total_bytes <= SMALL || (!(report.backend === "cpu" && memory > CPU_MOST) && (await comfortable(link)));
    const why = quant ? "the widest type that fits this machine comfortably" : "they fit this machine comfortably as they are";
    if (fits) return { opened: held, weights: { chosen: false, proposed: quant, why } };
  }
  return { opened: held, weights: { chosen: false, proposed: held.plan.quant, why: "the smallest: nothing wider fits this machine comfortably" } };
}

/** @param {EngineLink} link */
async function comfortable(link) {
  const probe = await tryOut(link);
  return Boolean(probe?.fits && probe.decode_tokens_per_second >= COMFORTABLE);
}
