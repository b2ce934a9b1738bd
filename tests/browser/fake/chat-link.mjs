// A stand-in for the package's connection to the engine: answers by repeating the last question, one word a token, and
// finds pictures by their content. It does on demand what an engine cannot: wait, refuse, fail.

import { createHash } from "node:crypto";

/** @typedef {import("../../../www/shared/protocol.js").Message} Message */

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class FakeLink {
  /** Methods in the order in which they began. @type {string[]} */
  calls = [];
  /** Options of the chats. @type {any[]} */
  options = [];
  /** Messages of the chats. @type {Message[][]} */
  messages = [];
  /** Files of the pictures that were encoded. @type {string[]} */
  files = [];
  /** Ids that had to stay, of each of them. @type {string[][]} */
  needed = [];
  /** @type {Set<string>} */
  #resident = new Set();
  /** Rows of every prompt so far. @type {string[][]} */
  #prompts = [];
  #busy = false;
  #cancelled = false;

  /** @param {{ slow?: number, fail?: Record<string, object> }} [how] ms of a token; failures by the question */
  constructor({ slow = 0, fail = {} } = {}) {
    this.slow = slow;
    this.fail = fail;
  }

  /** @type {import("../../../www/llava/chat/call-queue.js").Link["call"]} */
  call = async (method, args, { onEvent = () => {} } = {}) => {
    this.calls.push(method);
    if (method === "cancel") return /** @type {any} */ ((this.#cancelled = true), null);
    if (this.#busy) throw { kind: "state", place: "engine", message: "busy: another call is running" };
    this.#busy = true;
    this.#cancelled = false;
    try {
      const handler = /** @type {any} */ (this)[`_${method}`];
      return await handler.call(this, args, onEvent);
    } finally {
      this.#busy = false;
    }
  };

  /** @param {{ messages: Message[] }} args */
  async _missing_pictures({ messages }) {
    const ids = messages.flatMap(({ parts }) => parts.flatMap((part) => ("image" in part ? part.image : [])));
    return [...new Set(ids.filter((id) => !this.#resident.has(id)))];
  }

  /** @param {{ bytes: ArrayBuffer, needed: string[] }} args @param {(event: any) => void} onEvent */
  async _encode({ bytes: image, needed }, onEvent) {
    this.needed.push(needed);
    const bytes = Buffer.from(image);
    for (let done = 0; done <= 4; done++) {
      onEvent({ type: "encode", done, total: 4 });
      await sleep(this.slow);
      if (this.#cancelled) return { encoded: { cancelled: true }, encode_ms: 0, report: {} };
    }
    if (bytes.length < 8) throw { kind: "image", place: "image", message: "not a PNG, JPEG, WebP, GIF or BMP", hint: "Choose another file." };
    this.files.push(bytes.toString());
    const id = createHash("sha256").update(bytes).digest("hex");
    const reused = this.#resident.has(id);
    this.#resident.add(id);
    return { encoded: { id, width: 8, height: 8, rows: 16, tiles: 1, reused, cancelled: false }, encode_ms: 1, report: {} };
  }

  /** Fails where that was asked for; returns the question. @param {Message[]} messages */
  #refuse(messages) {
    const question = messages.at(-1)?.parts.flatMap((part) => ("text" in part ? part.text : [])).join(" ") ?? "";
    if (this.fail[question]) throw this.fail[question];
    return question;
  }

  /** @param {Message[]} messages */
  #rows(messages) {
    return messages.flatMap(({ role, parts }) => [role, ...parts.flatMap((part) => ("text" in part ? part.text.split(" ") : "image" in part ? Array(16).fill(part.image) : part.ids.map(String)))]);
  }

  /** @param {string[]} rows */
  #reused(rows) {
    const shared = (/** @type {string[]} */ other) => rows.findIndex((row, i) => row !== other[i]);
    return Math.max(0, ...this.#prompts.map((other) => (shared(other) < 0 ? rows.length : shared(other))));
  }

  /** @param {{ messages: Message[] }} args */
  async _prefill({ messages }) {
    this.#refuse(messages);
    this.#prompts.push(this.#rows(messages));
    return this.#rows(messages).length;
  }

  /** @param {{ messages: Message[], options: any }} args @param {(event: any) => void} onEvent */
  async _generate({ messages, options }, onEvent) {
    this.messages.push(messages);
    this.options.push(options);
    for (const part of messages.flatMap(({ parts }) => parts)) if ("image" in part && !this.#resident.has(part.image)) throw { kind: "argument", place: "messages", message: "not resident" };
    const question = this.#refuse(messages);
    const rows = this.#rows(messages);
    const reused_rows = this.#reused(rows);
    this.#prompts.push(rows);
    onEvent({ type: "prefill", done: rows.length, total: rows.length });
    if (options.attention) onEvent({ type: "attention-pictures", pictures: [{ id: "a", width: 8, height: 8, positions: [1, 2], regions: [{ x: 0, y: 0, width: 4, height: 8 }, { x: 4, y: 0, width: 4, height: 8 }] }] });
    // Weights are the bytes of floats, at an address that is no multiple of four. A layer, two rows.
    const attend = (/** @type {string} */ text, /** @type {number} */ index) => {
      if (!options.attention) return;
      const bytes = new Uint8Array(9);
      bytes.set(new Uint8Array(Float32Array.of(index / 10, 0.1).buffer), 1);
      onEvent({ type: "attention", index, id: index, text, layers: 1, weights: bytes.subarray(1), rest: [0.9 - index / 10] });
    };
    // An answer that exists is read; nothing comes after it.
    if (messages.at(-1)?.role === "assistant") question.split(/(?= )/).forEach(attend);
    const words = ` You said: ${question} `.split(/(?= )/);
    const ids = [];
    for (const [i, word] of words.slice(0, options.max_new_tokens).entries()) {
      attend(word, i);
      if (i < (options.begin?.length ?? 0)) {
        ids.push(i);
        continue;
      }
      await sleep(this.slow);
      if (this.#cancelled) return { answer: { text: words.slice(0, ids.length).join("").trim(), ids, prompt_ids: rows.map(() => 0), reused_rows, stop: "cancelled" }, timing: {}, report: {} };
      ids.push(i);
      if (/^lose/.test(question) && i === 3 && !options.begin) throw { kind: "gpu-lost", place: "device", message: "the device was lost" };
      const bytes = [...Buffer.from(word)];
      const top = Array.from({ length: options.top_logprobs ?? 0 }, (_, id) => ({ id, logprob: -id - 1, bytes: [97 + id] }));
      onEvent({ type: "token", text: word, count: ids.length, id: i, ...(options.top_logprobs !== undefined && { logprob: { id: i, logprob: -0.5, bytes, top } }) });
    }
    const stop = options.max_new_tokens <= ids.length ? "length" : "eos";
    return { answer: { text: words.slice(0, ids.length).join("").trim(), ids, prompt_ids: rows.map(() => 0), reused_rows, stop }, timing: { first_token_ms: 1, total_ms: 2, tokens_per_second: 3 }, report: { cached: rows.length } };
  }

  async _save_state() {
    return new TextEncoder().encode(JSON.stringify(this.#prompts.at(-1) ?? []));
  }

  /** @param {{ bytes: Uint8Array }} args */
  async _restore_state({ bytes }) {
    this.#prompts.push(JSON.parse(new TextDecoder().decode(bytes)));
    return this.#prompts.at(-1)?.length;
  }
}
