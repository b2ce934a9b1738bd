//! LLaVA-1.5 and its relatives: CLIP or SigLIP tower, connector, LLaMA decoder.
//!
//! [`expected`] lists the tensors under the names of the llava-hf files, which are those of every family here,
//! [`canonical`](super::canonical) translates other spellings, and
//! [`is_skipped`] names what checkpoints hold and the model does not run.

use super::expected::{Component, Expected, Role};
use super::ldp;
use crate::config::{Config, ConnectorKind};

/// Prefix of the vision tower's tensors.
pub const VISION_TOWER: &str = "vision_tower.vision_model.";
/// Prefix of the connector's tensors.
pub const CONNECTOR: &str = "multi_modal_projector.";
/// Prefix of the decoder's tensors, its head excepted.
pub const DECODER: &str = "language_model.model.";
/// The output head; absent where it is tied to [`EMBED_TOKENS`].
pub const LM_HEAD: &str = "language_model.lm_head.weight";
/// The table of token embeddings.
pub const EMBED_TOKENS: &str = "language_model.model.embed_tokens.weight";
/// The decoder's final norm.
pub const NORM: &str = "language_model.model.norm.weight";
/// The patch embedding: a convolution in the checkpoint, a matrix here (see [`Expected::checkpoint_shape`]).
pub const PATCH_EMBEDDING: &str = "vision_tower.vision_model.embeddings.patch_embedding.weight";
/// The embed that ends each row of a map of patches (LLaVA-1.6).
pub const IMAGE_NEWLINE: &str = "image_newline";
/// SigLIP's bias of it.
pub const PATCH_BIAS: &str = "vision_tower.vision_model.embeddings.patch_embedding.bias";
/// The class token's embedding.
pub const CLASS_EMBEDDING: &str = "vision_tower.vision_model.embeddings.class_embedding";
/// The position embeddings, the class token's first where there is one.
pub const POSITION_EMBEDDING: &str = "vision_tower.vision_model.embeddings.position_embedding.weight";
/// The norm before the first block. The name is misspelt in transformers and therefore in every checkpoint.
pub const PRE_LAYRNORM: &str = "vision_tower.vision_model.pre_layrnorm";
/// The norm after the last block.
pub const POST_LAYERNORM: &str = "vision_tower.vision_model.post_layernorm";
/// SigLIP's pooling, which no family runs.
const POOLING: &str = "head.";

/// Names in a block of the vision tower; each is the stem of a `.weight` and a `.bias`.
pub struct VisionBlockNames {
    /// Norm before attention.
    pub layer_norm1: String,
    /// `q`, `k`, `v` and the output projection.
    pub attention: [String; 4],
    /// Norm before the MLP.
    pub layer_norm2: String,
    /// `[F, C]`.
    pub fc1: String,
    /// `[C, F]`.
    pub fc2: String,
}

/// Returns the names in block `i` of the vision tower.
pub fn vision_block(i: u32) -> VisionBlockNames {
    let name = |stem: &str| format!("{VISION_TOWER}encoder.layers.{i}.{stem}");
    VisionBlockNames {
        layer_norm1: name("layer_norm1"),
        attention: ["q_proj", "k_proj", "v_proj", "out_proj"].map(|stem| name(&format!("self_attn.{stem}"))),
        layer_norm2: name("layer_norm2"),
        fc1: name("mlp.fc1"),
        fc2: name("mlp.fc2"),
    }
}

/// Returns the stem of the connector's linear layer `i`, counted from 1.
pub fn connector_linear(i: u32) -> String {
    format!("{CONNECTOR}linear_{i}")
}

/// Names in a block of the decoder.
pub struct DecoderBlockNames {
    /// Norm before attention.
    pub input_layernorm: String,
    /// `q`, `k`, `v` and the output projection.
    pub attention: [String; 4],
    /// Biases of `q`, `k` and `v`, in decoders that have them ([`attention_bias`](crate::config::TextConfig::attention_bias)).
    pub attention_bias: [String; 3],
    /// Norm before the MLP.
    pub post_attention_layernorm: String,
    /// `[F, H]`.
    pub gate_proj: String,
    /// `[F, H]`.
    pub up_proj: String,
    /// `[H, F]`.
    pub down_proj: String,
}

