// What the page's address says of the model, and which dropped files are one.

/** Returns whether files look like a model rather than a picture. @param {{ path: string }[]} list */
export const looksLikeModel = (list) => list.some(({ path }) => /\.(gguf|safetensors|bin)$|(^|\/)(manifest|config)\.json$/i.test(path));

/** Returns the page's address with this model in it, other parameters unchanged; the shipped model needs none.
 * @param {string[]} addresses @param {string} page */
export function deepLink(addresses, page) {
  const link = new URL(page);
  link.hash = "";
  link.searchParams.delete("again");
  for (const [i, name] of ["model", "mmproj"].entries()) {
    link.searchParams.delete(name);
    if (addresses[i]) link.searchParams.set(name, addresses[i]);
  }
  return link.href;
}
