// Reads pictures that are not files: elements, canvases, frames and pixels. Each becomes a PNG of the same pixels.

import { Failure } from "../../shared/failure.js";
import { encodePng } from "./png.js";
import { throwIfAborted } from "./refuse.js";

/** @typedef {import("./types.js").ImageInput} ImageInput */
/** @typedef {Exclude<ImageInput, Blob | ImageData>} Drawable */

/** Longest side and most pixels of a canvas in every browser. */
const MAX_SIDE = 8192;
const MAX_PIXELS = 5e7;

/** Names of the classes; a worker lacks some of them. */
const CLASSES = ["Blob", "ImageData", "ImageBitmap", "HTMLImageElement", "HTMLVideoElement", "HTMLCanvasElement", "OffscreenCanvas", "VideoFrame"];

/** @param {unknown} value @param {string[]} classes */
function isOneOf(value, classes) {
  const known = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (globalThis));
  return classes.some((name) => typeof known[name] === "function" && value instanceof /** @type {Function} */ (known[name]));
}

/** @param {unknown} value @returns {value is ImageInput} */
export const isImage = (value) => isOneOf(value, CLASSES);

/** Returns the file of a picture.
 * @param {ImageInput} image @param {string} where @param {AbortSignal | null} signal
 * @param {(address: string) => Promise<Blob>} fetchFile @returns {Promise<Blob>} */
export async function imageFile(image, where, signal, fetchFile) {
  if (isOneOf(image, ["Blob"])) return /** @type {Blob} */ (image);
  if (isOneOf(image, ["ImageData"])) return encodePng(/** @type {ImageData} */ (image));
  if (isOneOf(image, ["HTMLImageElement"])) return elementFile(/** @type {HTMLImageElement} */ (image), where, signal, fetchFile);
  return drawn(/** @type {Drawable} */ (image), where);
}

/** Returns the file that an img element shows; its drawing where the file cannot be read again.
 * @param {HTMLImageElement} image @param {string} where @param {AbortSignal | null} signal
 * @param {(address: string) => Promise<Blob>} fetchFile */
async function elementFile(image, where, signal, fetchFile) {
  const address = image.currentSrc || image.src;
  if (!address) throw failure(where, "the img element has no address");
  try {
    return await fetchFile(address);
  } catch (thrown) {
    throwIfAborted(signal, where);
    await image.decode().catch((cause) => {
      throw failure(where, "the img element could not load its picture", "", cause);
    });
    return drawn(image, where);
  }
}

/** Returns a drawing of the picture at an address, which a page's policy may allow only elements to load.
 * @param {string} address @param {string} where */
export async function drawnAddress(address, where) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return drawn(image, where);
}

/** Returns a PNG of what is drawn. @param {Drawable} image @param {string} where */
async function drawn(image, where) {
  const { width, height } = sizeOf(image);
  if (!width || !height) throw failure(where, "has no size yet", "Wait until a video has its first frame (loadeddata), an img its picture (load).");
  if (Math.max(width, height) > MAX_SIDE || width * height > MAX_PIXELS) throw failure(where, `${width} × ${height} pixels; at most ${MAX_SIDE} per side and ${MAX_PIXELS / 1e6} million in all`, "Scale it down.");
  const canvas = typeof OffscreenCanvas === "function" ? new OffscreenCanvas(width, height) : Object.assign(document.createElement("canvas"), { width, height });
  const context = /** @type {OffscreenCanvasRenderingContext2D | null} */ (canvas.getContext("2d", { willReadFrequently: true }));
  if (!context) throw failure(where, "this browser gave no canvas to read it with");
  try {
    context.drawImage(image, 0, 0, width, height);
    return await encodePng(context.getImageData(0, 0, width, height));
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "SecurityError") throw failure(where, "shows what another site did not allow this page to read", "Its host must send Access-Control-Allow-Origin, and the element needs crossorigin=\"anonymous\".", cause);
    throw failure(where, `cannot be drawn: ${cause instanceof Error ? cause.message : cause}`, "", cause);
  }
}

/** @param {Drawable} image */
function sizeOf(image) {
  if ("videoWidth" in image) return image.readyState >= 2 ? { width: image.videoWidth, height: image.videoHeight } : { width: 0, height: 0 };
  if ("naturalWidth" in image) return { width: image.naturalWidth, height: image.naturalHeight };
  if ("displayWidth" in image) return { width: image.displayWidth, height: image.displayHeight };
  return image;
}

/** @param {string} where @param {string} message @param {string} [hint] @param {unknown} [cause] */
const failure = (where, message, hint, cause) => new Failure({ kind: "image", place: where, message, hint }, cause);
