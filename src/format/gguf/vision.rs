//! The mmproj of a GGUF pair: `clip.*` keys → `vision_config`.
//!
//! Three generations of converters differ: early files name no projector type; they may keep the block and the
//! norm that LLaVA does not run; and they call the first matrix of a block's MLP `ffn_down`.
//!
//! llama.cpp itself runs one block fewer than such files hold and LLaVA was trained with (its issue 25817); here
//! exactly LLaVA's blocks run. Of an Idefics3 (SmolVLM) all blocks and the last norm run.

use super::header::Gguf;
use crate::error::{Error, Kind, Result};
use crate::preprocess::PreprocessConfig;
use crate::{ensure, fail};
use serde_json::{Value as Json, json};

/// Published towers of CLIP, and SigLIP so400m: width → blocks. A file with all blocks holds one that LLaVA does not
/// run.
const WHOLE_TOWERS: [(u32, u32); 6] = [(768, 12), (1024, 24), (1152, 27), (1280, 32), (1408, 40), (1664, 48)];
/// [`Vision::connector`] of an Idefics3.
pub(super) const IDEFICS3: &str = "idefics3";

/// Most blocks that are counted.
const MAX_BLOCKS: u32 = 512;

/// Metadata of an mmproj.
pub(super) struct Vision {
    /// Blocks that are run; the file may hold more.
    pub run: u32,
    /// Whether `ffn_down` is the first matrix of an MLP, not `ffn_up`.
    pub swapped: bool,
    /// `mm_projector_type` of the original code, or [`IDEFICS3`].
    pub connector: &'static str,
    /// `vision_feature_select_strategy`.
    pub select: &'static str,
    /// Idefics3: features along a side of the square that becomes one row.
    pub scale_factor: u32,
    /// Outputs of the connector.
    pub outputs: Option<u32>,
    /// `vision_config`.
    pub config: Json,
    /// `preprocessor_config.json`.
    pub preprocessor: Json,
    /// `image_grid_pinpoints` of a model that reads pictures in tiles.
    pub pinpoints: Option<Vec<[u32; 2]>>,
    pub notes: Vec<String>,
}

/// Reads and checks the metadata of a `clip`.
///
/// # Errors
/// [`Kind::Config`], naming the key, for what is missing, inconsistent or not implemented.
pub(super) fn vision(file: &Gguf) -> Result<Vision> {
    let connector = projector(file)?;
    let pinpoints = pinpoints(file)?;
    let idefics3 = connector == IDEFICS3;
    // A SigLIP has no class row, and a bias in its patch embedding.
    let siglip = file.tensor("v.class_embd").is_none() && file.tensor("v.patch_embd.bias").is_some();
    ensure!(siglip || !idefics3, Tensor, "v.patch_embd.bias", "is missing: an Idefics3 has a SigLIP tower");
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
    let run = if idefics3 { all_blocks(file, blocks)? } else { blocks_to_run(file, width, blocks)? };
    if run < blocks {
        notes.push(format!("of {blocks} vision blocks in the file {run} are run, as LLaVA does"));
    }
    let image_size = match (key("image_size")?, shape("v.position_embd.weight")) {
        (Some(size), _) => size,
        (None, Some(&[positions, _])) => positions.saturating_sub(u32::from(!siglip)).isqrt().saturating_mul(patch),
        _ => return Err(missing("v.position_embd.weight")),
    };
    let config = json!({
        "model_type": if siglip { "siglip_vision_model" } else { "clip_vision_model" },
        "hidden_size": key("embedding_length")?.unwrap_or(width),
        "intermediate_size": feed_forward,
        "num_hidden_layers": blocks,
        "num_attention_heads": key("attention.head_count")?.unwrap_or(width / 64),
        "image_size": image_size,
        "patch_size": key("patch_size")?.unwrap_or(patch),
        "layer_norm_eps": epsilon(file, siglip, idefics3)?,
        "hidden_act": activation(file, siglip)?,
    });
    let last = ["mm.2.weight", "mm.model.mlp.2.weight", "mm.model.mlp.3.weight", "mm.0.weight", "mm.model.fc.weight"];
    let outputs = last.iter().find_map(|name| shape(name)?.first().copied());
    let scale_factor = match (file.u32("clip.vision.projector.scale_factor")?, shape("mm.model.fc.weight")) {
        (Some(factor), _) => factor,
        (None, Some(&[_, columns])) => columns.checked_div(width).unwrap_or(0).isqrt(),
        _ => 0,
    };
    let mut preprocessor = if idefics3 { tiles(file, image_size)? } else { preprocessor(file, image_size, siglip)? };
    if pinpoints.is_some() {
        preprocessor["image_processor_type"] = json!("LlavaNextImageProcessor");
    }
    let select = if siglip { "full" } else { "default" };
    Ok(Vision { run, swapped, connector, select, scale_factor, outputs, config, preprocessor, pinpoints, notes })
}

