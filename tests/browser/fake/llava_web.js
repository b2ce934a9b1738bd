// A stand-in for the wasm module that does on demand what a real engine cannot: be slow, crash, lose its GPU, run out
// of context. It has the same class and events, and "answers" by repeating the question. Only tests serve it (see
// `rootWith` in harness.mjs).

export default async function init() {
  return { memory: new WebAssembly.Memory({ initial: 1 }) };
}

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Types of weights that the page measures. */
const RULER = ["q8", "q4"];
/** Bytes of a header that are read before the rest of a file. */
const HEADER = 4096;

/** @typedef {import("../../../www/shared/protocol.js").Message} Message */

/** @param {Message[]} messages */
const imagesOf = (messages) => messages.flatMap(({ parts }) => parts.flatMap((part) => ("image" in part ? part.image : [])));
/** @param {Message | undefined} message */
const textOf = (message) => message?.parts.flatMap((part) => ("text" in part ? part.text : [])).join("") ?? "";

export class Llava {
  #pushed = new Set();
  #compiled = 0;
  #busy = false;
  #context = 512;
  #cancelled = false;
  /** Questions that were prefilled. @type {string[]} */
  #drafts = [];
  /** Ids of the pictures on the device. @type {Set<string>} */
  #resident = new Set();
  /** Ids of its own answers, by their text. @type {Map<string, number[]>} */
  #answers = new Map();
  #used = 0;
  #probes = 0;
  #plan = /** @type {any} */ (null);
  #tuning = "";

  /** @param {{ backend: string }} options */
  static async create({ backend }) {
    const llava = new Llava();
    llava.backend = backend === "cpu" ? "cpu" : "webgpu";
    return llava;
  }

  backend = "webgpu";

