// A stand-in for the wasm module, for what a real engine cannot be made to do on demand: be slow, crash,
// lose its GPU, run out of context. Same class, same events; it "answers" by repeating the question.
// Only tests serve it (see `rootWith` in harness.mjs); it is no part of the page.

export default async function init() {}

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Llava {
  #cancelled = false;
  #turns = 0;
  #images = 0;
  #used = 0;
  #plan = /** @type {any} */ (null);

  /** @param {{ backend: string }} options */
  static async create({ backend }) {
    const llava = new Llava();
    llava.backend = backend === "cpu" ? "cpu" : "webgpu";
    return llava;
  }

  backend = "webgpu";

  /** @param {Uint8Array} manifest */
  async plan(manifest) {
    this.#plan = JSON.parse(new TextDecoder().decode(manifest));
    return this.#plan;
  }

  /** @param {number} index @param {Uint8Array} bytes */
  async push(index, bytes) {
    const part = this.#plan.parts[index];
    if (bytes[0] === 0xff) throw { kind: "shard", place: part.file, message: "its SHA-256 is not the manifest's", hint: "Fetch it again." };
  }

  async finish() {}

  report() {
    return { backend: this.backend, adapter: "a fake", context: 512, cached: this.#used, turns: this.#turns };
  }

  /** @param {Uint8Array} bytes @param {(event: object) => void} onEvent */
  async encode(bytes, onEvent) {
    this.#cancelled = false;
    if (bytes.length < 8) throw { kind: "image", place: "image", message: "not a PNG, JPEG, WebP, GIF or BMP", hint: "Choose another file." };
    for (let done = 0; done <= 10; done++) {
      onEvent({ type: "encode", done, total: 10 });
      await sleep(this.#plan.slow ?? 5);
      if (this.#cancelled) return { width: 64, height: 64, rows: 16, reused: false, cancelled: true };
    }
    this.#images = 1;
    return { width: 64, height: 64, rows: 16, reused: false, cancelled: false };
  }

  /** @param {string} question @param {{ max_new_tokens: number }} options @param {(event: any) => void} onEvent */
  async generate(question, options, onEvent) {
    this.#cancelled = false;
    if (question === "panic") {
      /** @type {any} */ (globalThis).llavaPanic = "panicked at src/engine.rs:1: no";
      queueMicrotask(() => {
        throw new WebAssembly.RuntimeError("unreachable");
      });
      return new Promise(() => {});
    }
    if (question === "lost") throw { kind: "gpu", place: "device", message: "the device was lost", hint: "Restart the model." };
    if (question === "full") throw { kind: "context-full", place: "prompt", message: "600 tokens do not fit in 512", hint: "Begin a new chat." };
    const words = `You asked: ${question} (${this.#images} image, turn ${this.#turns + 1})`.split(/(?= )/).slice(0, options.max_new_tokens);
    let text = "";
    const ids = [];
    for (const word of words) {
      await sleep(this.#plan.slow ?? 5);
      if (this.#cancelled) break;
      text += word;
      ids.push(ids.length);
      onEvent({ type: "token", text: word, count: ids.length });
    }
    this.#turns += 1;
    this.#used += ids.length;
    return { text, ids, prompt_ids: Array(20).fill(0), reused_rows: 16, stop: this.#cancelled ? "cancelled" : "eos" };
  }

  cancel() {
    this.#cancelled = true;
  }

  /** @param {number} turns */
  truncate(turns) {
    this.#turns = turns;
  }

  reset() {
    this.#turns = this.#images = this.#used = 0;
  }
}
