// Reads messages in OpenAI's form. Pictures keep their source; pictures.js reads them.

import { entryOf } from "./fields.js";
import { isImage } from "./image-input.js";
import { refusal, typeName } from "./refuse.js";

/** @typedef {import("./types.js").SourceMessage} SourceMessage */
/** @typedef {import("./types.js").SourcePart} SourcePart */

/** Most messages of a request. */
const MAX_MESSAGES = 4096;
/** Most parts of a message. */
const MAX_PARTS = 1024;
/** OpenAI's roles, and the engine's. @type {Record<string, SourceMessage["role"]>} */
const ROLES = { system: "system", developer: "system", user: "user", assistant: "assistant" };
/** Fields of messages that answers of OpenAI's have, when they are sent back; they must be empty. */
const EMPTY = ["refusal", "audio", "tool_calls", "function_call", "annotations", "name", "tool_call_id"];

/** @param {unknown} value @param {string} where @returns {SourceMessage[]} */
export function readMessages(value, where) {
  if (!Array.isArray(value)) throw refusal(where, value === undefined ? "is missing" : `is ${typeName(value)}, not an array`);
  if (!value.length) throw refusal(where, "is empty");
  if (value.length > MAX_MESSAGES) throw refusal(where, `${value.length} messages; at most ${MAX_MESSAGES} are possible`);
  return value.map((message, i) => readMessage(message, `${where}[${i}]`));
}

/** @param {unknown} value @param {string} where @returns {SourceMessage} */
function readMessage(value, where) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refusal(where, `is ${typeName(value)}, not an object`);
  const message = /** @type {Record<string, unknown>} */ (value);
  const role = entryOf(ROLES, message.role);
  if (!role) throw refusal(`${where}.role`, `${JSON.stringify(message.role)} is not supported`, `Roles are ${Object.keys(ROLES).join(", ")}.`);
  for (const name of Object.keys(message)) {
    if (name === "role" || name === "content" || isEmpty(message[name])) continue;
    throw refusal(`${where}.${name}`, EMPTY.includes(name) ? "is not supported" : "is not known");
  }
  return { role, parts: readContent(message.content, `${where}.content`, role) };
}

/** @param {unknown} value */
const isEmpty = (value) => value === null || value === undefined || (Array.isArray(value) && !value.length);

/** @param {unknown} content @param {string} where @param {SourceMessage["role"]} role @returns {SourcePart[]} */
function readContent(content, where, role) {
  if (typeof content === "string") return [{ text: content }];
  if (!Array.isArray(content)) throw refusal(where, content === undefined ? "is missing" : `is ${typeName(content)}, not a string or an array of parts`);
  if (!content.length) throw refusal(where, "has no parts");
  if (content.length > MAX_PARTS) throw refusal(where, `${content.length} parts; at most ${MAX_PARTS} are possible`);
  const parts = content.map((part, i) => readPart(part, `${where}[${i}]`));
  const picture = role === "user" ? undefined : parts.find((part) => "source" in part);
  if (picture && "where" in picture) throw refusal(picture.where, `is a picture in a message of the ${role}`, "Only messages of the user may have pictures.");
  return parts;
}

/** @param {unknown} value @param {string} where @returns {SourcePart} */
function readPart(value, where) {
  if (typeof value !== "object" || value === null) throw refusal(where, `is ${typeName(value)}, not an object`);
  const part = /** @type {Record<string, unknown>} */ (value);
  switch (part.type) {
    case "text":
      if (typeof part.text !== "string") throw refusal(`${where}.text`, `is ${typeName(part.text)}, not a string`);
      return { text: part.text };
    case "image_url": {
      const url = /** @type {Record<string, unknown> | null | undefined} */ (part.image_url)?.url;
      if (typeof url !== "string") throw refusal(`${where}.image_url.url`, url === undefined ? "is missing" : `is ${typeName(url)}, not a string`);
      return { source: url, where: `${where}.image_url.url` };
    }
    case "image":
      if (!isImage(part.image)) throw refusal(`${where}.image`, `is ${typeName(part.image)}`, "Give a Blob, File, ImageBitmap, ImageData, canvas, VideoFrame, img or video element.");
      return { source: part.image, where: `${where}.image` };
    default:
      throw refusal(`${where}.type`, `${JSON.stringify(part.type)} is not supported`, "Parts are text, image_url and image.");
  }
}
