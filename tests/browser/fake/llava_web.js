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
export class Llava {
  #pushed = new Set();
  #compiled = 0;
  #busy = false;
  #context = 512;
  #cancelled = false;
  /** Turns with their numbers of pictures.
   * @type {{ question: string, images: number, ids?: number[], text?: string }[]} */
  #turns = [];
  /** Questions that were prefilled. @type {string[]} */
  #drafts = [];
  /** Pictures of the next question. */
  #pending = 0;
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

  /** @param {{ question: string, images: number, ids?: number[], text?: string }[]} turns */
  restore(turns) {
    const images = turns.reduce((sum, { images }) => sum + images, 0);
    if (images > this.#pending) throw { kind: "argument", place: "restore", message: `the turns have ${images} pictures; ${this.#pending} were encoded` };
    this.#pending -= images;
    this.#turns.push(...turns);
  }

  /** The chosen size of pictures. */
  get #size() {
    return this.#plan.picture_sizes?.find((/** @type {any} */ { longest_edge }) => longest_edge === this.#plan.longest_edge);
  }

  get #images() {
    return this.#turns.reduce((sum, { images }) => sum + images, this.#pending);
  }

  report() {
    const notes = this.#plan?.quant ? [`loaded as ${this.#plan.quant}`] : (this.#plan?.notes ?? []);
    return { notes, backend: this.backend, adapter: "a fake", context: this.#context, cached: this.#used, turns: this.#turns.length, tuning: this.backend === "webgpu" ? { lanes: 8, given: this.#tuning } : null };
  }

  /** @param {Uint8Array} bytes @param {(event: object) => void} onEvent */
  async encode(bytes, onEvent) {
    this.#cancelled = false;
    if (bytes.length < 8) throw { kind: "image", place: "image", message: "not a PNG, JPEG, WebP, GIF or BMP", hint: "Choose another file." };
    const total = this.#size?.tiles ?? 10;
    const encoded = { width: 64, height: 64, rows: 16, tiles: this.#size?.tiles ?? 1, reused: false };
    for (let done = 0; done <= total; done++) {
      onEvent({ type: "encode", done, total });
      if (done < total) await sleep(this.#plan.slow ?? 5);
      if (this.#cancelled) return { ...encoded, cancelled: true };
    }
    if (this.#images >= (this.#plan.places ?? 8)) throw { kind: "context-full", place: "image", message: `all ${this.#images} places for pictures are in use`, hint: "start a new conversation" };
    this.#pending += 1;
    return { ...encoded, cancelled: false };
  }

  /** @param {string} question */
  async prefill(question) {
    this.#drafts.push(question);
    return this.#drafts.length;
  }

  /** @param {object} _options @param {(line: string) => void} onLine */
  async bench(_options, onLine) {
    if (this.#plan.wrong) throw { kind: "gpu", place: "check", message: "matmul computes wrongly", hint: "nothing was timed" };
    ["backend,part,what", "webgpu,stage,decode"].forEach(onLine);
  }

  /** @param {string} question @param {{ max_new_tokens: number, begin?: number[] }} options
   * @param {(event: any) => void} onEvent */
  async generate(question, options, onEvent) {
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
    const words = `You asked: ${question} (${this.#images} image, turn ${this.#turns.length + 1})`.split(/(?= )/).slice(0, options.max_new_tokens);
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
    if (question === "what is held") text = JSON.stringify({ turns: this.#turns, pending: this.#pending });
    this.#turns.push({ question, images: this.#pending, ids });
    this.#pending = 0;
    this.#used += ids.length;
    return { text, ids, prompt_ids: Array(20).fill(0), reused_rows: 16, stop: this.#cancelled ? "cancelled" : "eos" };
  }

  cancel() {
    this.#cancelled = true;
  }

  /** @param {number} turns */
  truncate(turns) {
    const [removed] = this.#turns.splice(turns);
    if (removed) this.#pending = removed.images;
  }

  /** @param {number} longest_edge */
  set_longest_edge(longest_edge) {
    if (this.#busy) throw { kind: "state", place: "set_longest_edge", message: "busy: another call is running" };
    this.#plan = { ...this.#plan, longest_edge };
    if (!this.#size) throw { kind: "argument", place: "longest edge", message: `${longest_edge} is not offered` };
    this.reset();
  }

  reset() {
    this.#turns = [];
    this.#pending = this.#used = 0;
  }
}
