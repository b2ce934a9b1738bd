// Reads the files of pictures: from addresses, and from what image-input.js takes.

import { Failure } from "../../shared/failure.js";
import { redraw } from "../redraw.js";
import { drawnAddress, imageFile } from "./image-input.js";
import { refusal, throwIfAborted } from "./refuse.js";

/** @typedef {import("./types.js").ImageInput} ImageInput */

/** Most bytes of a picture's file. */
const MAX_BYTES = 64e6;
/** Addresses that can be fetched. */
const FETCHED = ["blob:", "https:", "http:"];
/** Characters of an address that an error shows. */
const SHOWN = 80;

/** Returns the file of a picture.
 * @param {string | ImageInput} source @param {string} where of the request @param {AbortSignal | null} signal
 * @returns {Promise<Blob>} */
export async function readPicture(source, where, signal) {
  throwIfAborted(signal, where);
  const fetchFile = (/** @type {string} */ address) => addressFile(address, where, signal);
  const file = typeof source === "string" ? await fetchFile(source) : await imageFile(source, where, signal, fetchFile);
  throwIfAborted(signal, where);
  if (file.size <= MAX_BYTES) return file;
  // The browser reads larger ones, if it can.
  return redraw(file).catch(() => {
    throw tooLarge(where, file.size);
  });
}

/** @param {string} address @param {string} where @param {AbortSignal | null} signal */
async function addressFile(address, where, signal) {
  if (/^data:/i.test(address)) return dataFile(address, where);
  const url = parseAddress(address);
  if (!url || !FETCHED.includes(url.protocol)) throw refusal(where, `${shortened(address)} is no address of a picture`, 'Give a data:, blob:, https: or http: address, or { type: "image", image: file }.');
  return fetchPicture(url.href, where, signal);
}

/** Returns the absolute address; `null` where it is none. @param {string} address */
function parseAddress(address) {
  try {
    return new URL(address, typeof document === "object" ? document.baseURI : globalThis.location?.href);
  } catch {
    return null;
  }
}

/** Decodes a data: address (RFC 2397). A page's policy may forbid that it be fetched.
 * @param {string} address @param {string} where */
function dataFile(address, where) {
  const hint = "It has the form data:image/png;base64,…";
  const head = /^data:([^,;]{0,100})([^,]{0,1000}),/i.exec(address);
  if (!head) throw refusal(where, "is no data: address", hint);
  if (address.length > MAX_BYTES * 1.5) throw tooLarge(where, address.length);
  const bytes = percentDecoded(address.slice(head[0].length));
  const type = head[1] ?? "";
  if (!/;\s*base64\s*$/i.test(head[2] ?? "")) return new Blob([bytes], { type });
  try {
    const binary = atob(new TextDecoder("latin1").decode(bytes));
    return new Blob([Uint8Array.from(binary, (character) => character.charCodeAt(0))], { type });
  } catch (cause) {
    throw new Failure({ kind: "argument", place: where, message: "is no valid base64", hint }, cause);
  }
}

/** Replaces `%` and two hexadecimal digits by the byte that they mean. @param {string} text */
function percentDecoded(text) {
  const bytes = new TextEncoder().encode(text);
  if (!text.includes("%")) return bytes;
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    const digits = bytes[i] === 0x25 ? String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0) : "";
    const escaped = /^[0-9a-f]{2}$/i.test(digits);
    bytes[length++] = escaped ? Number.parseInt(digits, 16) : (bytes[i] ?? 0);
    if (escaped) i += 2;
  }
  return bytes.subarray(0, length);
}

/** @param {string} address @param {string} where @param {AbortSignal | null} signal */
async function fetchPicture(address, where, signal) {
  const named = shortened(address);
  /** @param {string} message @param {string} hint @param {unknown} [cause] */
  const failure = (message, hint, cause) => new Failure({ kind: "network", place: where, message: `${named} ${message}`, hint }, cause);
  try {
    const response = await fetch(address, { mode: "cors", signal });
    if (!response.ok) throw failure(`was answered with status ${response.status}`, "Check the address.");
    if (Number(response.headers.get("content-length")) > MAX_BYTES) {
      await response.body?.cancel();
      throw tooLarge(where, Number(response.headers.get("content-length")));
    }
    return await readBody(response, where);
  } catch (thrown) {
    throwIfAborted(signal, where);
    if (thrown instanceof Failure) throw thrown;
    if (address.startsWith("blob:") && typeof Image === "function") {
      // A page's policy may forbid that it be fetched.
      const drawing = await drawnAddress(address, where).catch(() => null);
      if (drawing) return drawing;
    }
    const hint = address.startsWith("blob:") ? "Has it been revoked?" : "Its host must answer with Access-Control-Allow-Origin (CORS), and this page's policy must allow it (connect-src).";
    throw failure("could not be fetched", hint, thrown);
  }
}

/** Reads a body of unknown length, up to the limit. @param {Response} response @param {string} where */
async function readBody(response, where) {
  const reader = response.body?.getReader();
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const pieces = [];
  let length = 0;
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    length += piece.value.length;
    if (length > MAX_BYTES) {
      await reader?.cancel();
      throw tooLarge(where, length);
    }
    pieces.push(piece.value);
  }
  return new Blob(pieces, { type: response.headers.get("content-type") ?? "" });
}

/** @param {string} where @param {number} bytes */
function tooLarge(where, bytes) {
  return new Failure({ kind: "image", place: where, message: `${bytes} bytes; at most ${MAX_BYTES} are read`, hint: "Give a smaller file." });
}

/** @param {string} address */
const shortened = (address) => (address.length > SHOWN ? `${address.slice(0, SHOWN)}…` : address);
