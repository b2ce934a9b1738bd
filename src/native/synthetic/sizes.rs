//! Shapes, types and metadata of the public files of LLaVA-1.5 and SmolVLM.

use super::vocabulary;
use crate::config::Config;
use crate::format::gguf::Value;
use crate::format::gguf::write::TensorSpec;
use crate::quant::Encoding;
use clap::ValueEnum;
use serde_json::{Value as Json, json};

/// The size of a synthetic model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelSize {
    /// LLaVA-1.5 7B.
    #[value(name = "7b")]
    B7,
    /// LLaVA-1.5 13B.
    #[value(name = "13b")]
    B13,
    /// One decoder block and one tower block with the widths of LLaVA-1.5 7B; runs in seconds.
    #[value(name = "7b-block")]
    B7Block,
    /// Two blocks of width 256, for tests.
    Tiny,
    /// 29 million parameters, for comparison with other engines in a tab.
    #[value(name = "30m")]
    M30,
    /// 200 million parameters, for the same comparison.
    #[value(name = "200m")]
    M200,
    /// One decoder block of SmolLM2-135M's width: its mmproj fits the published SmolLM2.
    #[value(name = "smollm2-block")]
    SmolLm2Block,
    /// SmolVLM-256M: SigLIP B/16 at 512 pixels, a decoder of SmolLM2-135M's shape.
    #[value(name = "smolvlm-256m")]
    SmolVlm256M,
    /// SmolVLM-500M: the same tower, a decoder of SmolLM2-360M's shape.
    #[value(name = "smolvlm-500m")]
    SmolVlm500M,
}

/// The format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A GGUF pair: Q4_0 with a Q6_K head, and an f16 mmproj.
    #[value(name = "gguf-q4_0")]
    GgufQ4_0,
    /// A GGUF pair with every matrix in Q4_0, embeddings and head included, as `llama-quantize --pure` makes it.
    #[value(name = "gguf-q4_0-pure")]
    GgufQ4_0Pure,
    /// A GGUF pair: llama.cpp's mix Q4_K_M, and an f16 mmproj.
    #[value(name = "gguf-q4_k_m")]
    GgufQ4KM,
    /// A GGUF pair: Q8_0, and an mmproj in Q8_0 for SmolVLM, in f16 for LLaVA.
    #[value(name = "gguf-q8_0")]
    GgufQ8_0,
    /// Hugging Face's layout, f16 in several files.
    Safetensors,
}

/// Dimensions of a model; the other numbers are the same for all sizes.
struct Dimensions {
    hidden: u32,
    feed_forward: u32,
    layers: u32,
    heads: u32,
    kv_heads: u32,
    rope_theta: f32,
    context: u32,
    /// Tokens of the vocabulary, without `<image>`.
    tokens: u32,
    /// Rows of the embedding table in Hugging Face's layout: tokens, `<image>`, `<pad>`, padded to a multiple of 64.
    rows: u32,
    vision: TowerDimensions,
}

/// Dimensions of a vision tower.
struct TowerDimensions {
    hidden: u32,
    feed_forward: u32,
    layers: u32,
    heads: u32,
    image: u32,
    patch: u32,
    /// Features along a side of the square that becomes one row: SmolVLM. 0: CLIP with LLaVA's connector.
    scale_factor: u32,
}

/// A small tower of 16 rows per picture, which takes little time.
const SMALL_TOWER: TowerDimensions =
    TowerDimensions { hidden: 64, feed_forward: 128, layers: 3, heads: 4, image: 56, ..CLIP };
/// CLIP ViT-L/14 at 336 pixels.
const CLIP: TowerDimensions =
    TowerDimensions { hidden: 1024, feed_forward: 4096, layers: 24, heads: 16, image: 336, patch: 14, scale_factor: 0 };
/// SigLIP B/16 at 512 pixels under SmolVLM's pixel shuffle.
const SIGLIP: TowerDimensions =
    TowerDimensions { hidden: 768, feed_forward: 3072, layers: 12, heads: 12, image: 512, patch: 16, scale_factor: 4 };

