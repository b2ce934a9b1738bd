// The golden models as a visitor would open them: a checkpoint's folder, or a GGUF pair; and what PyTorch computes with them.

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { repository } from "./harness.mjs";

export const GOLDEN = path.join(repository, "tests/golden");

/** @typedef {{ shape: number[], values: Float32Array }} Tensor */

/** The tensors of a safetensors file: floats of 32 bits, and integers; no values of another type.
 * @param {string} file @returns {Promise<Map<string, Float32Array | Int32Array>>} */
export async function readTensors(file) {
  const bytes = await readFile(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  /** @type {Record<string, { dtype: string, data_offsets: [number, number] }>} */
  const header = JSON.parse(bytes.subarray(8, start).toString());
  delete header.__metadata__;
  return new Map(Object.entries(header).map(([name, { dtype, data_offsets: [from, to] }]) => {
    const data = new Uint8Array(bytes.subarray(start + from, dtype.endsWith("32") ? start + to : start + from)).buffer;
    return [name, dtype === "I32" ? new Int32Array(data) : new Float32Array(data)];
  }));
}

/** @param {Map<string, Tensor>} tensors @returns {Buffer} a safetensors file */
function safetensors(tensors) {
  let at = 0;
  const entries = [...tensors].map(([name, { shape, values }]) => [name, { dtype: "F32", shape, data_offsets: [at, (at += values.byteLength)] }]);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...[...tensors.values()].map(({ values }) => Buffer.from(values.buffer))]);
}

