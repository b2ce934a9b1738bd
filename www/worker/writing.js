// How a file of the origin's private file system (OPFS) is written, in every form that browsers have for it.

/** @typedef {FileSystemFileHandle & { move?: (...to: [string] | [FileSystemDirectoryHandle, string]) => Promise<void> }} Handle */

/** @param {number} written @param {number} bytes */
function whole(written, bytes) {
  if (written !== bytes) throw new DOMException(`only ${written} of ${bytes} bytes could be written`, "QuotaExceededError");
}

/**
 * Makes these bytes the content of a file. The methods of a synchronous handle are asynchronous before Chrome 108 and
 * Safari 16.4; some versions of Safari have such a handle and no stream, old ones of Firefox neither.
 * @param {FileSystemFileHandle} handle @param {Uint8Array} bytes
 */
export async function writeDraft(handle, bytes) {
  const source = /** @type {Uint8Array<ArrayBuffer>} */ (bytes);
  if (!/** @type {{ createSyncAccessHandle?: unknown }} */ (handle).createSyncAccessHandle) {
    const stream = await handle.createWritable();
    await stream.write(source);
    return stream.close();
  }
  const access = await handle.createSyncAccessHandle();
  try {
    await access.truncate(0);
    whole(await access.write(source, { at: 0 }), bytes.length);
    await access.flush();
  } finally {
    await access.close();
  }
}

/**
 * Gives a finished file its name: `move` takes one argument in Chrome and Firefox and needs two in Safari. Where neither works
 * the file is written again under its name, which is not all or nothing: what is read back is checked against its hash.
 * @param {Handle} handle @param {FileSystemDirectoryHandle} folder @param {string} name @param {Uint8Array} bytes
 * @returns {Promise<boolean>} whether the file itself has the name now; otherwise it is to be removed
 */
export async function finish(handle, folder, name, bytes) {
  for (const move of [() => handle.move?.(name), () => handle.move?.(folder, name)]) {
    try {
      if (!handle.move) break;
      await move();
      return true;
    } catch (thrown) {
      const kind = thrown instanceof DOMException ? thrown.name : "";
      // Another tab reads a file of that name: for a part that means it is there already, the same to the byte.
      if (kind === "NoModificationAllowedError") return false;
      if (kind === "QuotaExceededError") throw thrown;
    }
  }
  await writeDraft(await folder.getFileHandle(name, { create: true }), bytes);
  return false;
}
