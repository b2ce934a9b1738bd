// Gives the engine the pictures of messages. It encodes each only once, and finds it again by its content.

import { redraw } from "../redraw.js";
import { Failure } from "../../shared/failure.js";
import { readPicture } from "./pictures.js";

/** @typedef {import("../../shared/protocol.js").Encoded} Encoded */
/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("../../shared/protocol.js").Message} Message */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./types.js").SourceMessage} SourceMessage */
/** @typedef {{ text: string } | { file: Blob, where: string }} ReadPart */
/** @typedef {{ role: Message["role"], parts: ReadPart[] }} ReadMessage */

/** The browser's drawings of files that the engine does not read. @type {WeakMap<Blob, Blob>} */
const drawings = new WeakMap();

/** Reads the files of all pictures. Pixels of elements are those of the moment of this call.
 * @param {SourceMessage[]} messages @param {AbortSignal | null} signal @returns {Promise<ReadMessage[]>} */
export function readPictures(messages, signal) {
  return Promise.all(
    messages.map(async ({ role, parts }) => ({
      role,
      parts: await Promise.all(parts.map(async (part) => ("text" in part ? part : { file: await readPicture(part.source, part.where, signal), where: part.where }))),
    })),
  );
}

/** Makes the pictures resident and returns the messages as the engine reads them.
 * @param {EngineCall} call @param {ReadMessage[]} messages @param {(event: Event) => void} [onProgress]
 * @returns {Promise<Message[]>} */
export async function encodePictures(call, messages, onProgress) {
  /** @type {string[]} */
  const needed = [];
  /** @type {Message[]} */
  const resident = [];
  for (const { role, parts } of messages) {
    /** @type {Message["parts"]} */
    const own = [];
    for (const part of parts) {
      if ("text" in part) own.push(part);
      else {
        const { id } = await encodePicture(call, part.file, part.where, needed, onProgress);
        needed.push(id);
        own.push({ image: id });
      }
    }
    resident.push({ role, parts: own });
  }
  return resident;
}

/** Makes a picture resident. One that the engine refuses is replaced by the browser's drawing of it.
 * @param {EngineCall} call @param {Blob} file @param {string} where @param {string[]} needed ids of other pictures that
 *   must stay @param {(event: Event) => void} [onProgress] @returns {Promise<Encoded & { id: string }>} */
export async function encodePicture(call, file, where, needed, onProgress) {
  const encode = (/** @type {Blob} */ image) => call("encode_picture", { image, needed }, onProgress);
  const drawn = drawings.get(file);
  if (drawn) return encode(drawn);
  try {
    return await encode(file);
  } catch (thrown) {
    const error = Failure.from(thrown, where);
    if (error.kind !== "image") throw error;
    const drawing = await redraw(file).catch(() => {
      error.where = where;
      error.hint = [error.hint, "this browser cannot show it either"].filter(Boolean).join("; ");
      throw error;
    });
    drawings.set(file, drawing);
    return encode(drawing);
  }
}
