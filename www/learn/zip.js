// A ZIP archive without compression: weights do not become shorter.

/** @typedef {import("./protocol.js").ModelFile} ModelFile */

/** Checksums of the bytes 0 to 255. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum;
});

/** Returns the CRC-32 of bytes. @param {Uint8Array} bytes */
export function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (sum >>> 8) ^ (TABLE[(sum ^ byte) & 255] ?? 0);
  return (sum ^ 0xffffffff) >>> 0;
}

/** Returns fields one after the other, little-endian. @param {[number, 2 | 4][]} fields value and bytes */
function record(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [value, bytes] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return view.buffer;
}

/** Packs files. @param {ModelFile[]} files @returns {Blob} */
export function zip(files) {
  /** @type {BlobPart[]} */ const body = [];
  /** @type {BlobPart[]} */ const directory = [];
  let at = 0;
  let directoryBytes = 0;
  for (const { name, bytes } of files) {
    const path = /** @type {Uint8Array<ArrayBuffer>} */ (new TextEncoder().encode(name));
    // Version 2.0, names in UTF-8, stored; midnight of 1 January 1980.
    /** @type {[number, 2 | 4][]} */
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [path.length, 2], [0, 2]];
    body.push(record([[0x04034b50, 4], ...common]), path, bytes);
    directory.push(record([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]]), path);
    at += 30 + path.length + bytes.length;
    directoryBytes += 46 + path.length;
  }
  const end = record([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [directoryBytes, 4], [at, 4], [0, 2]]);
  return new Blob([...body, ...directory, end], { type: "application/zip" });
}