impl ModelSize {
    /// Returns its name in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::B7 => "7b",
            Self::B13 => "13b",
            Self::B7Block => "7b-block",
            Self::Tiny => "tiny",
            Self::M30 => "30m",
            Self::M200 => "200m",
            Self::SmolLm2Block => "smollm2-block",
            Self::SmolVlm256M => "smolvlm-256m",
            Self::SmolVlm500M => "smolvlm-500m",
        }
    }

    fn dimensions(self) -> Dimensions {
        let real = |hidden, feed_forward, layers, heads| Dimensions {
            hidden,
            feed_forward,
            layers,
            heads,
            kv_heads: heads,
            rope_theta: 1e4,
            context: 4096,
            tokens: 32000,
            rows: 32064,
            vision: CLIP,
        };
        let small = |hidden, feed_forward, layers, heads, context, tokens| Dimensions {
            hidden,
            feed_forward,
            layers,
            heads,
            kv_heads: heads,
            rope_theta: 1e4,
            context,
            tokens,
            rows: tokens + 64,
            vision: SMALL_TOWER,
        };
        let smol = |hidden, feed_forward, layers, heads| Dimensions {
            hidden,
            feed_forward,
            layers,
            heads,
            kv_heads: heads / 3,
            rope_theta: 1e5,
            context: 8192,
            tokens: 49280,
            rows: 49280,
            vision: SIGLIP,
        };
        match self {
            Self::B7 => real(4096, 11008, 32, 32),
            Self::B13 => real(5120, 13824, 40, 40),
            // Of the tower's two blocks LLaVA runs the first.
            Self::B7Block => Dimensions { vision: TowerDimensions { layers: 2, ..CLIP }, ..real(4096, 11008, 1, 32) },
            Self::Tiny => small(256, 512, 2, 4, 1024, 1024),
            Self::M30 => small(512, 1536, 6, 8, 4096, 8192),
            Self::M200 => small(1024, 2816, 13, 16, 1024, 16384),
            Self::SmolLm2Block => small(576, 1536, 1, 9, 1024, 1024),
            Self::SmolVlm256M => smol(576, 1536, 30, 9),
            Self::SmolVlm500M => smol(960, 2560, 32, 15),
        }
    }

    /// Returns `config.json`, with the whole tower as in Hugging Face's files or with the blocks that GGUF files hold.
    pub fn config(self, hugging_face: bool) -> Json {
        let s = self.dimensions();
        let (v, rows) = (&s.vision, if hugging_face { s.rows } else { s.tokens });
        let text = json!({
            "model_type": "llama", "hidden_size": s.hidden, "intermediate_size": s.feed_forward,
            "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads,
            "vocab_size": rows, "max_position_embeddings": s.context, "rms_norm_eps": 1e-5,
            "rope_theta": s.rope_theta, "bos_token_id": 1, "eos_token_id": 2,
        });
        if v.scale_factor > 0 {
            return json!({
                "architectures": ["Idefics3ForConditionalGeneration"], "model_type": "idefics3",
                "image_token_id": s.tokens, "scale_factor": v.scale_factor, "tie_word_embeddings": false,
                "text_config": text,
                "vision_config": {
                    "model_type": "idefics3", "hidden_size": v.hidden, "intermediate_size": v.feed_forward,
                    "num_hidden_layers": v.layers, "num_attention_heads": v.heads, "image_size": v.image,
                    "patch_size": v.patch,
                },
            });
        }
        json!({
            "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
            "ignore_index": -100, "image_token_index": s.tokens, "projector_hidden_act": "gelu",
            "vision_feature_layer": if hugging_face { -2 } else { -1 },
            "vision_feature_select_strategy": "default", "tie_word_embeddings": false, "torch_dtype": "float16",
            "text_config": text,
            "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": v.hidden, "intermediate_size": v.feed_forward,
                "num_hidden_layers": if hugging_face { v.layers } else { v.layers - 1 },
                "num_attention_heads": v.heads, "image_size": v.image, "patch_size": v.patch, "projection_dim": 768,
            },
        })
    }

    /// Returns the tower's last norm, which Hugging Face's files contain and LLaVA skips. (SmolVLM runs it.)
    pub fn post_layernorm(self) -> Vec<TensorSpec> {
        if self.dimensions().vision.scale_factor > 0 {
            return Vec::new();
        }
        let planned = |part| TensorSpec {
            name: format!("vision_tower.vision_model.post_layernorm.{part}"),
            encoding: Encoding::F16,
            shape: vec![self.dimensions().vision.hidden],
        };
        ["weight", "bias"].map(planned).into()
    }

    /// Returns the maximum bytes per file in Hugging Face's layout: 5 GB as in theirs; a tiny model gets two files.
    pub fn file_bytes(self, total: u64) -> u64 {
        if self == Self::Tiny { total * 3 / 5 } else { 4_990_000_000 }
    }
}

