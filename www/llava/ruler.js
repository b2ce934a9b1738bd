// A model of headers only, by which this machine's speed is measured before any model is downloaded: the engine's own
// estimate multiplies one matrix of it, of the size and type that larger models have, and needs no weights for that.

/** Shape of the decoder: a matrix of 2048 × 5632 as q8 (12 MB) is larger than the caches that a tab's share of a
 * machine usually has, as the weights of larger models are. */
const HIDDEN = 2048;
const INNER = 5632;
const VOCABULARY = 64;
/** Shape of the tower: as small as a tower may be. */
const TOWER = 32;
const PATCH = 16;

const text_config = { model_type: "llama", hidden_size: HIDDEN, intermediate_size: INNER, num_hidden_layers: 1, num_attention_heads: 16, num_key_value_heads: 16, vocab_size: VOCABULARY, max_position_embeddings: 256, rms_norm_eps: 1e-5, rope_theta: 1e4, hidden_act: "silu", bos_token_id: 1, eos_token_id: 2 };
const vision_config = { model_type: "clip_vision_model", image_size: PATCH, patch_size: PATCH, hidden_size: TOWER, intermediate_size: TOWER, num_hidden_layers: 2, num_attention_heads: 1, projection_dim: TOWER, hidden_act: "quick_gelu", layer_norm_eps: 1e-5 };
const config = { architectures: ["LlavaForConditionalGeneration"], model_type: "llava", image_token_index: 3, projector_hidden_act: "gelu", vision_feature_layer: -2, vision_feature_select_strategy: "default", tie_word_embeddings: false, text_config, vision_config };
/** Texts of the tokens by id. */
const TOKENS = ["<unk>", "<s>", "</s>", "<image>"];
const added_tokens = TOKENS.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }));
const vocab = Object.fromEntries([...TOKENS, ...Array.from({ length: VOCABULARY - TOKENS.length }, (_, i) => String.fromCharCode(33 + i))].map((token, id) => [token, id]));
const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const tokenizer = { version: "1.0", added_tokens, pre_tokenizer: bytes, decoder: bytes, model: { type: "BPE", vocab, merges: [] } };

/** Returns every tensor of the model with its shape. */
function shapes() {
  /** @type {Record<string, number[]>} */
  const all = {
    "language_model.model.embed_tokens.weight": [VOCABULARY, HIDDEN],
    "language_model.model.norm.weight": [HIDDEN],
    "language_model.lm_head.weight": [VOCABULARY, HIDDEN],
    "vision_tower.vision_model.embeddings.class_embedding": [TOWER],
    "vision_tower.vision_model.embeddings.patch_embedding.weight": [TOWER, 3, PATCH, PATCH],
    "vision_tower.vision_model.embeddings.position_embedding.weight": [2, TOWER],
  };
  const layer = "language_model.model.layers.0.";
  for (const name of ["q", "k", "v", "o"]) all[`${layer}self_attn.${name}_proj.weight`] = [HIDDEN, HIDDEN];
  for (const name of ["gate", "up"]) all[`${layer}mlp.${name}_proj.weight`] = [INNER, HIDDEN];
  all[`${layer}mlp.down_proj.weight`] = [HIDDEN, INNER];
  for (const name of ["input_layernorm", "post_attention_layernorm"]) all[`${layer}${name}.weight`] = [HIDDEN];
  /** @param {string} name @param {number[]} shape */
  const withBias = (name, shape) => Object.assign(all, { [`${name}.weight`]: shape, [`${name}.bias`]: shape.slice(0, 1) });
  withBias("multi_modal_projector.linear_1", [HIDDEN, TOWER]);
  withBias("multi_modal_projector.linear_2", [HIDDEN, HIDDEN]);
  withBias("vision_tower.vision_model.pre_layrnorm", [TOWER]);
  withBias("vision_tower.vision_model.post_layernorm", [TOWER]);
  for (const i of [0, 1]) {
    const block = `vision_tower.vision_model.encoder.layers.${i}.`;
    for (const name of ["layer_norm1", "layer_norm2"]) withBias(block + name, [TOWER]);
    for (const name of ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"]) withBias(block + name, [TOWER, TOWER]);
  }
  return all;
}

/** Returns a file whose length is that of the header and of all tensors, although it holds only the header: the rest is
 * one small blob of zeros, repeated. */
function weights() {
  /** @type {Record<string, object>} */
  const header = {};
  let end = 0;
  for (const [name, shape] of Object.entries(shapes())) {
    const bytes = shape.reduce((product, side) => product * side, 2);
    header[name] = { dtype: "F16", shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(text.length), true);
  const zeros = new Blob([new Uint8Array(1 << 20)]);
  const filling = Array.from({ length: Math.ceil(end / zeros.size) }, (_, i) => zeros.slice(0, Math.min(zeros.size, end - i * zeros.size)));
  return new File([length.buffer, text, ...filling], "model.safetensors");
}

/** Returns the model. @returns {import("../shared/protocol.js").ModelRef} */
export function rulerModel() {
  const json = (/** @type {string} */ name, /** @type {object} */ value) => new File([JSON.stringify(value)], name);
  const files = [json("config.json", config), json("tokenizer.json", tokenizer), weights()];
  return { files: Object.fromEntries(files.map((file) => [file.name, file])), entry: ["config.json"] };
}
