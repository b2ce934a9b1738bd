//! llama.cpp's names for the tensors of a LLaVA ⇄ the canonical ones: one table for the language model, one for the
//! mmproj.
//!
//! # Source
//! `gguf-py/gguf/constants.py` (`MODEL_TENSOR`) and `convert_image_encoder_to_gguf.py` of llama.cpp.

use crate::format::names::ldp;
use crate::format::names::llava::{CLASS_EMBEDDING, IMAGE_NEWLINE, NORM};
use crate::format::names::{CONNECTOR, DECODER, EMBED_TOKENS, LM_HEAD, VISION_TOWER};

/// Language model: tensors outside of blocks.
const LANGUAGE: [(&str, &str); 3] =
    [("token_embd.weight", EMBED_TOKENS), ("output.weight", LM_HEAD), ("output_norm.weight", NORM)];
/// Language model: stems in a block, `blk.{i}.` there and `layers.{i}.` here; each has a `.weight`, and `attn_q`, `attn_k`
/// and `attn_v` may have a `.bias`.
const LANGUAGE_BLOCK: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
/// Mmproj: stems outside of blocks; each has a `.weight` and most a `.bias`.
const VISION: [(&str, &str, &str); 7] = [
    ("mm.0", CONNECTOR, "linear_1"),
    // Idefics3's one matrix.
    ("mm.model.fc", CONNECTOR, "linear_1"),
    ("mm.2", CONNECTOR, "linear_2"),
    ("v.patch_embd", VISION_TOWER, "embeddings.patch_embedding"),
    ("v.position_embd", VISION_TOWER, "embeddings.position_embedding"),
    ("v.pre_ln", VISION_TOWER, "pre_layrnorm"),
    ("v.post_ln", VISION_TOWER, "post_layernorm"),
];
/// Mmproj: stems in a block, `v.blk.{i}.` there and `encoder.layers.{i}.` here; each has a `.weight` and a `.bias`.
const VISION_BLOCK: [(&str, &str); 8] = [
    ("ln1", "layer_norm1"),
    ("ln2", "layer_norm2"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_out", "self_attn.out_proj"),
    ("ffn_up", "mlp.fc1"),
    ("ffn_down", "mlp.fc2"),
];
/// Mmproj: tensors whose names have no `.weight`.
const VISION_VECTORS: [(&str, &str); 2] = [("v.class_embd", CLASS_EMBEDDING), ("model.image_newline", IMAGE_NEWLINE)];

/// Returns the canonical name of a language model's tensor.
pub(super) fn language(name: &str) -> Option<String> {
    if let Some((_, ours)) = LANGUAGE.iter().find(|(theirs, _)| *theirs == name) {
        return Some(ours.to_string());
    }
    let (block, stem) = numbered(name.strip_prefix("blk.")?)?;
    let (stem, end) = stem.rsplit_once('.')?;
    let (_, ours) = LANGUAGE_BLOCK.iter().find(|(theirs, _)| *theirs == stem && has(stem, end))?;
    Some(format!("{DECODER}layers.{block}.{ours}.{end}"))
}

/// Whether a language model may have `blk.{i}.{stem}.{end}`.
fn has(stem: &str, end: &str) -> bool {
    end == "weight" || end == "bias" && matches!(stem, "attn_q" | "attn_k" | "attn_v")
}

/// Returns the canonical name of an mmproj's tensor. `swapped`: `ffn_down` is the first matrix of an MLP.
pub(super) fn vision(name: &str, swapped: bool) -> Option<String> {
    if let Some((_, ours)) = VISION_VECTORS.iter().find(|(theirs, _)| *theirs == name) {
        return Some(ours.to_string());
    }
    if let Some(name) = name.strip_prefix("mm.").and_then(ldp::canonical) {
        return Some(name);
    }
    let (stem, end) = name.rsplit_once('.').filter(|(_, end)| matches!(*end, "weight" | "bias"))?;
    if let Some((_, prefix, ours)) = VISION.iter().find(|(theirs, ..)| *theirs == stem) {
        return Some(format!("{prefix}{ours}.{end}"));
    }
    let (block, stem) = numbered(stem.strip_prefix("v.blk.")?)?;
    let stem = match stem {
        "ffn_up" if swapped => "ffn_down",
        "ffn_down" if swapped => "ffn_up",
        stem => stem,
    };
    let (_, ours) = VISION_BLOCK.iter().find(|(theirs, _)| *theirs == stem)?;
    Some(format!("{VISION_TOWER}encoder.layers.{block}.{ours}.{end}"))
}

/// Returns llama.cpp's name of the tensor with this canonical name.
pub(super) fn of_canonical(name: &str) -> Option<String> {
    of_language(name).or_else(|| of_vision(name))
}

fn of_language(name: &str) -> Option<String> {
    if let Some((theirs, _)) = LANGUAGE.iter().find(|(_, ours)| *ours == name) {
        return Some(theirs.to_string());
    }
    let (block, stem) = numbered(name.strip_prefix(DECODER)?.strip_prefix("layers.")?)?;
    let (stem, end) = stem.rsplit_once('.')?;
    let (theirs, _) = LANGUAGE_BLOCK.iter().find(|(theirs, ours)| *ours == stem && has(theirs, end))?;
    Some(format!("blk.{block}.{theirs}.{end}"))
}

fn of_vision(name: &str) -> Option<String> {
    if let Some((theirs, _)) = VISION_VECTORS.iter().find(|(_, ours)| *ours == name) {
        return Some(theirs.to_string());
    }
    let (stem, end) = name.rsplit_once('.')?;
    if let Some((theirs, ..)) = VISION.iter().find(|(_, prefix, ours)| stem.strip_prefix(prefix) == Some(*ours)) {
        return Some(format!("{theirs}.{end}"));
    }
    let (block, stem) = numbered(stem.strip_prefix(VISION_TOWER)?.strip_prefix("encoder.layers.")?)?;
    let (theirs, _) = VISION_BLOCK.iter().find(|(_, ours)| *ours == stem)?;
    Some(format!("v.blk.{block}.{theirs}.{end}"))
}

/// Splits `12.rest` into 12 and `rest`; only for numbers as they are usually spelled.
fn numbered(name: &str) -> Option<(u32, &str)> {
    let (digits, rest) = name.split_once('.')?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number, rest))
}
