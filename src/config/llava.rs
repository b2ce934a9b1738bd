//! LLaVA-1.5 and its relatives in llava-hf's layout: CLIP or SigLIP tower, linear or two-layer connector, and a decoder
//! of LLaMA's kind. `towers.rs` and `text.rs` have the values of absent fields.

use super::fields::{Fields, json_object};
use super::text::{id_list, text};
use super::towers::{self, activation};
use super::types::{Config, ConnectorKind, PictureLayout, TextConfig};
use crate::error::Result;
use crate::{ensure, fail};
use serde_json::Value;

/// Parses the fields of `config.json`, and `eos_token_id` of `generation_config.json` where there is one.
///
/// # Errors
/// As [`Config::parse`].
pub(super) fn parse(root: &Value, generation: Option<&[u8]>) -> Result<Config> {
    let empty = Value::Object(Default::default());
    let vision = towers::vision(&Fields {
        name: "config.json: vision_config",
        object: root.get("vision_config").unwrap_or(&empty),
    })?;
    let mut text = text(
        &Fields { name: "config.json: text_config", object: root.get("text_config").unwrap_or(&empty) },
        root.get("tie_word_embeddings").and_then(Value::as_bool),
    )?;
    end_ids(&mut text, generation)?;
    let top = Fields { name: "config.json", object: root };
    ensure!(
        top.boolean("multimodal_projector_bias", true)?,
        Config,
        "config.json: multimodal_projector_bias",
        "a connector without bias is not implemented"
    );
    let connector = match top.string("mm_projector_type", "mlp2x_gelu")? {
        "linear" => ConnectorKind::Linear,
        "mlp2x_gelu" => ConnectorKind::Mlp2x(activation(
            top.string("projector_hidden_act", "gelu")?,
            "config.json: projector_hidden_act",
        )?),
        "ldpnet" => ConnectorKind::Ldp,
        "ldpnetv2" => ConnectorKind::LdpV2,
        other => fail!(
            Config,
            "config.json: mm_projector_type",
            "`{other}` is not implemented (mlp2x_gelu, linear, ldpnet, ldpnetv2)"
        ),
    };
    let keep_class_row = match top.string("vision_feature_select_strategy", "default")? {
        "default" => false,
        "full" => true,
        other => {
            fail!(Config, "config.json: vision_feature_select_strategy", "`{other}` is unknown (default, full)")
        }
    };
    // transformers would drop the first patch.
    let drops_patch = !keep_class_row && !vision.tower.has_class_row();
    ensure!(
        !drops_patch,
        Config,
        "config.json: vision_feature_select_strategy",
        "`default` drops the class row, which a SigLIP tower lacks (full)"
    );
    let keep_class_row = keep_class_row && vision.tower.has_class_row();
    if matches!(connector, ConnectorKind::Ldp | ConnectorKind::LdpV2) {
        let (rows, channels) = ("config.json: vision_feature_select_strategy", "config.json: text_config.hidden_size");
        ensure!(
            !keep_class_row,
            Config,
            rows,
            "`full`: MobileVLM's connector reads a map of patches, without class row"
        );
        // torchvision rounds the channels of a mobile block to a multiple of 8.
        ensure!(text.hidden_size.is_multiple_of(8), Config, channels, "MobileVLM's connector needs a multiple of 8");
    }
    let vision_blocks = feature_layer(root, vision.num_hidden_layers)?;
    let image_token_index = top.uint("image_token_index", top.uint("image_token_id", 32000)?)?;
    let layout = PictureLayout::Single;
    Ok(Config { vision, text, connector, vision_blocks, keep_class_row, image_token_index, layout })
}

/// Reads `eos_token_id` of `generation_config.json`, where there is one.
pub(super) fn end_ids(text: &mut TextConfig, generation: Option<&[u8]>) -> Result<()> {
    let Some(generation) = generation else { return Ok(()) };
    let generation = json_object(generation, "generation_config.json")?;
    if let Some(ids) = generation.get("eos_token_id").filter(|v| !v.is_null()) {
        text.eos_token_ids = id_list(ids, "generation_config.json: eos_token_id")?;
    }
    Ok(())
}

/// Returns the number of blocks to run for `vision_feature_layer`. `hidden_states[0]` is the embedding, `[i]` the
/// output of block `i`, so index −2 of 24 blocks is `hidden_states[23]`: 23 blocks.
fn feature_layer(root: &Value, layers: u32) -> Result<u32> {
    let place = "config.json: vision_feature_layer";
    let layer = match root.get("vision_feature_layer") {
        None | Some(Value::Null) => -2,
        Some(Value::Number(n)) if n.is_i64() => n.as_i64().unwrap_or(-2),
        Some(Value::Array(one)) if one.len() == 1 && one[0].is_i64() => one[0].as_i64().unwrap_or(-2),
        Some(Value::Array(_)) => fail!(Config, place, "a list of layers (concatenated features) is not implemented"),
        Some(other) => fail!(Config, place, "`{other}` is not an integer"),
    };
    let states = i64::from(layers) + 1;
    let index = if layer < 0 { states + layer } else { layer };
    ensure!((0..states).contains(&index), Config, place, "{layer} is outside the tower's {states} hidden states");
    Ok(index as u32)
}
