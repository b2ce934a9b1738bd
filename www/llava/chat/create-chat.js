// The chat surface of a loaded model.

import { inRequest, refusal, typeName } from "./refuse.js";
import { AttentionCollector } from "./attention.js";
import { CallQueue } from "./call-queue.js";
import { Completions } from "./completions.js";
import { createFetch } from "./fetch-adapter.js";
import { isImage } from "./image-input.js";
import { readMessages } from "./messages.js";
import { readPicture } from "./pictures.js";
import { encodePicture, encodePictures, readPictures } from "./resident.js";

/** @typedef {import("../../shared/protocol.js").BenchOptions} BenchOptions */
/** @typedef {import("../../shared/protocol.js").Report} Report */
/** @typedef {import("../../shared/protocol.js").Seen} Seen */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./call-queue.js").Link} Link */
/** @typedef {import("./types.js").AnswerAttention} AnswerAttention */
/** @typedef {import("./types.js").CallOptions} CallOptions */
/** @typedef {import("./types.js").ChatMessage} ChatMessage */
/** @typedef {import("./types.js").EncodedPicture} EncodedPicture */
/** @typedef {import("./types.js").ImageInput} ImageInput */

/** What a model answers with.
 * @typedef {object} ChatSurface
 * @property {{ completions: Completions }} chat
 * @property {(image: string | ImageInput, options?: CallOptions) => Promise<EncodedPicture>} encode
 * @property {(messages: readonly ChatMessage[], options?: CallOptions) => Promise<number>} prefill
 * @property {(messages: readonly ChatMessage[], options?: CallOptions) => Promise<AnswerAttention>} attention
 * @property {(options?: { signal?: AbortSignal | null }) => Promise<Uint8Array<ArrayBuffer>>} save
 * @property {(saved: Uint8Array | ArrayBuffer | Blob, options?: { signal?: AbortSignal | null }) => Promise<number>} restore
 * @property {(what?: BenchOptions, options?: CallOptions) => Promise<string[]>} bench
 * @property {(input: RequestInfo | URL, init?: RequestInit) => Promise<Response>} fetch
 */

/**
 * Returns the functions of a model that answer.
 * @param {Link} link to the engine that has loaded it
 * @param {object} model
 * @param {string} model.name
 * @param {import("./call-queue.js").Recovered} [model.recovered]
 * @param {(report: Partial<Report>) => void} [model.onReport]  receives what has changed of the engine's report
 * @param {(seen: Seen) => void} [model.onEncoded]  receives the measured time of a picture
 * @returns {ChatSurface & { exclusive: <T>(where: string, work: () => Promise<T>) => Promise<T> }} `exclusive` runs other
 *   work when no call runs
 */
