//! The mmproj of a GGUF pair: `clip.*` keys → `vision_config`.
//!
//! Three generations of converters differ: early files name no projector type; they may keep the block and the
//! norm that LLaVA does not run; and they call the first matrix of a block's MLP `ffn_down`.
//!
//! llama.cpp itself runs one block fewer than such files hold and LLaVA was trained with (its issue 25817); here
//! exactly LLaVA's blocks run.

use super::header::Gguf;
use crate::error::{Error, Kind, Result};
use crate::preprocess::PreprocessConfig;
use crate::{ensure, fail};
use serde_json::{Value as Json, json};

/// CLIP's published towers: width → blocks. A file with all blocks holds one that LLaVA does not run.
const WHOLE_TOWERS: [(u32, u32); 5] = [(768, 12), (1024, 24), (1280, 32), (1408, 40), (1664, 48)];

/// Most blocks that are counted.
const MAX_BLOCKS: u32 = 512;

/// Metadata of an mmproj.
pub(super) struct Vision {
    /// Blocks that are run; the file may hold more.
    pub run: u32,
    /// Whether `ffn_down` is the first matrix of an MLP, not `ffn_up`.
    pub swapped: bool,
    /// `mm_projector_type` of the original code.
    pub connector: &'static str,
    /// Outputs of the connector.
    pub outputs: Option<u32>,
    /// `vision_config`.
    pub config: Json,
    /// `preprocessor_config.json`.
    pub preprocessor: Json,
    pub notes: Vec<String>,
}

/// Reads and checks the metadata of a `clip`.
///
/// # Errors
/// [`Kind::Config`], naming the key, for what is missing, inconsistent or not implemented.
pub(super) fn vision(file: &Gguf) -> Result<Vision> {
    let connector = projector(file)?;
    let shape = |name: &str| file.tensor(name).map(|t| t.shape.as_slice());
    let missing = |name: &str| Error::new(Kind::Tensor, name, "is missing from the mmproj, or of another shape");
    let Some(&[width, 3, patch, _]) = shape("v.patch_embd.weight") else {
        return Err(missing("v.patch_embd.weight"));
    };
    let key = |name: &str| file.u32(&format!("clip.vision.{name}"));
    let swapped = match shape("v.blk.0.ffn_down.weight") {
        Some(&[rows, columns]) => columns == width && rows != width,
        _ => return Err(missing("v.blk.0.ffn_down.weight")),
    };
    let feed_forward = match shape("v.blk.0.ffn_up.weight") {
        Some(&[rows, columns]) => {
            if swapped {
                columns
            } else {
                rows
            }
        }
        _ => return Err(missing("v.blk.0.ffn_up.weight")),
    };
    let there = |i: &u32| file.tensor(&format!("v.blk.{i}.ln1.weight")).is_some();
    let blocks = (0..MAX_BLOCKS).take_while(there).count() as u32;
    let mut notes = Vec::new();
    let run = blocks_to_run(file, width, blocks)?;
    if run < blocks {
        notes.push(format!("of {blocks} vision blocks in the file {run} are run, as LLaVA does"));
    }
    let image_size = match (key("image_size")?, shape("v.position_embd.weight")) {
        (Some(size), _) => size,
        (None, Some(&[positions, _])) => positions.saturating_sub(1).isqrt().saturating_mul(patch),
        _ => return Err(missing("v.position_embd.weight")),
    };
    let gelu = file.boolean("clip.use_gelu")?.unwrap_or(false);
    let silu = file.boolean("clip.use_silu")?.unwrap_or(false);
    ensure!(!silu, Config, "GGUF: clip.use_silu", "a tower with SiLU is not implemented (quick GELU, GELU)");
    let config = json!({
        "model_type": "clip_vision_model",
        "hidden_size": key("embedding_length")?.unwrap_or(width),
        "intermediate_size": feed_forward,
        "num_hidden_layers": blocks,
        "num_attention_heads": key("attention.head_count")?.unwrap_or(width / 64),
        "image_size": image_size,
        "patch_size": key("patch_size")?.unwrap_or(patch),
        "layer_norm_eps": file.float("clip.vision.attention.layer_norm_epsilon")?.unwrap_or(1e-5),
        "hidden_act": if gelu { "gelu" } else { "quick_gelu" },
    });
    let last = ["mm.2.weight", "mm.model.mlp.2.weight", "mm.model.mlp.3.weight", "mm.0.weight"];
    let outputs = last.iter().find_map(|name| shape(name)?.first().copied());
    Ok(Vision { run, swapped, connector, outputs, config, preprocessor: preprocessor(file, image_size)?, notes })
}