/// Returns the names in block `i` of the decoder.
pub fn decoder_block(i: u32) -> DecoderBlockNames {
    let name = |stem: &str| format!("{DECODER}layers.{i}.{stem}.weight");
    DecoderBlockNames {
        input_layernorm: name("input_layernorm"),
        attention_bias: ["q", "k", "v"].map(|stem| format!("{DECODER}layers.{i}.self_attn.{stem}_proj.bias")),
        attention: ["q_proj", "k_proj", "v_proj", "o_proj"].map(|stem| name(&format!("self_attn.{stem}"))),
        post_attention_layernorm: name("post_attention_layernorm"),
        gate_proj: name("mlp.gate_proj"),
        up_proj: name("mlp.up_proj"),
        down_proj: name("mlp.down_proj"),
    }
}

/// Lists everything that `config` needs, in order of use: vision tower, connector, embeddings, decoder blocks, final
/// norm, head (unless it is tied).
pub fn expected(config: &Config) -> Vec<Expected> {
    let mut list = Vec::new();
    vision_tower(config, &mut list);
    connector(config, &mut list);
    decoder(config, &mut list);
    list
}

fn push(list: &mut Vec<Expected>, component: Component, role: Role, name: impl Into<String>, shape: &[u32]) {
    let (name, shape) = (name.into(), shape.to_vec());
    list.push(Expected { name, checkpoint_shape: shape.clone(), shape, role, component });
}

/// Appends `{stem}.weight [n, k]` and `{stem}.bias [n]`.
fn linear(list: &mut Vec<Expected>, component: Component, stem: &str, n: u32, k: u32) {
    push(list, component, Role::Matrix, format!("{stem}.weight"), &[n, k]);
    push(list, component, Role::Vector, format!("{stem}.bias"), &[n]);
}

fn layer_norm(list: &mut Vec<Expected>, stem: &str, width: u32) {
    for end in ["weight", "bias"] {
        push(list, Component::VisionTower, Role::Vector, format!("{stem}.{end}"), &[width]);
    }
}

fn vision_tower(config: &Config, list: &mut Vec<Expected>) {
    let (v, component) = (&config.vision, Component::VisionTower);
    let (c, f, p) = (v.hidden_size, v.intermediate_size, v.patch_size);
    list.push(Expected {
        name: PATCH_EMBEDDING.to_string(),
        shape: vec![c, v.patch_columns()],
        checkpoint_shape: vec![c, 3, p, p],
        role: Role::Matrix,
        component,
    });
    if v.tower.has_patch_bias() {
        push(list, component, Role::Vector, PATCH_BIAS, &[c]);
    }
    if v.tower.has_class_row() {
        push(list, component, Role::Vector, CLASS_EMBEDDING, &[c]);
    }
    push(list, component, Role::Vector, POSITION_EMBEDDING, &[v.rows(), c]);
    if v.tower.has_pre_norm() {
        layer_norm(list, PRE_LAYRNORM, c);
    }
    for block in (0..config.vision_blocks).map(vision_block) {
        layer_norm(list, &block.layer_norm1, c);
        block.attention.iter().for_each(|stem| linear(list, component, stem, c, c));
        layer_norm(list, &block.layer_norm2, c);
        linear(list, component, &block.fc1, f, c);
        linear(list, component, &block.fc2, c, f);
    }
    if v.post_layernorm {
        layer_norm(list, POST_LAYERNORM, c);
    }
}

fn connector(config: &Config, list: &mut Vec<Expected>) {
    let (c, h) = (config.vision.hidden_size, config.text.hidden_size);
    let component = Component::Connector;
    match config.connector {
        ConnectorKind::Linear => linear(list, component, &connector_linear(1), h, c),
        ConnectorKind::Mlp2x(_) | ConnectorKind::Ldp | ConnectorKind::LdpV2 => {
            linear(list, component, &connector_linear(1), h, c);
            linear(list, component, &connector_linear(2), h, h);
        }
        ConnectorKind::PixelShuffle { factor } => {
            let name = format!("{}.weight", connector_linear(1));
            push(list, component, Role::Matrix, name, &[h, c * factor * factor]);
        }
    }
    if config.has_newline() {
        push(list, component, Role::Vector, IMAGE_NEWLINE, &[h]);
    }
    list.extend(ldp::expected(config));
}