export function createChat(link, { name, recovered = async () => false, onReport = () => {}, onEncoded = () => {} }) {
  const queue = new CallQueue(link, recovered);
  const completions = new Completions(queue, name, onReport);

  /** Encodes a picture before it is needed. Messages with the same file find it.
   * @param {string | ImageInput} image or its address @param {CallOptions} [options]
   * @returns {Promise<EncodedPicture>} */
  async function encode(image, { signal = null, onProgress } = {}) {
    if (typeof image !== "string" && !isImage(image)) throw refusal("image", `is ${typeName(image)}`, "Give an address, a Blob, File, ImageBitmap, ImageData, canvas, VideoFrame, img or video element.");
    const file = await readPicture(image, "image", signal);
    return queue.run(signal, "encode", async (call) => {
      const seen = await encodePicture(call, file, "image", [], onProgress);
      onReport(seen.report);
      onEncoded(seen);
      const { id, width, height, rows, tiles, reused } = seen.encoded;
      return { id, width, height, tokens: rows, tiles, reused, encode_ms: seen.encode_ms, image: seen.file };
    }, onProgress);
  }

  /** Computes keys and values of messages before their answer is wanted. Returns the number of rows that are cached.
   * @param {readonly ChatMessage[]} messages @param {CallOptions} [options] @returns {Promise<number>} */
  async function prefill(messages, { signal = null, onProgress } = {}) {
    const read = await readPictures(readMessages(messages, "messages"), signal);
    const work = queue.run(signal, "prefill", async (/** @type {EngineCall} */ call) => {
      const cached = await call("prefill", { messages: await encodePictures(call, read, onProgress) }, { onEvent: onProgress });
      onReport({ cached });
      return cached;
    }, onProgress);
    return work.catch((thrown) => {
      throw inRequest(thrown, "");
    });
  }

  /** Finds where an answer looked that exists already: the last message, one of the assistant's. Its tokens are forced;
   * each costs a step of decoding.
   * @param {readonly ChatMessage[]} messages @param {CallOptions} [options] @returns {Promise<AnswerAttention>} */
  async function attention(messages, { signal = null, onProgress } = {}) {
    const checked = readMessages(messages, "messages");
    if (checked.at(-1)?.role !== "assistant") throw refusal("messages", "do not end with an answer", "Give the messages with the assistant's answer as the last one.");
    const read = await readPictures(checked, signal);
    const work = queue.run(signal, "attention", async (/** @type {EngineCall} */ call) => {
      const collector = new AttentionCollector();
      const onEvent = (/** @type {import("../../shared/protocol.js").Event} */ event) => {
        collector.receive(event);
        onProgress?.(event);
      };
      const options = { max_new_tokens: 0, temperature: 0, top_p: 1, seed: 0, attention: true };
      const answered = await call("generate", { messages: await encodePictures(call, read, onProgress), options }, { onEvent });
      onReport(answered.report);
      return collector.value;
    }, onProgress);
    return work.catch((thrown) => {
      throw inRequest(thrown, "");
    });
  }

  /** Returns the keys and values of the messages that were answered last, bound to this model.
   * @param {{ signal?: AbortSignal | null }} [options] @returns {Promise<Uint8Array<ArrayBuffer>>} */
  const save = ({ signal = null } = {}) => queue.run(signal, "save", (call) => call("save_state", null));

  /** Restores what `save` returned, without a forward pass. Returns the number of rows that are cached.
   * @param {Uint8Array | ArrayBuffer | Blob} saved @param {{ signal?: AbortSignal | null }} [options]
   * @returns {Promise<number>} */
  async function restore(saved, { signal = null } = {}) {
    if (!(saved instanceof Uint8Array || saved instanceof ArrayBuffer || saved instanceof Blob)) throw refusal("saved", `is ${typeName(saved)}`, "Give what save() returned, or a Blob of it.");
    const bytes = saved instanceof Uint8Array ? saved : new Uint8Array(saved instanceof Blob ? await saved.arrayBuffer() : saved);
    return queue.run(signal, "restore", (call) => call("restore_state", { bytes }));
  }

  /** Measures the model on this device, by stage and by operation, and checks every operation. Removes pictures and
   * conversations from the engine. Returns a table as lines of CSV; `onProgress` receives each as an event `line`.
   * @param {BenchOptions} [what] @param {CallOptions} [options] @returns {Promise<string[]>} */
  async function bench(what = {}, { signal = null, onProgress } = {}) {
    /** @type {string[]} */
    const lines = [];
    const onEvent = (/** @type {import("../../shared/protocol.js").Event} */ event) => {
      if (event.type === "line") lines.push(event.text);
      onProgress?.(event);
    };
    onReport(await queue.run(signal, "bench", (call) => call("bench", { options: what }, { onEvent }), onProgress));
    return lines;
  }

  /** @template T @param {string} where @param {() => Promise<T>} work */
  const exclusive = (where, work) => queue.run(null, where, work);

  return { chat: { completions }, encode, prefill, attention, save, restore, bench, fetch: createFetch(completions, name), exclusive };
}
