// Collects files that are dropped: single ones, and all that are below folders.

/** @typedef {{ path: string, file: File }} DroppedFile */

/**
 * Collects the files under an entry of a drop, with their paths, until there are more than `most`.
 * @param {FileSystemEntry | null} entry @param {DroppedFile[]} found @param {number} most
 */
async function collect(entry, found, most) {
  if (!entry || found.length > most) return;
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    // A folder is listed in batches; the last batch is empty.
    /** @type {FileSystemEntry[]} */
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const inner of batch) await collect(inner, found, most);
  }
}

/** Returns the dropped files; of a folder with more than `most` some.
 * @param {DataTransfer | null} data @param {number} most @returns {Promise<DroppedFile[]>} */
export async function filesOf(data, most) {
  // The browser clears the list of items when this function first awaits.
  const items = [...(data?.items ?? [])].filter((item) => item.kind === "file");
  const parts = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  /** @type {DroppedFile[]} */
  const found = [];
  for (const { entry, file } of parts) {
    if (entry?.isDirectory) await collect(entry, found, most);
    else if (file) found.push({ path: file.name, file });
  }
  return found;
}
