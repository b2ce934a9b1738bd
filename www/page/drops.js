// Whatever is dropped or pasted on the page: a picture, or the files of a model.

import { looksLikeModel } from "../shared/address.js";
import { byId } from "./dom.js";

/** @typedef {{ path: string, file: File }} Found */

/** A folder with more files than this is not a model's. */
const MOST_FILES = 2000;

/**
 * Every file under an entry of a drop, with its path.
 * @param {FileSystemEntry | null} entry @param {Found[]} found
 */
async function collect(entry, found) {
  if (!entry || found.length > MOST_FILES) return;
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    // A folder is listed in batches, the last of which is empty.
    /** @type {FileSystemEntry[]} */
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const inner of batch) await collect(inner, found);
  }
}

/** @param {DataTransfer | null} data @returns {Promise<Found[]>} */
async function filesOf(data) {
  // The list of items is gone once this function waits for anything.
  const items = [...(data?.items ?? [])].filter((item) => item.kind === "file");
  const parts = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  /** @type {Found[]} */
  const found = [];
  for (const { entry, file } of parts) {
    if (entry?.isDirectory) await collect(entry, found);
    else if (file) found.push({ path: file.name, file });
  }
  return found;
}

/**
 * @param {(file: Blob, name: string) => void} onPicture
 * @param {(files: Found[]) => void} onModel
 */
export function acceptDrops(onPicture, onModel) {
  const veil = byId("drop-veil", HTMLElement);
  let depth = 0;

  /** @param {Event} event @param {DataTransfer | null} data */
  const accept = async (event, data) => {
    if (!data?.types.includes("Files")) return;
    event.preventDefault();
    const files = await filesOf(data);
    const picture = files.find(({ file }) => file.type.startsWith("image/"));
    if (looksLikeModel(files)) return onModel(files);
    const file = picture?.file ?? files[0]?.file;
    if (file) onPicture(file, file.name);
  };
  /** @param {DragEvent} event */
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  window.addEventListener("dragenter", (event) => {
    if (!carriesFile(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (carriesFile(event)) depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  // Without this the browser leaves the page for the dropped file.
  window.addEventListener("dragover", (event) => {
    if (carriesFile(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    accept(event, event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    // Word processors put text and a picture of it on the clipboard: into a text field goes the text.
    const types = event.clipboardData?.types ?? [];
    const field = event.target instanceof Element && event.target.closest("textarea, input, [contenteditable]");
    if (field && types.some((type) => type === "text/plain" || type === "text/html" || type === "text/rtf")) return;
    accept(event, event.clipboardData);
  });
}
