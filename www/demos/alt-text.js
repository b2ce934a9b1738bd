// Writes alt text for the pictures of a folder. What is written is kept in this browser, and not written again.

import { LLaVA } from "../llava/index.js";

/** @typedef {{ path: string, file: File, cell: HTMLElement, text: string }} Picture */

/** Returns an element of the page. @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} id */
const at = (tag, id) => /** @type {HTMLElementTagNameMap[T]} */ (document.querySelector(`${tag}#${id}`));
const [settings, choice, question, status] = [at("fieldset", "settings"), at("select", "model"), at("input", "question"), at("p", "status")];
/** By their paths. @type {Map<string, Picture>} */
const pictures = new Map();
/** @type {import("../llava/index.js").Model | null} */
let model = null;
let stop = new AbortController();

/** Names a text by its model, its question, and its picture's path, size and date. @param {Picture} picture */
const keyOf = ({ path, file }) => `alt-text ${JSON.stringify([choice.value, question.value, path, file.size, file.lastModified])}`;
/** Returns the pictures that have a text. */
const described = () => [...pictures.values()].filter(({ text }) => text);
/** Returns the table of RFC 4180. */
const csv = () => [["file", "alt text"], ...described().map(({ path, text }) => [path, text])].map((row) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",")).join("\r\n");

/** Shows the texts that are kept. */
function show() {
  for (const picture of pictures.values()) picture.cell.textContent = picture.text = localStorage.getItem(keyOf(picture)) ?? "";
  progress();
}
