// The list of models: the shipped one, the one that the person chose last on the main page, known ones that suit this machine.

import { LLaVA } from "../llava/index.js";
import { lastChoice } from "../page/last-choice.js";

/** @typedef {import("../llava/model-ref.js").Ref} Ref */

/** Adds models to a list, and selects the one that the person chose last. @param {HTMLSelectElement} list */
export async function listModels(list) {
  const last = lastChoice();
  if (last && "addresses" in last) {
    const name = last.addresses[0]?.split("/").at(-1) ?? "";
    list.add(new Option(`${name}: chosen on the main page`, JSON.stringify(last), true, true));
  }
  for (const { model, bytes } of await LLaVA.suitable()) {
    list.add(new Option(`${model.name} (${Math.round(bytes / 1e6)} MB). ${model.sentence}`, model.id));
  }
}

/** Returns the reference of an option. @param {string} value @returns {Ref} */
export const refOf = (value) => (value.startsWith("{") ? JSON.parse(value) : value);