/** Integers from -127 to 127: splitmix64 from the name's FNV-1a. @param {string} name @param {number} count */
function uniform(name, count) {
  const word = (/** @type {bigint} */ value) => BigInt.asUintN(64, value);
  let state = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(name)) state = word((state ^ BigInt(byte)) * 0x100000001b3n);
  return Array.from({ length: count }, () => {
    state = word(state + 0x9e3779b97f4a7c15n);
    let z = word((state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = word((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return Number(((z ^ (z >> 31n)) >> 33n) % 255n) - 127;
  });
}

/** The weights of generate_qwen2.py. @param {string} name @param {number[]} shape @returns {Tensor} */
function weight(name, shape) {
  const has = (/** @type {string[]} */ ...parts) => parts.some((part) => name.includes(part));
  const count = shape.reduce((product, side) => product * side, 1);
  const columns = count / (shape[0] ?? 1);
  const embedding = has("class_embedding", "position_embedding");
  const bias = name.endsWith("bias");
  const matrix = shape.length > 1 && !embedding;
  let exponent = has("patch_embedding") ? -12 : has("q_proj", "k_proj", "lm_head") ? -7 : -8;
  if (bias) exponent = has("language_model") ? -6 : -10;
  else if (!matrix && !embedding) exponent = -9;
  const norm = !matrix && !embedding && !bias ? 1 : 0;
  const values = uniform(name, count).map((q, i) => norm + (matrix && (i % columns) % 32 === 0 ? 127 : q) * 2 ** exponent);
  return { shape, values: Float32Array.from(values) };
}

/** @typedef {{ hidden_size: number, intermediate_size: number, num_hidden_layers: number, num_attention_heads: number }} Sizes */
/** @typedef {{ text_config: Sizes & { num_key_value_heads: number, vocab_size: number }, vision_config: Sizes & { image_size: number, patch_size: number }, tie_word_embeddings: boolean }} Config */

/** Every tensor that a LLaVA with a Qwen2 decoder is run with. @param {Config} config */
function qwen2Tensors({ text_config: text, vision_config: vision, tie_word_embeddings }) {
  const [c, d, patch] = [vision.hidden_size, text.hidden_size, vision.patch_size];
  const kv = (d / text.num_attention_heads) * text.num_key_value_heads;
  /** @type {Map<string, Tensor>} */ const tensors = new Map();
  const add = (/** @type {string} */ name, /** @type {number[]} */ ...shape) => tensors.set(name, weight(name, shape));
  /** @param {string} name @param {number} rows @param {number} [columns] none for a norm */
  const both = (name, rows, columns) => {
    add(`${name}.weight`, rows, ...(columns ? [columns] : []));
    add(`${name}.bias`, rows);
  };
  const tower = "vision_tower.vision_model.";
  add(`${tower}embeddings.class_embedding`, c);
  add(`${tower}embeddings.patch_embedding.weight`, c, 3, patch, patch);
  add(`${tower}embeddings.position_embedding.weight`, (vision.image_size / patch) ** 2 + 1, c);
  both(`${tower}pre_layrnorm`, c);
  for (let i = 0; i < vision.num_hidden_layers; i++) {
    const layer = `${tower}encoder.layers.${i}.`;
    for (const part of ["q_proj", "k_proj", "v_proj", "out_proj"]) both(`${layer}self_attn.${part}`, c, c);
    for (const part of ["layer_norm1", "layer_norm2"]) both(layer + part, c);
    both(`${layer}mlp.fc1`, vision.intermediate_size, c);
    both(`${layer}mlp.fc2`, c, vision.intermediate_size);
  }
  both("multi_modal_projector.linear_1", d, c);
  both("multi_modal_projector.linear_2", d, d);
  const decoder = "language_model.model.";
  add(`${decoder}embed_tokens.weight`, text.vocab_size, d);
  for (let i = 0; i < text.num_hidden_layers; i++) {
    const layer = `${decoder}layers.${i}.`;
    both(`${layer}self_attn.q_proj`, d, d);
    for (const part of ["k_proj", "v_proj"]) both(`${layer}self_attn.${part}`, kv, d);
    add(`${layer}self_attn.o_proj.weight`, d, d);
    for (const part of ["gate_proj", "up_proj"]) add(`${layer}mlp.${part}.weight`, text.intermediate_size, d);
    add(`${layer}mlp.down_proj.weight`, d, text.intermediate_size);
    for (const part of ["input_layernorm", "post_attention_layernorm"]) add(`${layer}${part}.weight`, d);
  }
  add(`${decoder}norm.weight`, d);
  if (!tie_word_embeddings) add("language_model.lm_head.weight", text.vocab_size, d);
  return tensors;
}

/** A picture file (BMP) of pixel values [3, side, side], normalised with mean and deviation 0.5.
 * @param {Float32Array} pixels @param {number} side */
function bitmap(pixels, side) {
  const stride = Math.ceil((side * 3) / 4) * 4;
  const bytes = Buffer.alloc(54 + stride * side);
  bytes.write("BM");
  const fields = /** @type {const} */ ([[2, bytes.length], [10, 54], [14, 40], [18, side], [22, side], [26, 1 | (24 << 16)]]);
  for (const [at, value] of fields) bytes.writeInt32LE(value, at);
  for (const [i, value] of pixels.entries()) {
    const [channel, y, x] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side];
    // From below, and blue first.
    bytes[54 + (side - 1 - y) * stride + x * 3 + 2 - channel] = Math.round((value * 0.5 + 0.5) * 255);
  }
  return bytes;
}

/**
 * @typedef {object} Family
 * @property {string} name  of the folder that it is written into
 * @property {string} layout
 * @property {string[]} entry  the files that a visitor names
 * @property {string} picture
 * @property {string} question
 * @property {string} [template]  where PyTorch was asked by another one than the model's own
 * @property {string} golden  a file of PyTorch's results
 * @property {string} label  the case in it: what its names begin with
 * @property {number[]} [steps]  whose logits it has, unless it has the first ones
 * @property {"q8" | "q4"} [exact]  the type that its matrices fit exactly, where their rows fit it at all
 */

const [WIDE, LOOK] = ["wide.png", "what is in the picture?"];
const CHECKPOINT = { layout: "checkpoint", entry: ["config.json"], picture: WIDE, question: LOOK };
const WITHOUT_SYSTEM = { ...CHECKPOINT, template: "llava_hf" };

/** @type {Family[]} */
export const FAMILIES = [
  { ...CHECKPOINT, name: "smolvlm", golden: "smolvlm_prompts/golden.safetensors", label: "wide.", exact: "q8" },
  { ...WITHOUT_SYSTEM, name: "siglip", golden: "siglip/golden.safetensors", label: "one.", picture: "siglip.bmp", question: "what?", exact: "q8" },
  { ...WITHOUT_SYSTEM, name: "next", layout: "checkpoint of two files", golden: "next/golden.safetensors", label: "wide.", exact: "q4" },
  { ...CHECKPOINT, name: "qwen2", golden: "qwen2/odd.safetensors", label: "one.", picture: "square.png", steps: [0, 10, 20, 31] },
  { name: "qwen2-pair", layout: "GGUF, Q8_0", entry: ["even-mmproj.gguf", "even.gguf"], golden: "qwen2/even.safetensors", label: "one.", picture: "square.png", question: LOOK, steps: [0, 10, 20, 31] },
  { ...WITHOUT_SYSTEM, name: "ldp", layout: "original, tower beside", golden: "ldp/golden.safetensors", label: "" },
  { ...WITHOUT_SYSTEM, name: "ldpv2", layout: "original, tower inside", golden: "ldpv2/golden.safetensors", label: "" },
];

/** Writes all of them and their pictures into a folder. @param {string} models */
export async function writeFamilies(models) {
  const from = (/** @type {string[]} */ ...parts) => path.join(GOLDEN, ...parts);
  const to = (/** @type {string[]} */ ...parts) => path.join(models, ...parts);
  for (const name of ["smolvlm", "siglip", "ldp", "ldpv2"]) await cp(from(name), to(name), { recursive: true });
  await mkdir(to("qwen2-pair"));
  for (const name of ["even.gguf", "even-mmproj.gguf"]) await cp(from("qwen2", name), to("qwen2-pair", name));
  await mkdir(to("qwen2"));
  const config = await readFile(from("qwen2/odd.json"), "utf8");
  await writeFile(to("qwen2/config.json"), config);
  await writeFile(to("qwen2/model.safetensors"), safetensors(qwen2Tensors(JSON.parse(config))));
  await cp(from("qwen2/tokenizer.json"), to("qwen2/tokenizer.json"));
  await mkdir(to("next"));
  for (const name of ["config.json", "preprocessor_config.json"]) await cp(from("next", name), to("next", name));
  for (const name of ["tokenizer.json", "generation_config.json"]) await cp(from("mha", name), to("next", name));
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  await cp(from("mha/model.safetensors"), to("next", first));
  await cp(from("next/newline.safetensors"), to("next", second));
  const names = [...(await readTensors(from("mha/model.safetensors"))).keys()];
  const weight_map = { ...Object.fromEntries(names.map((name) => [name, first])), image_newline: second };
  await writeFile(to("next/model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
  await cp(from(WIDE), to(WIDE));
  await cp(from("qwen2/square.png"), to("square.png"));
  const pixels = (await readTensors(from("siglip/golden.safetensors"))).get("wide.pixel_values");
  if (!(pixels instanceof Float32Array)) throw new Error("siglip has no picture");
  await writeFile(to("siglip.bmp"), bitmap(pixels, Math.sqrt(pixels.length / 3)));
}