/// Returns the activation of the tower's MLPs.
fn activation(file: &Gguf, siglip: bool) -> Result<&'static str> {
    let silu = file.boolean("clip.use_silu")?.unwrap_or(false);
    ensure!(!silu, Config, "GGUF: clip.use_silu", "a tower with SiLU is not implemented (quick GELU, GELU)");
    Ok(match (file.boolean("clip.use_gelu")?.unwrap_or(false), siglip) {
        (true, true) => "gelu_pytorch_tanh",
        (true, false) => "gelu",
        (false, _) => "quick_gelu",
    })
}

/// Returns the epsilon of the tower's norms.
fn epsilon(file: &Gguf, siglip: bool, idefics3: bool) -> Result<f64> {
    Ok(match file.float("clip.vision.attention.layer_norm_epsilon")? {
        // The converter writes 1e-5 where config.json has none; transformers then takes 1e-6.
        Some(eps) if !(idefics3 && eps as f32 == 1e-5) => eps,
        _ if siglip => 1e-6,
        _ => 1e-5,
    })
}

/// `clip.projector_type` → `mm_projector_type` of the original code, or [`IDEFICS3`].
const PROJECTORS: [(&str, &str); 4] =
    [("mlp", "mlp2x_gelu"), ("ldp", "ldpnet"), ("ldpv2", "ldpnetv2"), ("idefics3", IDEFICS3)];

/// Returns the connector; refuses those that are not implemented.
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
    Ok(connector.unwrap_or("mlp2x_gelu"))
}

/// Returns the number of blocks of an Idefics3, which runs all that its file announces.
fn all_blocks(file: &Gguf, blocks: u32) -> Result<u32> {
    let announced = file.u32("clip.vision.block_count")?.unwrap_or(blocks);
    ensure!(
        (1..=announced).contains(&blocks) && blocks == announced,
        Tensor,
        format!("v.blk.{blocks}"),
        "{blocks} blocks are there; the mmproj announces {announced}"
    );
    Ok(blocks)
}

/// Reads the sizes that a LLaVA-1.6 fits pictures to, heights and widths in turn; `None` for a LLaVA-1.5.
fn pinpoints(file: &Gguf) -> Result<Option<Vec<[u32; 2]>>> {
    let merge = file.text("clip.vision.mm_patch_merge_type")?.unwrap_or("flat").escape_debug();
    let numbers = file.numbers("clip.vision.image_grid_pinpoints")?.unwrap_or_default();
    if numbers.is_empty() && merge.clone().eq("flat".chars()) {
        return Ok(None);
    }
    let place = "GGUF: clip.vision.mm_patch_merge_type";
    ensure!(merge.clone().eq("spatial_unpad".chars()), Config, place, "`{merge}` is not implemented (spatial_unpad)");
    let place = "GGUF: clip.vision.image_grid_pinpoints";
    ensure!(numbers.len() >= 2 && numbers.len().is_multiple_of(2), Config, place, "{} are no pairs", numbers.len());
    Ok(Some(numbers.chunks_exact(2).map(|pair| [pair[0] as u32, pair[1] as u32]).collect()))
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

/// Makes `preprocessor_config.json` of an Idefics3, which cuts a picture into tiles of `side` pixels.
fn tiles(file: &Gguf, side: u32) -> Result<Json> {
    // Files before this key have transformers' value.
    let longest = file.u32("clip.vision.preproc_image_size")?.unwrap_or(side.saturating_mul(4));
    let mut config = json!({
        "image_processor_type": "Idefics3ImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true, "size": {"longest_edge": longest}, "resample": 1,
        "do_image_splitting": true, "max_image_size": {"longest_edge": side},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true, "do_pad": true,
    });
    numbers(file, &mut config, [[0.5; 3]; 2], true)?;
    Ok(config)
}

/// Makes `preprocessor_config.json` of a LLaVA. llama.cpp pads a picture, as LLaVA-1.5 and nanoLLaVA do.
fn preprocessor(file: &Gguf, size: u32, siglip: bool) -> Result<Json> {
    let mut config = json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": true, "size": {"shortest_edge": size}, "resample": 3,
        "do_pad": true, "do_center_crop": true, "crop_size": {"height": size, "width": size},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
    });
    let clip = PreprocessConfig::llava(size);
    let usual = if siglip { [[0.5; 3]; 2] } else { [clip.mean, clip.std] };
    numbers(file, &mut config, usual, siglip)?;
    Ok(config)
}

/// Adds the mean and the deviation of the file. The usual ones, as every file has them, are rounded to f32 there: the
/// exact ones take their place. They are left out unless `stated`, since CLIP's are the default.
fn numbers(file: &Gguf, config: &mut Json, usual: [[f64; 3]; 2], stated: bool) -> Result<()> {
    for (name, usual) in ["image_mean", "image_std"].into_iter().zip(usual) {
        let values = file.numbers(&format!("clip.vision.{name}"))?;
        match values.filter(|v| !v.iter().map(|x| *x as f32).eq(usual.map(|x| x as f32))) {
            Some(values) => config[name] = json!(values),
            None if stated => config[name] = json!(usual),
            None => {}
        }
    }
    Ok(())
}
