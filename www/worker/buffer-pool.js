// A pool of buffers for parts. New buffers for every part would be garbage faster than it is collected, and the tab
// would grow by gigabytes.

/** Limit on pooled buffers: one per connection, and one in transit between them. */
const MAX_POOLED = 5;
/** Unit that sizes are rounded up to, so that parts of almost the same size share buffers, bytes. */
const GRANULARITY = 1 << 20;

/** @type {ArrayBuffer[]} */
let pool = [];

/** Takes a buffer from the pool, or creates one. @param {number} bytes
 * @returns {Uint8Array<ArrayBuffer>} of exactly this length, with arbitrary content */
export function acquire(bytes) {
  // File headers stay in memory: they get buffers of exact size, outside the pool.
  if (bytes < GRANULARITY) return new Uint8Array(bytes);
  const at = pool.findIndex((buffer) => buffer.byteLength >= bytes);
  const [buffer] = at < 0 ? [new ArrayBuffer(Math.ceil(bytes / GRANULARITY) * GRANULARITY)] : pool.splice(at, 1);
  return new Uint8Array(/** @type {ArrayBuffer} */ (buffer), 0, bytes);
}

/** Returns a buffer to the pool; its bytes must not be used any more. @param {Uint8Array} bytes */
export function release({ buffer }) {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= GRANULARITY && pool.length < MAX_POOLED && !pool.includes(buffer)) pool.push(buffer);
}

/** Frees the pool, after loading. */
export function clearPool() {
  pool = [];
}
