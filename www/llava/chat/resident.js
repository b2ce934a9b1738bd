// Gives the engine the pictures of messages. A picture is named by the SHA-256 of its file; the engine encodes those only
// whose rows it has not computed yet.

import { Failure } from "../../shared/failure.js";
import { redraw } from "../redraw.js";
import { readPicture } from "./pictures.js";

/** @typedef {import("../../shared/protocol.js").Event} Event */
/** @typedef {import("../../shared/protocol.js").Message} Message */
/** @typedef {import("../../shared/protocol.js").Seen} Seen */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./types.js").SourceMessage} SourceMessage */
/** A picture's file, and its id where this page may compute it.
 * @typedef {{ file: Blob, where: string, id: string | null }} ReadPicture */
/** @typedef {{ role: Message["role"], parts: ({ text: string } | ReadPicture)[] }} ReadMessage */

/** The browser's drawings of files that the engine does not read. @type {WeakMap<Blob, Blob>} */
const drawings = new WeakMap();

/** Reads the files of all pictures. Pixels of elements are those of the moment of this call.
 * @param {SourceMessage[]} messages @param {AbortSignal | null} signal @returns {Promise<ReadMessage[]>} */
export function readPictures(messages, signal) {
  return Promise.all(
    messages.map(async ({ role, parts }) => ({
      role,
      parts: await Promise.all(
        parts.map(async (part) => {
          if ("text" in part) return part;
          const file = await readPicture(part.source, part.where, signal);
          return { file, where: part.where, id: await idOf(drawings.get(file) ?? file) };
        }),
      ),
    })),
  );
}

/** Returns the SHA-256 of a file as hex; `null` in a page that is not secure, which has no `crypto.subtle`.
 * @param {Blob} file */
async function idOf(file) {
  if (!globalThis.crypto?.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Makes the pictures resident that the engine misses, and returns the messages as it reads them.
 * @param {EngineCall} call @param {ReadMessage[]} read @param {(event: Event) => void} [onProgress]
 * @returns {Promise<Message[]>} */
export async function encodePictures(call, read, onProgress) {
  const pictures = read.flatMap(({ parts }) => parts.filter((part) => "file" in part));
  const messages = () => read.map(({ role, parts }) => ({ role, parts: parts.map((part) => ("text" in part ? part : { image: part.id ?? "" })) }));
  if (!pictures.length) return messages();
  const known = pictures.every(({ id }) => id);
  const missing = known ? new Set(await call("missing_pictures", { messages: messages() })) : null;
  for (const picture of pictures) {
    if (missing && picture.id && !missing.has(picture.id)) continue;
    const needed = pictures.flatMap(({ id }) => id ?? []);
    picture.id = (await encodePicture(call, picture.file, picture.where, needed, onProgress)).encoded.id;
    missing?.delete(picture.id);
  }
  return messages();
}

/** Makes a picture resident. One that the engine refuses is replaced by the browser's drawing of it.
 * @param {EngineCall} call @param {Blob} file @param {string} where @param {string[]} needed ids of other pictures that
 *   must stay @param {(event: Event) => void} [onEvent] @returns {Promise<Seen & { file: Blob }>} with what was encoded */
export async function encodePicture(call, file, where, needed, onEvent) {
  const encode = async (/** @type {Blob} */ image) => {
    const bytes = await image.arrayBuffer();
    return { ...(await call("encode", { bytes, needed }, { onEvent, transfer: [bytes] })), file: image };
  };
  const drawn = drawings.get(file);
  if (drawn) return encode(drawn);
  try {
    return await encode(file);
  } catch (thrown) {
    const failure = Failure.from(thrown, where);
    if (failure.kind !== "image") throw failure;
    const drawing = await redraw(file).catch((why) => {
      const hint = [failure.hint, "this browser cannot show it either"].filter(Boolean).join("; ");
      throw new Failure({ ...failure.fields(), place: where, hint }, why);
    });
    drawings.set(file, drawing);
    return encode(drawing);
  }
}
