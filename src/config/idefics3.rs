//! Idefics3 and SmolVLM (`idefics3`, `smolvlm`): SigLIP tower with its last norm, pixel-shuffle connector, LLaMA decoder.
//!
//! Absent fields take the values of transformers' Idefics3Config, which SmolVLMConfig shares. `perceiver_config`,
//! `pad_token_id` and what belongs to videos is not read.

use super::fields::Fields;
use super::types::{Config, ConnectorKind, PictureLayout};
use super::{llava, towers};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use serde_json::Value;

/// Largest side of a square of features that becomes one row; published models have 3 and 4.
const MAX_FACTOR: u32 = 16;

/// Parses the fields of `config.json`, and `eos_token_id` of `generation_config.json` where there is one.
///
/// # Errors
/// As [`Config::parse`].
pub(super) fn parse(root: &Value, generation: Option<&[u8]>) -> Result<Config> {
    let part = |name: &'static str, key: &str| match root.get(key) {
        Some(object) if object.is_object() => Ok(Fields { name, object }),
        _ => Err(Error::new(Kind::Config, name, "is missing, or no object")),
    };
    let top = Fields { name: "config.json", object: root };
    let vision = towers::idefics3(&part("config.json: vision_config", "vision_config")?)?;
    let mut text = llava::text(&part("config.json: text_config", "text_config")?, None)?;
    // The outer field decides alone: that of text_config has no effect in transformers.
    text.tie_word_embeddings = top.boolean("tie_word_embeddings", false)?;
    llava::end_ids(&mut text, generation)?;
    let factor = top.uint("scale_factor", 2)?;
    ensure!(
        factor <= MAX_FACTOR && vision.grid().is_multiple_of(factor),
        Config,
        "config.json: scale_factor",
        "{factor} does not divide the {} patches of a side, or is more than {MAX_FACTOR}",
        vision.grid()
    );
    Ok(Config {
        vision_blocks: vision.num_hidden_layers,
        vision,
        text,
        connector: ConnectorKind::PixelShuffle { factor },
        keep_class_row: false,
        image_token_index: top.uint("image_token_id", 128_257)?,
        layout: PictureLayout::Marked,
    })
}
