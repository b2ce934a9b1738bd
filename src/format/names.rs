//! Which tensors a configuration needs: names, shapes, roles, in the order in which inference uses them.
//!
//! Canonical names are those of the llava-hf files on the hub. Checkpoints that were saved with other names
//! (the in-memory names of newer transformers) are translated by [`canonical`]; what a model has but does not
//! run (later vision blocks, `post_layernorm`) is known by [`is_skipped`], so that everything else unknown can
//! be refused.

use crate::config::{Config, ConnectorKind};
use crate::quant::GROUP;
use serde::Serialize;

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
/// The patch embedding: a convolution in the checkpoint, a matrix here (see [`Expected::checkpoint_shape`]).
pub const PATCH_EMBEDDING: &str = "vision_tower.vision_model.embeddings.patch_embedding.weight";

/// What a tensor is to the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `[N, K]`, multiplied with activations; stored as blocks in any weight type.
    Matrix,
    /// `[V, H]`, rows are looked up (and multiplied with, where the head is tied); stored like a matrix.
    Table,
    /// Added or multiplied elementwise (norms, biases, class and position embeddings); stored as f32 rows.
    Vector,
}

/// Where a tensor is used, in order of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// CLIP.
    VisionTower,
    /// Image features → image embeds.
    Connector,
    /// Token embeddings.
    Embeddings,
    /// Decoder blocks and the final norm.
    Decoder,
    /// Logits.
    Head,
}

/// A tensor that a configuration needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Canonical (hub) name.
    pub name: String,
    /// Shape as stored in shards. Differs from `checkpoint_shape` for the patch embedding only.
    pub shape: Vec<u32>,
    /// Shape in the checkpoint. The patch embedding `[C, 3, p, p]` becomes `[C, 3·p·p]`, filled up with zero
    /// columns to a multiple of 32, so that every weight type fits.
    pub checkpoint_shape: Vec<u32>,
    /// What it is.
    pub role: Role,
    /// Where it is used.
    pub stage: Stage,
}

impl Expected {
    /// Number of parameters, padding not counted.
    pub fn parameters(&self) -> u64 {
        self.checkpoint_shape.iter().map(|&n| u64::from(n)).product()
    }
}

/// Columns of the patch embedding as stored: `3·p·p` rounded up to a multiple of 32 (588 → 608).
pub fn patch_columns(patch_size: u32) -> u32 {
    (3 * patch_size * patch_size).next_multiple_of(GROUP)
}

/// Everything `config` needs, in order of use: vision tower, connector, embeddings, decoder blocks, final norm,
/// head (unless it is tied).
pub fn expected(config: &Config) -> Vec<Expected> {
    let mut list = Vec::new();
    vision_tower(config, &mut list);
    connector(config, &mut list);
    decoder(config, &mut list);
    list
}

fn push(list: &mut Vec<Expected>, stage: Stage, role: Role, name: String, shape: &[u32]) {
    list.push(Expected { name, shape: shape.to_vec(), checkpoint_shape: shape.to_vec(), role, stage });
}

/// `{name}.weight [n, k]` and `{name}.bias [n]`.
fn linear(list: &mut Vec<Expected>, stage: Stage, name: &str, n: u32, k: u32) {
    push(list, stage, Role::Matrix, format!("{name}.weight"), &[n, k]);
    push(list, stage, Role::Vector, format!("{name}.bias"), &[n]);
}

fn layer_norm(list: &mut Vec<Expected>, name: &str, width: u32) {
    for part in ["weight", "bias"] {
        push(list, Stage::VisionTower, Role::Vector, format!("{name}.{part}"), &[width]);
    }
}

fn vision_tower(config: &Config, list: &mut Vec<Expected>) {
    let (v, stage) = (&config.vision, Stage::VisionTower);
    let (c, f, p) = (v.hidden_size, v.intermediate_size, v.patch_size);
    list.push(Expected {
        name: PATCH_EMBEDDING.to_string(),
        shape: vec![c, patch_columns(p)],
        checkpoint_shape: vec![c, 3, p, p],
        role: Role::Matrix,
        stage,
    });
    push(list, stage, Role::Vector, format!("{VISION_TOWER}embeddings.class_embedding"), &[c]);
    let position = format!("{VISION_TOWER}embeddings.position_embedding.weight");
    push(list, stage, Role::Vector, position, &[v.patches() + 1, c]);
    // The name is misspelt in transformers and therefore in every checkpoint.
    layer_norm(list, &format!("{VISION_TOWER}pre_layrnorm"), c);
    for i in 0..config.vision_blocks {
        let block = format!("{VISION_TOWER}encoder.layers.{i}");
        layer_norm(list, &format!("{block}.layer_norm1"), c);
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            linear(list, stage, &format!("{block}.self_attn.{projection}"), c, c);
        }
        layer_norm(list, &format!("{block}.layer_norm2"), c);
        linear(list, stage, &format!("{block}.mlp.fc1"), f, c);
        linear(list, stage, &format!("{block}.mlp.fc2"), c, f);
    }
}

fn connector(config: &Config, list: &mut Vec<Expected>) {
    let (c, h) = (config.vision.hidden_size, config.text.hidden_size);
    linear(list, Stage::Connector, &format!("{CONNECTOR}linear_1"), h, c);
    if matches!(config.connector, ConnectorKind::Mlp2x(_)) {
        linear(list, Stage::Connector, &format!("{CONNECTOR}linear_2"), h, h);
    }
}

