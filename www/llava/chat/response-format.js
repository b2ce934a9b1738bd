// Reads `response_format`: the constraint that an answer must meet.

import { entryOf, readObject } from "./fields.js";
import { refusal, typeName } from "./refuse.js";

/** @typedef {import("../../shared/protocol.js").ResponseFormat} ResponseFormat */

/** Fields of each type, besides `type`. @type {Record<string, string[]>} */
const FIELDS = { text: [], json_object: [], json_schema: ["json_schema"], regex: ["regex"], grammar: ["grammar"] };

/** Reads the format; `null` where every text is allowed. The schema itself is checked by the engine.
 * @param {unknown} value @param {string} where @returns {Exclude<ResponseFormat, { type: "text" }> | null} */
export function readResponseFormat(value, where) {
  if (value === null || value === undefined) return null;
  const { type, ...fields } = readObject(value, where);
  const known = entryOf(FIELDS, type);
  if (!known) throw refusal(`${where}.type`, `${JSON.stringify(type)} is not one of ${Object.keys(FIELDS).join(", ")}`);
  const [unknown] = Object.keys(fields).filter((name) => !known.includes(name));
  if (unknown) throw refusal(`${where}.${unknown}`, `is not known of the type ${type}`);
  switch (type) {
    case "text":
      return null;
    case "json_schema":
      return { type, json_schema: readSchema(fields.json_schema, `${where}.json_schema`) };
    case "regex":
      return { type, regex: readText(fields.regex, `${where}.regex`) };
    case "grammar":
      return { type, grammar: readText(fields.grammar, `${where}.grammar`) };
    default:
      return { type: "json_object" };
  }
}

/** Reads the schema. Name and description are for OpenAI's models, which read them. Every answer is strict.
 * @param {unknown} value @param {string} where */
function readSchema(value, where) {
  const { name, description, schema, strict, ...others } = readObject(value, where);
  void [name, description, strict];
  const [unknown] = Object.keys(others);
  if (unknown) throw refusal(`${where}.${unknown}`, "is not known");
  if (schema === undefined) throw refusal(`${where}.schema`, "is missing", "For any JSON object use the type json_object.");
  const given = readObject(schema, `${where}.schema`);
  try {
    // What JSON cannot express cannot reach the engine.
    return { schema: /** @type {Record<string, unknown>} */ (JSON.parse(JSON.stringify(given))) };
  } catch (cause) {
    throw refusal(`${where}.schema`, `is no JSON: ${cause instanceof Error ? cause.message : cause}`);
  }
}

/** @param {unknown} value @param {string} where */
function readText(value, where) {
  if (typeof value !== "string") throw refusal(where, `is ${typeName(value)}, not a string`);
  if (!value) throw refusal(where, "is empty");
  return value;
}
