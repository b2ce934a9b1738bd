//! LLaVA-1.5 and its relatives in llava-hf's layout: CLIP tower, linear or two-layer connector, LLaMA decoder.
//!
//! Absent fields are those of CLIP ViT-L/14-336 and of LLaMA-7B (Mistral-7B for a Mistral).

use super::fields::{Fields, json_object};
use super::types::{Activation, Config, ConnectorKind, TextConfig, VisionConfig};
use crate::error::Result;
use crate::{ensure, fail};
use serde_json::Value;

/// Parses the fields of `config.json`, and `eos_token_id` of `generation_config.json` where there is one.
///
/// # Errors
/// As [`Config::parse`].
pub(super) fn parse(root: &Value, generation: Option<&[u8]>) -> Result<Config> {
    let empty = Value::Object(Default::default());
    let vision =
        vision(&Fields { name: "config.json: vision_config", object: root.get("vision_config").unwrap_or(&empty) })?;
    let mut text = text(
        &Fields { name: "config.json: text_config", object: root.get("text_config").unwrap_or(&empty) },
        root.get("tie_word_embeddings").and_then(Value::as_bool),
    )?;
    if let Some(generation) = generation {
        let generation = json_object(generation, "generation_config.json")?;
        if let Some(ids) = generation.get("eos_token_id").filter(|v| !v.is_null()) {
            text.eos_token_ids = id_list(ids, "generation_config.json: eos_token_id")?;
        }
    }
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
    Ok(Config { vision, text, connector, vision_blocks, keep_class_row, image_token_index })
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

fn vision(f: &Fields) -> Result<VisionConfig> {
    let model_type = f.string("model_type", "clip_vision_model")?;
    ensure!(
        model_type == "clip_vision_model",
        Config,
        f.at("model_type"),
        "`{model_type}` is not implemented (clip_vision_model)"
    );
    let config = VisionConfig {
        image_size: f.uint("image_size", 336)?,
        patch_size: f.uint("patch_size", 14)?,
        hidden_size: f.uint("hidden_size", 1024)?,
        intermediate_size: f.uint("intermediate_size", 4096)?,
        num_hidden_layers: f.layers(24)?,
        num_attention_heads: f.uint("num_attention_heads", 16)?,
        layer_norm_eps: f.float("layer_norm_eps", 1e-5)?,
        hidden_act: activation(f.string("hidden_act", "quick_gelu")?, &f.at("hidden_act"))?,
    };
    ensure!(
        config.image_size.is_multiple_of(config.patch_size),
        Config,
        f.at("patch_size"),
        "{} does not divide image_size {}",
        config.patch_size,
        config.image_size
    );
    // Before patches() is called: 2^20 pixels have more patches than 32 bits can count.
    let patches = u64::from(config.image_size / config.patch_size).pow(2);
    ensure!(
        config.image_size <= 2048 && patches <= 4096,
        Config,
        f.at("image_size"),
        "{} pixels and {patches} patches are more than 2048 and 4096",
        config.image_size
    );
    f.multiple_of_4("hidden_size", config.hidden_size)?;
    f.multiple_of_4("intermediate_size", config.intermediate_size)?;
    f.heads(config.hidden_size, config.num_attention_heads)?;
    Ok(config)
}

fn text(f: &Fields, tied: Option<bool>) -> Result<TextConfig> {
    let model_type = f.string("model_type", "llama")?;
    ensure!(
        matches!(model_type, "llama" | "vicuna" | "mistral"),
        Config,
        f.at("model_type"),
        "`{model_type}` is not implemented (llama, mistral)"
    );
    // transformers' defaults of intermediate_size, num_key_value_heads, max_position_embeddings.
    let mistral = model_type == "mistral";
    let (intermediate, kv_heads, positions) = if mistral { (14336, Some(8), 4096 * 32) } else { (11008, None, 2048) };
    let act = f.string("hidden_act", "silu")?;
    ensure!(act == "silu", Config, f.at("hidden_act"), "`{act}` is not implemented (silu)");
    for key in ["attention_bias", "mlp_bias"] {
        ensure!(!f.boolean(key, false)?, Config, f.at(key), "biases in the decoder are not implemented");
    }
    let heads = f.uint("num_attention_heads", 32)?;
    let hidden_size = f.uint("hidden_size", 4096)?;
    let explicit_head = f.object.get("head_dim").is_some_and(|v| !v.is_null());
    if !explicit_head {
        f.heads(hidden_size, heads)?;
    }
    let positions = f.positions(positions)?;
    let window = if mistral { f.sliding_window()?.filter(|window| *window < positions) } else { None };
    let config = TextConfig {
        hidden_size,
        intermediate_size: f.uint("intermediate_size", intermediate)?,
        num_hidden_layers: f.layers(32)?,
        num_attention_heads: heads,
        num_key_value_heads: f.uint("num_key_value_heads", kv_heads.unwrap_or(heads))?,
        head_dim: f.uint("head_dim", hidden_size / heads)?,
        vocab_size: f.uint("vocab_size", 32000)?,
        rms_norm_eps: f.float("rms_norm_eps", 1e-6)?,
        rope_theta: rope_theta(f)?,
        max_position_embeddings: window.unwrap_or(positions),
        sliding_window: window,
        tie_word_embeddings: f.boolean("tie_word_embeddings", tied.unwrap_or(false))?,
        bos_token_id: f.uint_or_zero("bos_token_id", 1)?,
        eos_token_ids: match f.object.get("eos_token_id").filter(|v| !v.is_null()) {
            Some(ids) => id_list(ids, &f.at("eos_token_id"))?,
            None => vec![2],
        },
    };
    f.multiple_of_4("hidden_size", config.hidden_size)?;
    f.multiple_of_4("intermediate_size", config.intermediate_size)?;
    ensure!(
        config.head_dim.is_multiple_of(4) && config.head_dim <= 256,
        Config,
        f.at("head_dim"),
        "{} is not a multiple of 4 up to 256",
        config.head_dim
    );
    ensure!(
        heads % config.num_key_value_heads == 0,
        Config,
        f.at("num_key_value_heads"),
        "{} does not divide num_attention_heads {heads}",
        config.num_key_value_heads
    );
    Ok(config)
}

/// Returns the base of the rotary frequencies; refuses scaled variants by name.
fn rope_theta(f: &Fields) -> Result<f32> {
    let rope = f.get("rope_parameters").or(f.get("rope_scaling"));
    let rope_type =
        rope.and_then(|r| r.get("rope_type").or(r.get("type"))).and_then(Value::as_str).unwrap_or("default");
    let unscaled = rope_type == "linear" && rope.and_then(|r| r.get("factor")).and_then(Value::as_f64) == Some(1.0);
    ensure!(
        rope_type == "default" || unscaled,
        Config,
        f.at("rope_scaling"),
        "rope type `{rope_type}` is not implemented (default)"
    );
    let nested = rope.and_then(|r| r.get("rope_theta")).and_then(Value::as_f64).unwrap_or(10000.0);
    f.float("rope_theta", nested)
}

fn activation(name: &str, place: &str) -> Result<Activation> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        other => fail!(Config, place, "`{other}` is not implemented (quick_gelu, gelu)"),
    }
}

fn id_list(value: &Value, place: &str) -> Result<Vec<u32>> {
    let one = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value {
        Value::Array(list) => list.iter().map(one).collect::<Option<Vec<_>>>(),
        single => one(single).map(|id| vec![id]),
    };
    match ids {
        Some(ids) if ids.len() <= 64 => Ok(ids),
        _ => fail!(Config, place, "`{value}` is not a token id or a list of at most 64"),
    }
}
