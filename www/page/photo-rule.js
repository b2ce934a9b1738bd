// Decides whether a picture is plainly a photograph: by the camera's name in its file, or by its colours. Drawings have
// few colours in large areas. The limits leave a margin to both sides: this page's examples and 60 generated scenes have
// at most 59 colours, and at least 0.76 of their area in 8 of them; the eight colour photographs of the package
// scikit-image have at least 114 colours, and at most 0.66 of their area in 8 of them. Grey photographs are not told from
// drawings.

/** Side of the sample of a picture that is counted, pixels: taken without smoothing, which would mix colours. */
export const SAMPLE_SIDE = 64;
/** Colours, of 4 bits a channel, that a photograph has at least in its sample. */
const MIN_COLOURS = 90;
/** Number of the most frequent colours, and the share of the sample that they cover at most in a photograph. */
const FLAT_COLOURS = 8;
const MAX_FLAT = 0.7;
/** The same limits for a JPEG of the size of a camera's. */
const CAMERA_PIXELS = 1.5e6;
const CAMERA_MIN_COLOURS = 70;
const CAMERA_MAX_FLAT = 0.8;
/** Bytes of a file that may hold the camera's name. */
export const HEAD_BYTES = 1 << 16;
/** Tags of EXIF: maker and model of the camera. */
const CAMERA_TAGS = [0x010f, 0x0110];

/** Counts the colours of a sample, and the share of the most frequent ones. @param {Uint8ClampedArray} rgba */
export function countColours(rgba) {
  const counts = new Uint32Array(1 << 12);
  for (let at = 0; at + 3 < rgba.length; at += 4) {
    const [r = 0, g = 0, b = 0] = rgba.subarray(at, at + 3);
    const colour = ((r >> 4) << 8) | ((g >> 4) << 4) | (b >> 4);
    counts[colour] = (counts[colour] ?? 0) + 1;
  }
  const used = [...counts].filter(Boolean).sort((a, b) => b - a);
  return { colours: used.length, flat: used.slice(0, FLAT_COLOURS).reduce((sum, count) => sum + count, 0) / Math.max(1, rgba.length / 4) };
}

/** Returns whether a JPEG names the camera that took it. @param {Uint8Array} head the file's first bytes */
export function namesCamera(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 4 || view.getUint16(0) !== 0xffd8) return false;
  // Segments up to the image itself: marker, length, content.
  for (let at = 2; at + 4 <= head.length && view.getUint8(at) === 0xff && view.getUint8(at + 1) !== 0xda; ) {
    const length = view.getUint16(at + 2);
    const exif = view.getUint8(at + 1) === 0xe1 && at + 10 <= head.length && view.getUint32(at + 4) === 0x45786966;
    if (exif && hasCameraTag(head.subarray(at + 10, at + 2 + length))) return true;
    at += 2 + length;
  }
  return false;
}

/** @param {Uint8Array} tiff */
function hasCameraTag(tiff) {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (tiff.length < 8) return false;
  const little = view.getUint16(0) === 0x4949;
  const first = view.getUint32(4, little);
  if (first + 2 > tiff.length) return false;
  const count = view.getUint16(first, little);
  for (let i = 0; i < count && first + 2 + (i + 1) * 12 <= tiff.length; i++) {
    if (CAMERA_TAGS.includes(view.getUint16(first + 2 + i * 12, little))) return true;
  }
  return false;
}

/** Returns whether a picture is plainly a photograph.
 * @param {{ rgba: Uint8ClampedArray, head: Uint8Array, pixels: number }} picture `pixels`: of the whole picture */
export function isPhotograph({ rgba, head, pixels }) {
  if (namesCamera(head)) return true;
  const { colours, flat } = countColours(rgba);
  const jpeg = head[0] === 0xff && head[1] === 0xd8;
  const camera = jpeg && pixels >= CAMERA_PIXELS;
  return colours >= (camera ? CAMERA_MIN_COLOURS : MIN_COLOURS) && flat <= (camera ? CAMERA_MAX_FLAT : MAX_FLAT);
}
