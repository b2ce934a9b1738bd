// What models/catalogue.json must look like (src/docs/sources.md describes the fields).

/** @typedef {Record<string, any>} Fields */

const ID = /^[\w][\w.-]*\/[\w][\w.-]*$/;
const natural = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && Number(value) > 0;
const text = (/** @type {unknown} */ value) => typeof value === "string" && value.trim() === value && value.length > 0;
const list = (/** @type {unknown} */ value, /** @type {(item: any) => boolean} */ fits) => Array.isArray(value) && value.length > 0 && value.every(fits);

/** Fields of a model by name: a test of the value, and whether the field may be absent.
 * @type {Record<string, [(value: any, templates: string[]) => boolean, boolean?]>} */
const MODEL = {
  id: [(value) => text(value) && /^[a-z0-9.-]+$/.test(value)],
  name: [text],
  sentence: [(value) => text(value) && value.endsWith(".") && value.length <= 110],
  offered: [(value) => typeof value === "boolean"],
  knows: [(value) => ["photographs", "shapes"].includes(value)],
  licence: [text],
  context: [(value) => natural(value) && value <= 32_768],
  parameters: [natural],
  cache_per_token: [natural],
  page: [(value) => text(value) && ID.test(value), true],
  template: [(value, templates) => templates.includes(value), true],
  traps: [(value) => list(value, text), true],
  variants: [(value) => list(value, (item) => typeof item === "object")],
};
/** @type {typeof MODEL} */
const VARIANT = {
  name: [(value) => text(value) && /^[A-Za-z0-9_]+$/.test(value)],
  repository: [(value) => text(value) && ID.test(value), true],
  address: [(value) => text(value) && /^models\/\w+\/manifest\.json$/.test(value), true],
  bytes_per_token: [natural],
  memory: [natural],
  files: [(value) => list(value, (item) => typeof item === "object")],
};
/** @type {typeof MODEL} */
const FILE = {
  path: [(value) => value === null || (text(value) && !value.startsWith("/") && !value.includes(".."))],
  bytes: [natural],
  exact: [(value) => typeof value === "boolean"],
};

/** @param {string} where @param {Fields} value @param {typeof MODEL} fields @param {string[]} templates */
function check(where, value, fields, templates) {
  const missing = Object.entries(fields).filter(([name, [, optional]]) => !optional && !(name in value)).map(([name]) => `${where}: no ${name}`);
  const unknown = Object.keys(value).filter((name) => !(name in fields)).map((name) => `${where}: unknown field ${name}`);
  const wrong = Object.keys(value).filter((name) => fields[name] && !fields[name][0](value[name], templates)).map((name) => `${where}: ${name} is ${JSON.stringify(value[name])}`);
  return [...missing, ...unknown, ...wrong];
}

/**
 * Returns complaints about a catalogue.
 * @param {any} catalogue @param {string[]} templates names of prompt templates that the engine knows
 * @returns {string[]}
 */
export function checkCatalogue(catalogue, templates) {
  if (Object.keys(catalogue).join() !== "models" || !list(catalogue.models, (item) => typeof item === "object")) return ["it must be one list, models"];
  /** @type {string[]} */
  const found = [];
  const ids = catalogue.models.map((/** @type {Fields} */ { id }) => id);
  for (const model of catalogue.models) {
    const where = String(model.id);
    found.push(...check(where, model, MODEL, templates));
    if (ids.indexOf(model.id) !== ids.lastIndexOf(model.id)) found.push(`${where}: is there twice`);
    for (const variant of Array.isArray(model.variants) ? model.variants : []) {
      const name = `${where}, ${variant.name}`;
      found.push(...check(name, variant, VARIANT, templates));
      const files = Array.isArray(variant.files) ? variant.files : [];
      for (const file of files) found.push(...check(`${name}, ${file.path}`, file, FILE, templates));
      if (Boolean(variant.repository) === Boolean(variant.address)) found.push(`${name}: either a repository or an address`);
      const bytes = files.reduce((/** @type {number} */ sum, /** @type {Fields} */ file) => sum + file.bytes, 0);
      // A checkpoint of floats is made smaller while it loads.
      const floats = /^F(32|16)$/.test(variant.name);
      if (!floats && variant.bytes_per_token > bytes) found.push(`${name}: a token reads ${variant.bytes_per_token} of ${bytes} bytes`);
      if (!floats && variant.memory < bytes) found.push(`${name}: needs ${variant.memory} for ${bytes} bytes`);
      // The first screen opens files without asking the hub.
      if (model.offered && (!variant.repository || files.some((/** @type {Fields} */ file) => file.path === null))) found.push(`${name}: is offered, and the names of its files are not known`);
    }
  }
  return found;
}
