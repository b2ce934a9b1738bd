// Chooses the type of a float checkpoint's weights: the wanted one, or else the widest type that fits this machine
// comfortably.

import { CPU_MEMORY_LIMIT, estimateSpeed } from "./speed-estimate.js";

/** @typedef {import("../shared/protocol.js").Opened} Opened */
/** @typedef {import("../shared/protocol.js").Plan} Plan */
/** @typedef {import("../shared/protocol.js").Quant} Quant */
/** @typedef {import("./engine-link.js").EngineLink} EngineLink */
/** Name of a type of weights; "exact" keeps their own. @typedef {"exact" | "q8" | "q4"} QuantName */
/** The type of a float checkpoint's weights: whether it was wanted, the proposed type, and the reason.
 * @typedef {{ chosen: boolean, proposed: Quant | undefined, why: string }} Weights */

/** Bytes up to which a model fits wherever the page runs. */
const SMALL_MODEL = 100e6;
/** Tokens per second below which a smaller type is proposed. */
const COMFORTABLE_SPEED = 2;

/** Returns the name of a type, as `LLaVA.load` takes it. @param {Quant | undefined} quant @returns {QuantName} */
export const nameOfQuant = (quant) => quant ?? "exact";

/** Returns the opened model with another type for its weights.
 * @param {EngineLink} link @param {Opened} opened @param {Quant | undefined} quant @returns {Promise<Opened>} */
export async function withQuant(link, opened, quant = null) {
  if (!opened.plan.choices?.length || (opened.plan.quant ?? null) === quant) return opened;
  return { ...opened, plan: await link.call("choose", { quant }) };
}

/**
 * Chooses the type for a model that has just been opened.
 * @param {EngineLink} link @param {Opened} opened @param {QuantName | undefined} name of the wanted type; one that the
 *   model cannot have is passed over
 * @returns {Promise<{ opened: Opened, weights: Weights }>}
 */
export async function chooseWeights(link, opened, name) {
  const { plan, report } = opened;
  const { choices = [] } = plan;
  if (!choices.length) return { opened, weights: { chosen: false, proposed: undefined, why: "" } };
  const wanted = choices.find(({ quant }) => nameOfQuant(quant) === name);
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