fn decoder(config: &Config, list: &mut Vec<Expected>) {
    let (t, component) = (&config.text, Component::Decoder);
    let (h, f) = (t.hidden_size, t.intermediate_size);
    let (q, kv) = (t.num_attention_heads * t.head_dim, t.num_key_value_heads * t.head_dim);
    push(list, Component::Embeddings, Role::Table, EMBED_TOKENS, &[t.vocab_size, h]);
    for block in (0..t.num_hidden_layers).map(decoder_block) {
        push(list, component, Role::Vector, block.input_layernorm, &[h]);
        for (name, [n, k]) in block.attention.into_iter().zip([[q, h], [kv, h], [kv, h], [h, q]]) {
            push(list, component, Role::Matrix, name, &[n, k]);
        }
        for (name, n) in block.attention_bias.into_iter().zip([q, kv, kv]).filter(|_| t.attention_bias) {
            push(list, component, Role::Vector, name, &[n]);
        }
        push(list, component, Role::Vector, block.post_attention_layernorm, &[h]);
        for (name, [n, k]) in [(block.gate_proj, [f, h]), (block.up_proj, [f, h]), (block.down_proj, [h, f])] {
            push(list, component, Role::Matrix, name, &[n, k]);
        }
    }
    push(list, component, Role::Vector, NORM, &[h]);
    if !t.tie_word_embeddings {
        push(list, Component::Head, Role::Matrix, LM_HEAD, &[t.vocab_size, h]);
    }
}

/// Prefix in a checkpoint → prefix of the canonical name; the first row that fits decides.
///
/// # Source
/// `LlavaForConditionalGeneration` of transformers: hub files keep the names of versions before 4.52; later versions
/// hold (and may save) `model.language_model.*`, `model.vision_tower.*`, `model.multi_modal_projector.*` and
/// `lm_head.weight`, and transformers 5 drops `vision_model.` as well. `LlavaLlamaForCausalLM` of the original code: a
/// LLaMA's own names, `model.mm_projector.*` (an `nn.Sequential` of linear, GELU, linear, or a single linear without
/// a number), and in some copies `model.vision_tower.vision_tower.*`; its tower's own files have `vision_model.*`.
const PREFIXES: [(&str, &str); 25] = [
    ("model.image_newline", IMAGE_NEWLINE),
    ("model.language_model.model.", DECODER),
    ("model.language_model.", DECODER),
    ("lm_head.weight", LM_HEAD),
    ("model.layers.", "language_model.model.layers."),
    ("model.embed_tokens.", "language_model.model.embed_tokens."),
    ("model.norm.", "language_model.model.norm."),
    ("model.vision_tower.vision_tower.vision_model.", VISION_TOWER),
    ("model.vision_tower.vision_tower.", VISION_TOWER),
    ("model.vision_tower.vision_model.", VISION_TOWER),
    ("model.vision_tower.", VISION_TOWER),
    ("vision_tower.vision_tower.vision_model.", VISION_TOWER),
    ("vision_tower.vision_tower.", VISION_TOWER),
    ("vision_tower.vision_model.", VISION_TOWER),
    ("vision_tower.", VISION_TOWER),
    ("vision_model.", VISION_TOWER),
    ("model.multi_modal_projector.", CONNECTOR),
    ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
    ("model.mm_projector.weight", "multi_modal_projector.linear_1.weight"),
    ("model.mm_projector.bias", "multi_modal_projector.linear_1.bias"),
    ("mm_projector.0.", "multi_modal_projector.linear_1."),
    ("mm_projector.2.", "multi_modal_projector.linear_2."),
    ("mm_projector.weight", "multi_modal_projector.linear_1.weight"),
    ("mm_projector.bias", "multi_modal_projector.linear_1.bias"),
];

/// Returns the canonical name of a LLaVA's key. A key of no known layout is returned unchanged: the check of tensors
/// refuses it.
pub(super) fn canonical(key: &str) -> String {
    let layer = key.strip_prefix("model.mm_projector.").or(key.strip_prefix("mm_projector."));
    if let Some(name) = layer.and_then(ldp::canonical) {
        return name;
    }
    let found = PREFIXES.iter().find_map(|(theirs, ours)| Some((key.strip_prefix(theirs)?, ours)));
    found.map_or_else(|| key.to_string(), |(rest, ours)| format!("{ours}{rest}"))
}

/// Whether a key of a whole CLIP or SigLIP belongs to its text tower or to a projection, neither of which LLaVA uses.
pub fn is_clip_text(key: &str) -> bool {
    let unused = ["text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias"];
    unused.iter().any(|start| key.starts_with(start))
}

