// What the browser tells of the GPU; to the engine it gives no name.

/** @type {Promise<string> | null} */
let name = null;

/** @returns {Promise<string>} empty where there is none */
export function adapterName() {
  name ??= (async () => {
    const info = (await navigator.gpu?.requestAdapter())?.info;
    return info ? [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ") : "";
  })().catch(() => "");
  return name;
}