/// `clip.projector_type` → `mm_projector_type` of the original code.
const PROJECTORS: [(&str, &str); 3] = [("mlp", "mlp2x_gelu"), ("ldp", "ldpnet"), ("ldpv2", "ldpnetv2")];

/// Returns the connector; refuses those that are not implemented, and LLaVA-1.6's tiles of pictures.
fn projector(file: &Gguf) -> Result<&'static str> {
    for key in ["clip.has_vision_encoder", "clip.has_llava_projector"] {
        let there = file.boolean(key)?.unwrap_or(true);
        ensure!(there, Config, format!("GGUF: {key}"), "is false: this is the mmproj of another kind of model");
    }
    let mut connector = None;
    for key in ["clip.projector_type", "clip.vision.projector_type"] {
        let Some(kind) = file.text(key)? else { continue };
        let Some((_, ours)) = PROJECTORS.iter().find(|(theirs, _)| *theirs == kind) else {
            let (kind, known) = (kind.escape_debug(), PROJECTORS.map(|(theirs, _)| theirs).join(", "));
            fail!(Config, format!("GGUF: {key}"), "`{kind}` is not implemented ({known})");
        };
        connector = connector.or(Some(*ours));
    }
    let merge = file.text("clip.vision.mm_patch_merge_type")?.unwrap_or("flat");
    let grid = file.numbers("clip.vision.image_grid_pinpoints")?.unwrap_or_default();
    let newline = file.tensors.iter().any(|t| t.name.ends_with("image_newline"));
    if merge != "flat" || !grid.is_empty() || newline {
        let error = Error::new(Kind::Config, "GGUF: clip.vision", "this is LLaVA-1.6, which reads a picture in tiles");
        return Err(error.hint("take the model and mmproj of a LLaVA-1.5"));
    }
    Ok(connector.unwrap_or("mlp2x_gelu"))
}

/// Returns the number of blocks that LLaVA runs: up to the named layer, or up to the last but one of the whole tower.
/// Converters leave the last block out, so that all blocks of the file run, unless it holds the whole tower.
fn blocks_to_run(file: &Gguf, width: u32, blocks: u32) -> Result<u32> {
    let key = "clip.vision.feature_layer";
    let place = format!("GGUF: {key}");
    let layers = file.numbers(key)?.unwrap_or_default();
    ensure!(layers.len() <= 1, Config, place, "features of {} layers are not implemented", layers.len());
    let whole = WHOLE_TOWERS.iter().find(|(w, _)| *w == width).map(|(_, depth)| *depth);
    let run = match layers.first() {
        // llama.cpp writes -1 for "not set".
        Some(&layer) if layer != -1.0 && layer != -2.0 => layer,
        _ if whole.is_some_and(|depth| blocks >= depth) => f64::from(whole.unwrap_or(0) - 1),
        _ if whole.is_none() && file.tensor("v.post_ln.weight").is_some() => f64::from(blocks) - 1.0,
        _ => f64::from(blocks),
    };
    ensure!(
        run >= 1.0 && run <= f64::from(blocks) && run.fract() == 0.0,
        Config,
        place,
        "block {run} of {blocks} is to give the features"
    );
    // Some files announce the whole tower and hold only the blocks that run.
    let announced = file.u32("clip.vision.block_count")?.unwrap_or(blocks);
    let wanted = if run < f64::from(announced) && whole == Some(announced) { announced - 1 } else { announced };
    ensure!(blocks >= wanted, Tensor, format!("v.blk.{blocks}"), "is missing: the mmproj announces {announced} blocks");
    Ok(run as u32)
}

/// Makes `preprocessor_config.json`.
fn preprocessor(file: &Gguf, size: u32) -> Result<Json> {
    let mut config = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": true, "size": {"shortest_edge": size}, "resample": 3,
        "do_pad": true, "do_center_crop": true, "crop_size": {"height": size, "width": size},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
    });
    // CLIP's numbers, as every file has them, are rounded to f32 there: left out, they are the exact ones.
    let clip = PreprocessConfig::llava(size);
    for (name, usual) in [("image_mean", clip.mean), ("image_std", clip.std)] {
        let values = file.numbers(&format!("clip.vision.{name}"))?;
        if let Some(values) = values.filter(|v| !v.iter().map(|x| *x as f32).eq(usual.map(|x| x as f32))) {
            config[name] = json!(values);
        }
    }
    Ok(config)
}