fn decoder(config: &Config, list: &mut Vec<Expected>) {
    let (t, stage) = (&config.text, Stage::Decoder);
    let (h, f) = (t.hidden_size, t.intermediate_size);
    let (q, kv) = (t.num_attention_heads * t.head_dim, t.num_key_value_heads * t.head_dim);
    push(list, Stage::Embeddings, Role::Table, EMBED_TOKENS.to_string(), &[t.vocab_size, h]);
    for i in 0..t.num_hidden_layers {
        let block = format!("{DECODER}layers.{i}");
        push(list, stage, Role::Vector, format!("{block}.input_layernorm.weight"), &[h]);
        for (name, n, k) in [("q_proj", q, h), ("k_proj", kv, h), ("v_proj", kv, h), ("o_proj", h, q)] {
            push(list, stage, Role::Matrix, format!("{block}.self_attn.{name}.weight"), &[n, k]);
        }
        push(list, stage, Role::Vector, format!("{block}.post_attention_layernorm.weight"), &[h]);
        for (name, n, k) in [("gate_proj", f, h), ("up_proj", f, h), ("down_proj", h, f)] {
            push(list, stage, Role::Matrix, format!("{block}.mlp.{name}.weight"), &[n, k]);
        }
    }
    push(list, stage, Role::Vector, format!("{DECODER}norm.weight"), &[h]);
    if !t.tie_word_embeddings {
        push(list, Stage::Head, Role::Matrix, LM_HEAD.to_string(), &[t.vocab_size, h]);
    }
}

/// A checkpoint's key → the canonical name. Keys that belong to no known layout come back unchanged, for the
/// caller to refuse.
///
/// # Source
/// `LlavaForConditionalGeneration` of transformers: hub files keep the names of versions before 4.52; later
/// versions hold (and may save) `model.language_model.*`, `model.vision_tower.*`,
/// `model.multi_modal_projector.*` and `lm_head.weight`, and transformers 5 drops `vision_model.` as well.
/// `LlavaLlamaForCausalLM` of the original code: a LLaMA's own names, `model.mm_projector.*`, and in some copies
/// `model.vision_tower.vision_tower.*`; its tower's own files have `vision_model.*`.
pub fn canonical(key: &str) -> String {
    let inner = key.strip_prefix("model.").unwrap_or(key);
    if key == "lm_head.weight" {
        return LM_HEAD.to_string();
    }
    if let Some(rest) = inner.strip_prefix("vision_tower.").or_else(|| key.strip_prefix("vision_model.")) {
        let rest = rest.strip_prefix("vision_tower.").unwrap_or(rest);
        return format!("{VISION_TOWER}{}", rest.strip_prefix("vision_model.").unwrap_or(rest));
    }
    if inner.starts_with(CONNECTOR) {
        return inner.to_string();
    }
    if let Some(rest) = inner.strip_prefix("mm_projector.") {
        // An nn.Sequential of linear, GELU, linear; a single linear has no number.
        return match rest.split_once('.') {
            Some(("0", part)) => format!("{CONNECTOR}linear_1.{part}"),
            Some(("2", part)) => format!("{CONNECTOR}linear_2.{part}"),
            Some(_) => key.to_string(),
            None => format!("{CONNECTOR}linear_1.{rest}"),
        };
    }
    if let Some(rest) = inner.strip_prefix("language_model.") {
        return match inner != key {
            true => format!("{DECODER}{}", rest.strip_prefix("model.").unwrap_or(rest)),
            false => key.to_string(),
        };
    }
    let decoder = ["layers.", "embed_tokens.", "norm."].iter().any(|start| inner.starts_with(start));
    if decoder && inner != key { format!("{DECODER}{inner}") } else { key.to_string() }
}

/// Whether a key of a whole CLIP belongs to its text tower or to what joins the two: nothing that LLaVA uses.
pub fn is_clip_text(key: &str) -> bool {
    let unused = ["text_model.", "text_projection.", "visual_projection.", "logit_scale"];
    unused.iter().any(|start| key.starts_with(start))
}

/// What lies together in the files of every layout: one block, or everything of a stage that is in no block.
pub fn group(name: &str) -> &str {
    let end = name.find("layers.").map(|at| at + "layers.".len());
    match end.and_then(|end| name[end..].find('.').map(|dot| end + dot + 1)) {
        Some(end) => &name[..end],
        None => name.split('.').next().unwrap_or(name),
    }
}

/// Whether checkpoints legitimately hold `name` (canonical) although `config` does not use it: vision blocks
/// after the selected layer, the tower's last norm, position counters, rotary tables, a head that is tied.
pub fn is_skipped(config: &Config, name: &str) -> bool {
    if let Some(rest) = name.strip_prefix(VISION_TOWER) {
        if let Some(rest) = rest.strip_prefix("encoder.layers.") {
            let block = rest.split('.').next().and_then(|i| i.parse::<u32>().ok());
            return block.is_some_and(|i| (config.vision_blocks..config.vision.num_hidden_layers).contains(&i));
        }
        return matches!(rest, "post_layernorm.weight" | "post_layernorm.bias" | "embeddings.position_ids");
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
        assert!(list.windows(2).all(|w| w[0].stage <= w[1].stage), "in order of use");
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
            ("model.image_newline", "model.image_newline"),
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
        assert!(!is_skipped(&config, "model.image_newline"));
    }
}
