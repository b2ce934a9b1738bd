// Writes files of the origin's private file system (OPFS), in every form that browsers have for it.

/** @typedef {(...to: [string] | [FileSystemDirectoryHandle, string]) => Promise<void>} Move */
/** @typedef {FileSystemFileHandle & { move?: Move }} Handle */

/** Throws where a write was incomplete. @param {number} written @param {number} bytes */
function checkWritten(written, bytes) {
  if (written !== bytes) throw new DOMException(`only ${written} of ${bytes} bytes could be written`, "QuotaExceededError");
}

/**
 * Replaces the content of a file. The methods of a synchronous handle are asynchronous before Chrome 108 and Safari
 * 16.4. Some versions of Safari have such a handle and no stream; old versions of Firefox have neither.
 * @param {FileSystemFileHandle} handle @param {Uint8Array} bytes
 */
export async function writeContent(handle, bytes) {
  const source = /** @type {Uint8Array<ArrayBuffer>} */ (bytes);
  if (!/** @type {{ createSyncAccessHandle?: unknown }} */ (handle).createSyncAccessHandle) {
    const stream = await handle.createWritable();
    await stream.write(source);
    return stream.close();
  }
  const access = await handle.createSyncAccessHandle();
  try {
    await access.truncate(0);
    checkWritten(await access.write(source, { at: 0 }), bytes.length);
    await access.flush();
  } finally {
    await access.close();
  }
}

/**
 * Gives a complete file its name: `move` takes one argument in Chrome and Firefox and needs two in Safari. Where
 * neither works the file is written again under its name; that write is not atomic, and readers verify the hash.
 * @param {Handle} handle @param {FileSystemDirectoryHandle} folder @param {string} name @param {Uint8Array} bytes
 * @returns {Promise<boolean>} whether the file was renamed; otherwise the caller removes it
 */
export async function nameFile(handle, folder, name, bytes) {
  for (const move of [() => handle.move?.(name), () => handle.move?.(folder, name)]) {
    try {
      if (!handle.move) break;
      await move();
      return true;
    } catch (thrown) {
      const kind = thrown instanceof DOMException ? thrown.name : "";
      // Another tab reads a file of that name: it is the same part, byte for byte.
      if (kind === "NoModificationAllowedError") return false;
      if (kind === "QuotaExceededError") throw thrown;
    }
  }
  await writeContent(await folder.getFileHandle(name, { create: true }), bytes);
  return false;
}
