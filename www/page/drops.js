// Accepts files that are dropped or pasted on the page: a picture, or the files of a model.

import { looksLikeModel } from "./deep-link.js";
import { byId } from "./dom.js";
import { filesOf } from "./dropped-files.js";

/** @typedef {import("./dropped-files.js").DroppedFile} DroppedFile */

/** Number of files above which a folder is not read: no model has as many. */
const MAX_FILES = 2000;

/**
 * @param {(file: Blob, name: string) => void} onPicture
 * @param {(files: DroppedFile[]) => void} onModel
 */
export function acceptDrops(onPicture, onModel) {
  const overlay = byId("drop-overlay", HTMLElement);
  let depth = 0;

  /** @param {Event} event @param {DataTransfer | null} data */
  const accept = async (event, data) => {
    if (!data?.types.includes("Files")) return;
    event.preventDefault();
    const files = await filesOf(data, MAX_FILES);
    if (looksLikeModel(files)) return onModel(files);
    const pictures = files.filter(({ file }) => file.type.startsWith("image/"));
    // A single file may be a picture whose type the browser does not know.
    for (const { file } of pictures.length ? pictures : files.slice(0, 1)) onPicture(file, file.name);
  };
  /** @param {DragEvent} event */
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  window.addEventListener("dragenter", (event) => {
    if (!carriesFile(event)) return;
    depth += 1;
    overlay.hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (carriesFile(event)) depth = Math.max(0, depth - 1);
    overlay.hidden = depth === 0;
  });
  // Without this the browser would navigate to the dropped file.
  window.addEventListener("dragover", (event) => {
    if (carriesFile(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    depth = 0;
    overlay.hidden = true;
    accept(event, event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    // Word processors put text and a picture of it on the clipboard: a text field takes the text.
    const types = event.clipboardData?.types ?? [];
    const field = event.target instanceof Element && event.target.closest("textarea, input, [contenteditable]");
    if (field && types.some((type) => type === "text/plain" || type === "text/html" || type === "text/rtf")) return;
    accept(event, event.clipboardData);
  });
}
