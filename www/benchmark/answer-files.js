// The files of a run, as links that save them: one archive of all, and each by itself.

import { make } from "../page/dom.js";

/** @typedef {import("./formats.js").BenchmarkRun} BenchmarkRun */

/** Addresses of the offered files. @type {string[]} */
let addresses = [];

/** Returns a link that saves bytes. @param {string} name @param {Uint8Array} bytes @param {string} text */
function link(name, bytes, text) {
  const address = URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: "application/octet-stream" }));
  addresses.push(address);
  return Object.assign(make("a", { class: "button", text }), { href: address, download: name });
}

/** Deletes the offered files. @param {HTMLElement} list */
export function withdrawFiles(list) {
  list.replaceChildren();
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
}

/** Offers the files of the answers so far, under the names that the official tools take.
 * @param {HTMLElement} list @param {BenchmarkRun} run @param {string} model its name in the files @param {string} name of
 *   the archive @param {object} settings for the file of scores */
export function offerFiles(list, run, model, name, settings) {
  withdrawFiles(list);
  const about = JSON.stringify(settings);
  const all = make("li", {}, link(`${name}.zip`, run.archive(model, about), `${name}.zip`), " all of them");
  const each = run.files(model, about).map((file) => {
    const item = make("li", {}, link(file.name.split("/").at(-1) ?? file.name, file.contents, file.name), ` for ${file.purpose}`);
    file.free();
    return item;
  });
  list.append(all, ...each);
}