impl Format {
    /// Returns its name in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::GgufQ4_0 => "Q4_0",
            Self::GgufQ4_0Pure => "Q4_0-pure",
            Self::GgufQ4KM => "Q4_K_M",
            Self::GgufQ8_0 => "Q8_0",
            Self::Safetensors => "f16",
        }
    }

    /// Returns `general.file_type`.
    fn number(self) -> u32 {
        match self {
            Self::GgufQ4_0 | Self::GgufQ4_0Pure => 2,
            Self::GgufQ4KM => 15,
            Self::GgufQ8_0 => 7,
            Self::Safetensors => 1,
        }
    }

    /// Returns the weight type of a tensor of the language model.
    ///
    /// # Source
    /// `llama_tensor_get_type` of `llama-quant.cpp`.
    pub fn language(self, name: &str, config: &Config) -> Encoding {
        // Rows of SmolVLM's widths fit no block of 256.
        let whole = if name.contains("ffn_down") { config.text.intermediate_size } else { config.text.hidden_size };
        let fits = |chosen: Encoding| if whole.is_multiple_of(chosen.block().0) { chosen } else { Encoding::Q8_0 };
        let block = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        match self {
            _ if name.ends_with("norm.weight") => Encoding::F32,
            Self::GgufQ4_0Pure => Encoding::Q4_0,
            Self::GgufQ8_0 => Encoding::Q8_0,
            _ if name == "output.weight" => fits(Encoding::Q6K),
            Self::GgufQ4_0 => Encoding::Q4_0,
            Self::GgufQ4KM => {
                let more = block.is_some_and(|i| more_bits(i, config.text.num_hidden_layers));
                let chosen = name.contains("attn_v") || name.contains("ffn_down");
                fits(if chosen && more { Encoding::Q6K } else { Encoding::Q4K })
            }
            Self::Safetensors => Encoding::F16,
        }
    }
}

/// Returns whether a block gets more bits: the first and last eighth, and every third between them.
///
/// # Source
/// `use_more_bits` of `llama-quant.cpp`.
fn more_bits(block: u32, blocks: u32) -> bool {
    let eighth = blocks / 8;
    block < eighth || block >= 7 * blocks / 8 || (block - eighth) % 3 == 2
}

/// Returns the weight type of a tensor of an mmproj. LLaVA: f16 for matrices and the convolution, f32 otherwise.
/// SmolVLM: Q8_0 for matrices, f32 otherwise.
pub fn vision(size: ModelSize, name: &str, shape: &[u32]) -> Encoding {
    let smol = size.dimensions().vision.scale_factor > 0;
    match name.ends_with(".weight").then_some(shape.len()) {
        Some(2) if smol => {
            if name.starts_with("v.position_embd") {
                Encoding::F32
            } else {
                Encoding::Q8_0
            }
        }
        Some(2..) if !smol => Encoding::F16,
        _ => Encoding::F32,
    }
}