/// Whether checkpoints legitimately hold `name` (canonical) although `config` does not use it: vision blocks after
/// the selected layer, the tower's last norm or pooling, position counters, rotary tables, a head that is tied.
pub fn is_skipped(config: &Config, name: &str) -> bool {
    if let Some(rest) = name.strip_prefix(VISION_TOWER) {
        if let Some(rest) = rest.strip_prefix("encoder.layers.") {
            let block = rest.split('.').next().and_then(|i| i.parse::<u32>().ok());
            return block.is_some_and(|i| (config.vision_blocks..config.vision.num_hidden_layers).contains(&i));
        }
        let pooling = !config.vision.tower.has_class_row() && rest.starts_with(POOLING);
        return pooling || matches!(rest, "post_layernorm.weight" | "post_layernorm.bias" | "embeddings.position_ids");
    }
    name.starts_with(DECODER) && name.ends_with(".rotary_emb.inv_freq")
        || name == LM_HEAD && config.text.tie_word_embeddings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        Config::parse(json.as_bytes(), None).unwrap()
    }

    /// The published numbers of parameters: 7 063 427 072 for llava-1.5-7b-hf with its whole tower and a
    /// vocabulary of 32064, of which one vision block (12 596 224) and `post_layernorm` (2 048) are not run.
    #[test]
    fn llava_7b_has_its_published_size() {
        let config = config(r#"{"text_config": {"vocab_size": 32064, "rms_norm_eps": 1e-5}}"#);
        let list = expected(&config);
        let parameters: u64 = list.iter().map(Expected::parameters).sum();
        assert_eq!(parameters, 7_063_427_072 - 12_596_224 - 2_048);
        assert!(list.windows(2).all(|w| w[0].component <= w[1].component), "in order of use");
        let patch = list.iter().find(|e| e.name == PATCH_EMBEDDING).unwrap();
        assert_eq!(
            (patch.shape.as_slice(), patch.checkpoint_shape.as_slice()),
            (&[1024, 608][..], &[1024, 3, 14, 14][..])
        );
    }

    #[test]
    fn a_tied_head_and_a_linear_connector_need_less() {
        let tied = config(r#"{"tie_word_embeddings": true, "mm_projector_type": "linear"}"#);
        let names: Vec<String> = expected(&tied).into_iter().map(|e| e.name).collect();
        assert!(!names.iter().any(|n| n == LM_HEAD || n.contains("linear_2")));
        assert!(is_skipped(&tied, LM_HEAD));
        assert!(!is_skipped(&config("{}"), LM_HEAD));
    }

    #[test]
    fn every_layout_of_the_same_model_has_the_same_canonical_names() {
        for (key, name) in [
            ("model.language_model.layers.3.mlp.up_proj.weight", "language_model.model.layers.3.mlp.up_proj.weight"),
            ("language_model.model.norm.weight", "language_model.model.norm.weight"),
            ("model.vision_tower.vision_model.pre_layrnorm.bias", "vision_tower.vision_model.pre_layrnorm.bias"),
            ("model.vision_tower.pre_layrnorm.bias", "vision_tower.vision_model.pre_layrnorm.bias"),
            (
                "vision_tower.vision_model.embeddings.class_embedding",
                "vision_tower.vision_model.embeddings.class_embedding",
            ),
            ("model.multi_modal_projector.linear_1.bias", "multi_modal_projector.linear_1.bias"),
            ("lm_head.weight", LM_HEAD),
            (LM_HEAD, LM_HEAD),
            ("model.layers.0.mlp.up_proj.weight", "language_model.model.layers.0.mlp.up_proj.weight"),
            ("model.embed_tokens.weight", EMBED_TOKENS),
            ("model.mm_projector.0.bias", "multi_modal_projector.linear_1.bias"),
            ("model.mm_projector.2.weight", "multi_modal_projector.linear_2.weight"),
            ("model.mm_projector.weight", "multi_modal_projector.linear_1.weight"),
            ("model.mm_projector.1.weight", "model.mm_projector.1.weight"),
            (
                "model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias",
                "vision_tower.vision_model.pre_layrnorm.bias",
            ),
            ("vision_model.encoder.layers.0.mlp.fc1.bias", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias"),
            ("layers.0.mlp.up_proj.weight", "layers.0.mlp.up_proj.weight"),
            ("model.image_newline", "image_newline"),
        ] {
            assert_eq!(canonical(key), name);
        }
        for e in expected(&config("{}")) {
            assert_eq!(canonical(&e.name), e.name);
        }
    }

    #[test]
    fn only_what_is_known_is_skipped() {
        let config = config("{}");
        let layer = |i: u32| format!("{VISION_TOWER}encoder.layers.{i}.layer_norm1.bias");
        assert!(is_skipped(&config, &layer(23)));
        assert!(!is_skipped(&config, &layer(22)) && !is_skipped(&config, &layer(24)));
        assert!(is_skipped(&config, &format!("{VISION_TOWER}post_layernorm.weight")));
        assert!(!is_skipped(&config, &format!("{VISION_TOWER}post_layernorm.scale")));
        assert!(!is_skipped(&config, &format!("{VISION_TOWER}head.probe")));
        assert!(!is_skipped(&config, "model.image_newline"));
    }
}