  /** The manifest is the plan, but for what follows from it. A manifest may name further files to be read.
   * @param {string[]} entry
   * @param {{ size: (file: string) => Promise<number | null>,
   *   read: (file: string, offset: number, bytes: number) => Promise<Uint8Array> }} source
   * @param {{ tuning?: string, quant?: string, longest_edge?: number, prompt_template?: string }} options */
  async plan(entry, { size, read }, { tuning, quant, longest_edge, prompt_template }) {
    if (longest_edge) this.#plan = { ...this.#plan, longest_edge };
    if (quant && !longest_edge) return this.#choose(quant);
    if (longest_edge) return this.#plan;
    this.#tuning = tuning ?? "";
    const file = entry.find((name) => name.endsWith(".json")) ?? entry[0] ?? "";
    const bytes = await size(file);
    if (bytes === null) throw { kind: "manifest", place: file, message: "there is none", hint: "" };
    // A stand-in for GGUF: a line of JSON at the beginning, whose length is read first.
    let text = "";
    for (let length = file.endsWith(".gguf") ? HEADER : bytes; ; length += HEADER) {
      text = new TextDecoder().decode(await read(file, 0, length)).split("\0")[0] ?? "";
      if (length >= bytes || text.endsWith("}")) break;
    }
    const plan = JSON.parse(text);
    // The model of headers by which the page measures the machine (llava/ruler.js).
    if (plan.model_type) return (this.#plan = { name: "ruler", parts: [], total_bytes: 0, bytes_per_token: 1e8, choices: RULER.map((quant) => ({ quant, memory: 0 })), memory: {} });
    for (const name of plan.also ?? []) await read(name, 0, Math.min(HEADER, (await size(name)) ?? 0));
    if (plan.absent && (await size(plan.absent)) !== null) throw { kind: "manifest", place: plan.absent, message: "is there", hint: "" };
    this.#plan = { ...plan, ...(prompt_template && { notes: [`template ${prompt_template}`] }) };
    return this.#plan;
  }

  /** A plan may list what can be chosen, and what a trial of each says. @param {string} name */
  async #choose(name) {
    const found = this.#plan.choices.find((/** @type {any} */ choice) => (choice.quant ?? "exact") === name);
    if (this.#busy || !found) throw { kind: "state", place: "plan", message: `busy, or no choice: ${name}` };
    this.#plan = { ...this.#plan, quant: found.quant, memory: { ...this.#plan.memory, total: found.memory }, probe: found.probe };
    return this.#plan;
  }

  async probe() {
    this.#probes++;
    await sleep(20);
    return this.#plan[`probe_${this.backend}`] ?? this.#plan.probe ?? { decode_tokens_per_second: 9.5, prefill_rows_per_second: 300, fits: true, message: "It fits." };
  }

  /** What is called while another call runs is refused, as by the engine. @template T @param {() => Promise<T>} work */
  async #exclusive(work) {
    if (this.#busy) throw { kind: "state", place: "engine", message: "busy: another call is running" };
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  compile() {
    return this.#exclusive(async () => {
      const total = this.#plan.shaders ?? 0;
      await sleep(this.#plan.compile_ms ?? 0);
      if (this.#compiled === this.#plan.bad_shader) throw { kind: "gpu", place: "shader", message: "the driver refuses it", hint: "" };
      this.#compiled = Math.min(total, this.#compiled + 1);
      return { done: this.#compiled, total };
    });
  }

  /** @param {number} index @param {Uint8Array} bytes */
  push(index, bytes) {
    return this.#exclusive(() => this.#push(index, bytes));
  }

  /** @param {number} index @param {Uint8Array} bytes */
  async #push(index, bytes) {
    const part = this.#plan.parts[index];
    if (bytes.length !== part.bytes) throw { kind: "crash", place: part.file, message: `${bytes.length} bytes were pushed for ${part.bytes}` };
    if (bytes[0] === 0xff) throw { kind: "shard", place: part.file, message: "its SHA-256 is not the manifest's", hint: "Fetch it again." };
    if (part.sum !== undefined && part.sum !== bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 0)) {
      throw { kind: "shard", place: part.file, message: `part ${index} is not what it was`, hint: "Fetch it again." };
    }
    if (this.#plan.push_ms) await sleep(this.#plan.push_ms);
    this.#pushed.add(index);
  }

  /** @param {number} [context] */
  async finish(context) {
    if (this.#busy) throw { kind: "state", place: "finish", message: "busy: another call is running" };
    if (this.#compiled < (this.#plan.shaders ?? 0)) throw { kind: "state", place: "finish", message: `${this.#compiled} shaders are compiled` };
    if (this.#pushed.size !== this.#plan.parts.length) throw { kind: "state", place: "finish", message: `${this.#pushed.size} parts of ${this.#plan.parts.length} were pushed` };
    this.#context = context ?? 512;
  }

  /** The chosen size of pictures. */
  get #size() {
    return this.#plan.picture_sizes?.find((/** @type {any} */ { longest_edge }) => longest_edge === this.#plan.longest_edge);
  }

  report() {
    const notes = this.#plan?.quant ? [`loaded as ${this.#plan.quant}`] : (this.#plan?.notes ?? []);
    return { notes, backend: this.backend, adapter: "a fake", context: this.#context, cached: this.#used, tuning: this.backend === "webgpu" ? { lanes: 8, given: this.#tuning } : null };
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes @param {string[]} _needed @param {(event: object) => void} onEvent */
  encode(bytes, _needed, onEvent) {
    return this.#exclusive(async () => {
      this.#cancelled = false;
      if (bytes.length < 8) throw { kind: "image", place: "image", message: "not a PNG, JPEG, WebP, GIF or BMP", hint: "Choose another file." };
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      const id = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      const tiles = this.#size?.tiles ?? 1;
      const encoded = { id, width: 64, height: 64, rows: 16, tiles, reused: this.#resident.has(id), cancelled: false };
      const total = encoded.reused ? 0 : (this.#size?.tiles ?? 10);
      for (let done = 0; done <= total && total; done++) {
        onEvent({ type: "encode", done, total });
        if (done < total) await sleep(this.#plan.slow ?? 5);
        if (this.#cancelled) return { ...encoded, cancelled: true };
      }
      this.#resident.add(id);
      return encoded;
    });
  }

  /** @param {Message[]} messages */
  missing_pictures(messages) {
    return [...new Set(imagesOf(messages).filter((id) => !this.#resident.has(id)))];
  }

  /** Refuses what the context has no room for, and pictures that are not there. @param {Message[]} messages */
  #check(messages) {
    const [images, places] = [imagesOf(messages), this.#plan.places ?? 8];
    if (images.length > places) throw { kind: "context-full", place: "context", message: `all ${places} places for pictures are in use`, hint: "start a new conversation" };
    const [missing] = this.missing_pictures(messages);
    if (missing) throw { kind: "prompt", place: "messages", message: `the picture ${missing} is not on the device` };
  }

  /** @param {Message[]} messages */
  prefill(messages) {
    return this.#exclusive(async () => {
      this.#check(messages);
      const question = textOf(messages.at(-1));
      // On a busy machine the question for the drafts is prefilled, too, before it is sent.
      if (question && question !== "drafts?") this.#drafts.push(question);
      return this.#drafts.length;
    });
  }

  /** @param {object} _options @param {(line: string) => void} onLine */
  async bench(_options, onLine) {
    if (this.#plan.wrong) throw { kind: "gpu", place: "check", message: "matmul computes wrongly", hint: "nothing was timed" };
    ["backend,part,what", "webgpu,stage,decode"].forEach(onLine);
  }

  /** What it reads before a question: the answers as ids where they are its own, else as text. @param {Message[]} messages */
  #turns(messages) {
    return messages.flatMap((message, i) => {
      if (message.role !== "assistant") return [];
      const [question, text] = [messages[i - 1], textOf(message)];
      const ids = this.#answers.get(text);
      return { question: textOf(question), images: imagesOf(question ? [question] : []).length, ...(ids ? { ids } : { text }) };
    });
  }

  /** @param {Message[]} messages @param {{ max_new_tokens: number, begin?: number[], attention?: boolean }} options
   * @param {(event: any) => void} onEvent */
  generate(messages, options, onEvent) {
    return this.#exclusive(async () => {
      this.#check(messages);
      const attend = options.attention ? this.#attends(messages, onEvent) : () => {};
      const last = messages.at(-1);
      if (last?.role === "assistant") {
        textOf(last).split(/(?= )/).forEach(attend);
        return { text: "", ids: [], prompt_ids: Array(20).fill(0), reused_rows: 20, stop: "length" };
      }
      const question = textOf(messages.at(-1));
      const turns = this.#turns(messages);
      const answer = await this.#answer(question, `${imagesOf(messages).length} image, turn ${turns.length + 1}`, options, (event) => {
        if (event.type === "token") attend(event.text, event.count - 1);
        onEvent(event);
      });
      if (question === "what is held") answer.text = JSON.stringify({ turns, pending: imagesOf(messages.slice(-1)).length });
      this.#answers.set(answer.text, answer.ids);
      return answer;
    });
  }

  /** Every picture has 4 × 4 rows. Word n looks at row n of the last picture, in the second of two layers at the row
   * behind it, and with half of its attention at the text. @param {Message[]} messages @param {(event: any) => void} onEvent */
  #attends(messages, onEvent) {
    const images = imagesOf(messages);
    const regions = Array.from({ length: 16 }, (_, i) => ({ x: (i % 4) * 16, y: Math.floor(i / 4) * 16, width: 16, height: 16 }));
    onEvent({ type: "attention-pictures", pictures: images.map((id) => ({ id, width: 64, height: 64, positions: regions.map((_, i) => i), regions })) });
    return (/** @type {string} */ text, /** @type {number} */ index) => {
      const weights = new Float32Array(2 * 16 * images.length);
      for (const layer of [0, 1]) if (images.length) weights[(layer + 1) * 16 * images.length - 16 + ((index + layer) % 16)] = 0.5;
      onEvent({ type: "attention", index, id: index, text, layers: 2, weights: new Uint8Array(weights.buffer), rest: [0.5, 0.5] });
    };
  }

  /** @param {string} question @param {string} about @param {{ max_new_tokens: number, begin?: number[] }} options
   * @param {(event: any) => void} onEvent */
  async #answer(question, about, options, onEvent) {
    this.#cancelled = false;
    if (question === "panic") {
      /** @type {any} */ (globalThis).llavaPanic = "panicked at src/engine/mod.rs:1: no";
      queueMicrotask(() => {
        throw new WebAssembly.RuntimeError("unreachable");
      });
      return new Promise(() => {});
    }
    if (question === "gpu") throw { kind: "gpu", place: "device", message: "the device was lost", hint: "Restart the model." };
    if (question === "full") throw { kind: "context-full", place: "prompt", message: "600 tokens do not fit in 512", hint: "Begin a new chat." };
    if (question === "size?") question = `${this.#plan.longest_edge} after ${this.#probes} probes`;
    if (question === "drafts?") question = this.#drafts.join("/");
    onEvent({ type: "prefill", done: 20, total: 20 });
    const words = `You asked: ${question} (${about})`.split(/(?= )/).slice(0, options.max_new_tokens);
    const ids = [...(options.begin ?? [])];
    let text = words.slice(0, ids.length).join("");
    // "lose 3" loses the GPU after three words, "lose 3 always" on every new GPU too.
    const [, after, always] = /^lose (\d+)( always)?/.exec(question) ?? [];
    const loseAt = after && (always || !ids.length) ? ids.length + Number(after) : Infinity;
    for (const word of words.slice(ids.length)) {
      if (ids.length >= loseAt) throw { kind: "gpu-lost", place: "device", message: "the device was lost: the driver was reset", hint: "Retry." };
      await sleep(this.#plan.slow ?? 5);
      if (this.#cancelled) break;
      text += word;
      ids.push(ids.length);
      onEvent({ type: "token", text: word, count: ids.length, id: ids.length - 1 });
    }
    this.#used += ids.length;
    return { text, ids, prompt_ids: Array(20).fill(0), reused_rows: 16, stop: this.#cancelled ? "cancelled" : "eos" };
  }

  cancel() {
    this.#cancelled = true;
  }

  /** @param {number} longest_edge */
  set_longest_edge(longest_edge) {
    if (this.#busy) throw { kind: "state", place: "set_longest_edge", message: "busy: another call is running" };
    this.#plan = { ...this.#plan, longest_edge };
    if (!this.#size) throw { kind: "argument", place: "longest edge", message: `${longest_edge} is not offered` };
    this.#resident.clear();
    this.#used = 0;
  }
}
