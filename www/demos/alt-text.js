// Writes alt text for the pictures of a folder. Texts are kept in this browser, so that no picture is described twice.

import { LLaVA } from "../llava/index.js";

/** Elements of the page, by id. @type {Record<string, any>} */
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
/** @type {Map<string, { file: File, cell: HTMLElement }>} */ const pictures = new Map();
/** @type {import("../llava/index.js").Model | null} */ let model = null;
let run = new AbortController();

/** Returns a key of all that a text depends on. @param {string} path @param {File} file */
const keyOf = (path, { size, lastModified }) => `alt-text ${JSON.stringify([page.model.value, page.question.value, path, size, lastModified])}`;
const texts = () => [...pictures].flatMap(([path, { cell }]) => (cell.textContent ? [[path, cell.textContent]] : []));
const csv = () => [["file", "alt text"], ...texts()].map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(",")).join("\r\n");
const say = (/** @type {string} */ text) => (page.status.textContent = text);
function showKept() {
  for (const [path, { file, cell }] of pictures) cell.textContent = localStorage.getItem(keyOf(path, file));
  Object.assign(page.progress, { max: pictures.size || 1, value: texts().length });
  say(`${texts().length} of ${pictures.size} pictures are described.`);
}

/** Adds pictures. @param {any} entries files, or handles of files and folders @param {string} folder */
async function add(entries, folder = "") {
  for await (let entry of entries) {
    if (entry.kind === "directory") await add(entry.values(), `${folder}${entry.name}/`);
    if (entry.kind === "file") entry = await entry.getFile();
    const path = folder + (entry.webkitRelativePath || entry.name);
    if (!entry.type?.startsWith("image/") || pictures.has(path)) continue;
    const row = page.pictures.appendChild(page.row.content.firstElementChild.cloneNode(true));
    row.querySelector("img").src = URL.createObjectURL(entry);
    row.cells[1].textContent = path;
    pictures.set(path, { file: entry, cell: row.cells[2] });
  }
  showKept();
}

page.start.onclick = async () => {
  run.abort();
  const { signal } = (run = new AbortController());
  const onProgress = (/** @type {any} */ event) => event.type === "fetch" && say(`Loading: ${Math.floor((100 * event.done) / event.total)} %`);
  model ??= await LLaVA.load(page.model.value, { signal, onProgress });
  dispatchEvent(new CustomEvent("model", { detail: model }));
  for (const [path, { file, cell }] of [...pictures].filter(([, { cell }]) => !cell.textContent)) {
    const key = keyOf(path, file);
    const content = /** @type {const} */ ([{ type: "image", image: file }, { type: "text", text: page.question.value }]);
    const asked = model.chat.completions.create({ messages: [{ role: "user", content }], max_tokens: 96, signal });
    const answer = await asked.catch((error) => (error.kind === "image" ? void (cell.dataset.error = error.message) : Promise.reject(error)));
    if (answer) localStorage.setItem(key, answer.choices[0]?.message.content.trim() ?? "");
    showKept();
  }
};
page.stop.onclick = () => run.abort();
page.open.onclick = async (/** @type {any} */ { view }) => (view.showDirectoryPicker ? add([await view.showDirectoryPicker()]) : page.files.click());
page.files.onchange = () => add([...page.files.files]);
page.question.onchange = showKept;
page.model.onchange = () => (run.abort(), model?.close(), (model = null), showKept());
page.copy.onclick = () => navigator.clipboard.writeText(csv());
page.save.onclick = () => (page.save.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" })));
page.pictures.onclick = (/** @type {any} */ { target }) => target.matches("button") && navigator.clipboard.writeText(target.closest("tr").cells[2].textContent);
