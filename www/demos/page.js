// What the demos have in common besides the package: the list of models, pictures that are dropped or given as examples,
// the messages of errors, and the cache for offline use. The demos themselves import the package only.

import { LLaVA } from "../llava/index.js";
import { keepOffline, version } from "../page/offline-cache.js";

/** @typedef {import("../llava/index.js").Model} Model */

/** Time after which the request of a picture is abandoned, ms. */
const FETCH_TIMEOUT = 10_000;
/** Documents of the demos. */
const documents = [...document.querySelectorAll("nav a")].flatMap((link) => {
  return link instanceof HTMLAnchorElement && link.pathname.includes("/demos/") ? [link.href] : [];
});
/** Their files, some of which this document does not load. */
const files = [
  ...["alt-text.js", "receipt.js", "camera.js", "openai-client.js", "vendor/openai.js"],
  ...["shapes", "by-hand", "word", "outlines"].map((name) => `../examples/${name}.png`),
];
const status = document.getElementById("status");
const choice = document.querySelector("select#model");
const field = /** @type {HTMLInputElement | null} */ (document.querySelector("input#files"));

/** Gives files to the field of pictures, as if they had been chosen. @param {Iterable<File>} files */
function give(files) {
  if (!field) return;
  const data = new DataTransfer();
  for (const file of files) data.items.add(file);
  field.files = data.files;
  field.dispatchEvent(new Event("change"));
}

/** Fetches an example picture, in two attempts: browsers have let a request wait for a minute and then fail.
 * @param {string} name @returns {Promise<File>} */
async function fetchExample(name, attempts = 2) {
  try {
    const response = await fetch(new URL(`../examples/${name}`, import.meta.url), { signal: AbortSignal.timeout(FETCH_TIMEOUT) });
    if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
    return new File([await response.blob()], name, { type: "image/png", lastModified: 0 });
  } catch (thrown) {
    if (attempts === 1) throw thrown;
    return fetchExample(name, attempts - 1);
  }
}

/** Gives example pictures. @param {string} names separated by spaces */
const giveExamples = async (names) => give(await Promise.all(names.split(" ").map((name) => fetchExample(name))));

/** Adds the models of the catalogue that suit this machine. */
async function listModels() {
  if (!(choice instanceof HTMLSelectElement)) return;
  for (const { model, bytes } of await LLaVA.suitable()) {
    choice.add(new Option(`${model.name} (${Math.round(bytes / 1e6)} MB). ${model.sentence}`, model.id));
  }
}

/** Caches what the demo has used, and the other demos. Without versions in the addresses, files of two builds could
 * mix. @param {Model} model */
async function keepDemos(model) {
  if (!version) return;
  const own = files.map((name) => new URL(name, import.meta.url).href);
  const note = document.getElementById("offline");
  const kept = await keepOffline([...documents, ...own, ...(await model.files())], "../");
  if (kept && note) note.textContent = "This works offline from now on.";
}

addEventListener("unhandledrejection", (event) => {
  const { name, kind, where, message = String(event.reason), hint = "" } = event.reason ?? {};
  event.preventDefault();
  // The person closed a dialog, or stopped what was running.
  if (name === "AbortError" || !status) return;
  status.textContent = kind === "cancelled" ? "Stopped." : `${where ? `${where}: ` : ""}${message} ${hint}`.trim();
});
addEventListener("model", (event) => event instanceof CustomEvent && void keepDemos(event.detail));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  give(event.dataTransfer?.files ?? []);
});
for (const button of document.querySelectorAll("button")) {
  const { examples } = button.dataset;
  if (examples) button.addEventListener("click", () => giveExamples(examples));
}
if (field?.dataset.example) giveExamples(field.dataset.example);
listModels();
