// Chooses models of the catalogue that suit a machine: two or three of those that fit, from the smallest to the best.

import { LONG_DOWNLOAD } from "../shared/hub-files.js";
import { addressesOf, bytesOf } from "./catalogue.js";
import { CPU_MEMORY_LIMIT } from "./speed-estimate.js";

/** @typedef {import("./machine.js").Machine} Machine */
/** @typedef {import("./speed-here.js").Speeds} Speeds */
/** @typedef {import("./catalogue.js").CatalogueModel} CatalogueModel */
/** @typedef {import("./catalogue.js").CatalogueVariant} CatalogueVariant */
/** `bytes`: to download. `rate`: tokens per second, 0 where it was not measured. `clear`: whether there is no doubt
 * that it fits. `addresses`: of its files, which open it.
 * @typedef {{ model: CatalogueModel, variant: CatalogueVariant, addresses: string[], bytes: number, rate: number,
 *   clear: boolean }} Suitable */

/** Number of models that are offered. */
const MOST = 3;
/** Tokens per second below which a model is not offered. */
export const TOO_SLOW = 1;
/** Share of the memory below which there is no doubt that a model fits. */
const CLEAR_SHARE = 0.5;

/** Returns the tokens per second of a model on the faster backend; 0 where nothing was measured.
 * @param {CatalogueVariant} variant @param {Speeds} speeds */
export function tokensPerSecond({ name, bytes_per_token, memory }, { webgpu, cpu }) {
  const type = /^(Q4|INT4|F32)/.test(name) ? "q4" : "q8";
  const rates = [webgpu?.[type] ?? 0, (memory <= CPU_MEMORY_LIMIT && cpu?.[type]) || 0];
  return Math.max(...rates) / bytes_per_token;
}

/** Returns a model's best variant for a machine: the largest that fits and is no long download, or the smallest that
 * fits. @param {Pick<CatalogueModel, "variants">} model @param {Pick<Machine, "memory" | "room">} machine */
export function variantFor({ variants }, { memory, room }) {
  const fitting = variants.filter((variant) => variant.memory <= memory && bytesOf(variant) <= (room ?? Infinity)).sort((a, b) => bytesOf(a) - bytesOf(b));
  return fitting.filter((variant) => bytesOf(variant) <= LONG_DOWNLOAD).at(-1) ?? fitting[0];
}

/** Returns the offers for a machine, the smallest first. The smallest model is offered even where it is slow.
 * @param {CatalogueModel[]} models @param {Machine} machine @param {Speeds} speeds @returns {Suitable[]} */
export function suitableModels(models, machine, speeds) {
  const photographs = models.filter(({ knows, offered }) => offered && knows === "photographs");
  const fitting = photographs.flatMap((model) => {
    const variant = variantFor(model, machine);
    if (!variant) return [];
    const bytes = bytesOf(variant);
    const clear = variant.memory <= machine.memory * CLEAR_SHARE && machine.room !== null && bytes <= machine.room;
    return [{ model, variant, addresses: addressesOf(variant) ?? [], bytes, rate: tokensPerSecond(variant, speeds), clear }];
  });
  fitting.sort((a, b) => a.bytes - b.bytes);
  const usable = fitting.filter(({ rate }, i) => i === 0 || rate === 0 || rate >= TOO_SLOW);
  if (usable.length <= MOST) return usable;
  // The largest of a list is the best of it; between it and the smallest, the next larger ones.
  return [...usable.slice(0, MOST - 1), ...usable.slice(-1)];
}
