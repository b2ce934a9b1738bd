// Encodes pixels as PNG (RFC 2083). A canvas would do, but it loses the colours of transparent pixels, and browsers
// that guard against fingerprints change what it gives.

/** CRC-32 of each byte value (RFC 2083, 15). */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte >>> 0;
});
const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Depth of 8 bits; colour with alpha; deflate; adaptive filters; not interlaced. */
const FORMAT = [8, 6, 0, 0, 0];
/** Filter of each row: the difference to the row above. */
const UP = 2;

/** @param {ImageData} pixels RGBA, 8 bits each @returns {Promise<Blob>} */
export async function encodePng({ width, height, data }) {
  const stride = width * 4;
  const rows = new Uint8Array(height * (stride + 1));
  for (let y = 0; y < height; y++) {
    const at = y * (stride + 1);
    rows[at] = UP;
    for (let x = 0; x < stride; x++) rows[at + 1 + x] = (data[y * stride + x] ?? 0) - (y ? (data[(y - 1) * stride + x] ?? 0) : 0);
  }
  const compressed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set(FORMAT, 8);
  const idat = new Uint8Array(await new Response(compressed).arrayBuffer());
  return new Blob([SIGNATURE, chunk("IHDR", header), chunk("IDAT", idat), chunk("IEND", new Uint8Array(0))], { type: "image/png" });
}

/** Returns a chunk: length, type, data, CRC of type and data. @param {string} type @param {Uint8Array} data */
function chunk(type, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  let crc = 0xffffffff;
  for (const byte of bytes.subarray(4, data.length + 8)) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  view.setUint32(data.length + 8, (crc ^ 0xffffffff) >>> 0);
  return bytes;
}
