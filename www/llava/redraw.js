// Redraws pictures that the engine refuses: formats that only the browser decodes (AVIF, SVG, HEIC …) and pictures too
// large for the engine's memory. All others reach the engine unchanged.

/** Limit on the pixels of a drawing: six times CLIP's 336 on each side. */
const MAX_PIXELS = 4e6;
/** Limit on the side of a canvas in every browser, px. */
const MAX_SIDE = 8192;
/** Longer side of a drawing of an SVG, px; an SVG is sharp at any size. */
const SVG_SIDE = 1024;
/** Size of an SVG that has none: that of a replaced element (CSS 2.1, 10.3.2), px. */
const DEFAULT_SVG_SIZE = { width: 300, height: 150 };
/** Bytes at the beginning of a file that are searched for an SVG's root element. */
const SVG_HEAD = 65536;
/** CSS px per unit of SVG lengths. Relative units and percentages have no entry. @type {Record<string, number>} */
const PIXELS = { "": 1, px: 1, pt: 4 / 3, pc: 16, in: 96, cm: 96 / 2.54, mm: 96 / 25.4 };

/** Returns the browser's drawing of a picture, upright, on white, as PNG. @param {Blob} blob */
export async function redraw(blob) {
  const svg = await sizedSvg(blob);
  const url = URL.createObjectURL(svg ?? blob);
  try {
    // An image element loads no external resources of an SVG, and gives the size of a picture without decoding it.
    const image = await loadImage(url);
    const { width, height } = fitSize(image.naturalWidth, image.naturalHeight);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    const source = svg ? image : await decodeAt(blob, image, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, width, height);
    if ("close" in source) source.close();
    const drawing = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!(drawing instanceof Blob)) throw new Error("the canvas gave no picture");
    return drawing;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @param {string} url @returns {Promise<HTMLImageElement>} */
function loadImage(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.addEventListener("load", () => resolve(image));
    image.addEventListener("error", () => reject(new Error("the image element cannot decode it")));
    image.src = url;
  });
}

/** Decodes a picture off the main thread, at the size of the drawing. A truncated picture fails here.
 * @param {Blob} blob @param {HTMLImageElement} image @param {number} width @param {number} height */
async function decodeAt(blob, image, width, height) {
  try {
    return await createImageBitmap(blob, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  } catch {
    // Some formats are decoded by the image element alone.
    await image.decode();
    return image;
  }
}

/** Returns the size of a drawing within the limits. @param {number} width @param {number} height */
function fitSize(width, height) {
  if (!width || !height) throw new Error("it has no size");
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)), MAX_SIDE / Math.max(width, height));
  const side = (/** @type {number} */ length) => Math.max(1, Math.round(length * scale));
  return { width: side(width), height: side(height) };
}

/** Returns an SVG with a size, its own or its view box's, scaled to SVG_SIDE; `null` for other formats.
 * @param {Blob} blob */
async function sizedSvg(blob) {
  const head = await blob.slice(0, SVG_HEAD).text();
  if (!/^\uFEFF?\s*</.test(head)) return null;
  const root = /<svg\b(?:"[^"]*"|'[^']*'|[^>"'])*>/i.exec(head)?.[0];
  if (!root) return null;
  const attribute = (/** @type {string} */ name) => new RegExp(`\\s${name}\\s*=\\s*["']([^"']*)["']`).exec(root)?.[1];
  const length = (/** @type {string} */ name) => {
    const [, number, unit] = /^\s*([\d.]+(?:e[-+]?\d+)?)\s*([a-z]*)\s*$/i.exec(attribute(name) ?? "") ?? [];
    return Number(number) * (PIXELS[unit ?? "?"] ?? NaN) || 0;
  };
  const [, , boxWidth = 0, boxHeight = 0] = (attribute("viewBox") ?? "").trim().split(/[\s,]+/).map(Number);
  const ratio = boxWidth / boxHeight || 0;
  const width = length("width") || length("height") * ratio || boxWidth || DEFAULT_SVG_SIZE.width;
  const height = length("height") || (ratio ? width / ratio : 0) || DEFAULT_SVG_SIZE.height;
  const scale = SVG_SIDE / Math.max(width, height);
  const size = ` width="${width * scale}" height="${height * scale}"${ratio ? "" : ` viewBox="0 0 ${width} ${height}"`}`;
  const bare = root.replace(/\s(?:width|height)\s*=\s*(?:"[^"]*"|'[^']*')/g, "");
  const text = (await blob.text()).replace(root, () => bare.replace(/^<svg\b/i, (tag) => tag + size));
  return new Blob([text], { type: "image/svg+xml" });
}
