// The GPU adapter as the browser describes it; the engine is given no name.

/** @type {Promise<GPUAdapter | null> | null} */
let requested = null;

/** Returns the adapter. @returns {Promise<GPUAdapter | null>} */
function adapter() {
  requested ??= (async () => (await navigator.gpu?.requestAdapter()) ?? null)().catch(() => null);
  return requested;
}

/** Returns the adapter's name. @returns {Promise<string>} empty where there is no adapter */
export async function adapterName() {
  const info = (await adapter())?.info;
  return info ? [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ") : "";
}

/** Returns the adapter's limits. @returns {Promise<{ maxBufferSize: number } | null>} null where there is no adapter */
export async function adapterLimits() {
  const found = await adapter();
  return found && { maxBufferSize: found.limits.maxBufferSize };
}