/// Returns the end of an mmproj's file name.
pub fn vision_name(size: ModelSize) -> &'static str {
    if size.dimensions().vision.scale_factor > 0 { "mmproj-Q8_0" } else { "mmproj-f16" }
}

fn owned(list: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    list.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// Returns the metadata of a language model's GGUF file.
pub fn language_metadata(size: ModelSize, format: Format) -> Vec<(String, Value)> {
    let s = size.dimensions();
    let (tokens, scores, types) = vocabulary::vocabulary(s.tokens as usize);
    owned(vec![
        ("general.architecture", "llama".into()),
        ("general.name", format!("Synthetic LLaVA {}", size.name()).as_str().into()),
        ("llama.context_length", s.context.into()),
        ("llama.embedding_length", s.hidden.into()),
        ("llama.block_count", s.layers.into()),
        ("llama.feed_forward_length", s.feed_forward.into()),
        ("llama.rope.dimension_count", (s.hidden / s.heads).into()),
        ("llama.attention.head_count", s.heads.into()),
        ("llama.attention.head_count_kv", s.kv_heads.into()),
        ("llama.rope.freq_base", s.rope_theta.into()),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into()),
        ("general.file_type", format.number().into()),
        ("tokenizer.ggml.model", "llama".into()),
        ("tokenizer.ggml.tokens", Value::Strings(tokens.iter().map(String::as_str).collect())),
        ("tokenizer.ggml.scores", scores.as_slice().into()),
        ("tokenizer.ggml.token_type", types.as_slice().into()),
        ("tokenizer.ggml.bos_token_id", 1u32.into()),
        ("tokenizer.ggml.eos_token_id", 2u32.into()),
        ("tokenizer.ggml.unknown_token_id", 0u32.into()),
        ("tokenizer.ggml.padding_token_id", 0u32.into()),
        ("general.quantization_version", 2u32.into()),
    ])
}

/// Returns the metadata of an mmproj GGUF file.
pub fn vision_metadata(size: ModelSize) -> Vec<(String, Value)> {
    let v = size.dimensions().vision;
    let smol = v.scale_factor > 0;
    let clip = crate::preprocess::PreprocessConfig::llava(v.image);
    let numbers = |clip: [f64; 3]| if smol { [0.5; 3] } else { clip.map(|x| x as f32) };
    let mut list = vec![
        ("general.architecture", "clip".into()),
        ("clip.has_text_encoder", false.into()),
        ("clip.has_vision_encoder", true.into()),
        ("clip.has_llava_projector", true.into()),
        ("general.file_type", 1u32.into()),
        ("general.name", "synthetic".into()),
        ("general.description", "image encoder for LLaVA, never trained".into()),
        ("clip.projector_type", if smol { "idefics3" } else { "mlp" }.into()),
        ("clip.vision.image_size", v.image.into()),
        ("clip.vision.patch_size", v.patch.into()),
        ("clip.vision.embedding_length", v.hidden.into()),
        ("clip.vision.feed_forward_length", v.feed_forward.into()),
        ("clip.vision.projection_dim", 768u32.into()),
        ("clip.vision.attention.head_count", v.heads.into()),
        ("clip.vision.attention.layer_norm_epsilon", 1e-5f32.into()),
        ("clip.vision.block_count", (if smol { v.layers } else { v.layers - 1 }).into()),
        ("clip.vision.image_mean", numbers(clip.mean).as_slice().into()),
        ("clip.vision.image_std", numbers(clip.std).as_slice().into()),
        ("clip.use_gelu", smol.into()),
    ];
    if smol {
        list.push(("clip.vision.projector.scale_factor", v.scale_factor.into()));
    }
    owned(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected of 32 blocks: 0 to 3, 28 to 31, and 6, 9, … 27.
    #[test]
    fn half_of_the_blocks_have_more_bits() {
        let more: Vec<u32> = (0..32).filter(|i| more_bits(*i, 32)).collect();
        assert_eq!(more, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
    }
}
