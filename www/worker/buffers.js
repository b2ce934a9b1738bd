// Buffers that parts pass through, used again and again: gigabytes of garbage, however short-lived, would let
// the tab grow far beyond what it holds at any moment.

/** Buffers kept for use: as many as there are lanes, and one for what is on its way between them. */
const MOST = 5;
/** Sizes are rounded up to this, so that parts of almost the same size share, bytes. */
const STEP = 1 << 20;

/** @type {ArrayBuffer[]} */
let spare = [];

/** @param {number} bytes @returns {Uint8Array<ArrayBuffer>} of exactly this length; what it holds is not zero */
export function borrow(bytes) {
  // Headers are kept for longer: they get what they need and no more.
  if (bytes < STEP) return new Uint8Array(bytes);
  const at = spare.findIndex((buffer) => buffer.byteLength >= bytes);
  const [buffer] = at < 0 ? [new ArrayBuffer(Math.ceil(bytes / STEP) * STEP)] : spare.splice(at, 1);
  return new Uint8Array(/** @type {ArrayBuffer} */ (buffer), 0, bytes);
}

/** Nobody looks at these bytes any more. @param {Uint8Array} bytes */
export function giveBack({ buffer }) {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= STEP && spare.length < MOST && !spare.includes(buffer)) spare.push(buffer);
}

/** Loading is over. */
export function letGo() {
  spare = [];
}
