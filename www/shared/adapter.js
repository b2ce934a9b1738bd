// Name of the GPU adapter as the browser gives it; the engine is given none.

/** @type {Promise<string> | null} */
let name = null;

/** Returns the adapter's name. @returns {Promise<string>} empty where there is no adapter */
export function adapterName() {
  name ??= (async () => {
    const info = (await navigator.gpu?.requestAdapter())?.info;
    return info ? [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ") : "";
  })().catch(() => "");
  return name;
}
