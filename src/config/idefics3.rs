//! Idefics3 and SmolVLM (`idefics3`, `smolvlm`): SigLIP tower with its last norm, pixel-shuffle connector, LLaMA
//! decoder.
//!
//! Absent fields take the values of transformers' Idefics3Config, which SmolVLMConfig shares. `perceiver_config`,
//! `pad_token_id` and what belongs to videos is not read.

use super::fields::Fields;
use super::types::{Config, ConnectorKind, PictureLayout};
use super::{llava, text, towers};
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
    let mut text = text::text(&part("config.json: text_config", "text_config")?, None)?;
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

#[cfg(test)]
mod tests {
    use crate::config::{Activation, Config, TowerKind, VisionConfig};
    use serde_json::{Value, json};

    /// SmolVLM-256M-Instruct, with the fields that its vision_config states and some that nothing depends on.
    fn smolvlm_256m() -> Value {
        json!({"model_type": "idefics3", "image_token_id": 49190, "scale_factor": 4, "tie_word_embeddings": false,
            "pad_token_id": 128_002, "perceiver_config": {"model_type": "vllama3"},
            "vision_config": {"model_type": "idefics3", "hidden_size": 768, "num_attention_heads": 12,
                "image_size": 512, "patch_size": 16, "size": {"longest_edge": 512}, "use_base_siglip": true},
            "text_config": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
                "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
                "vocab_size": 49280, "max_position_embeddings": 8192, "rope_theta": 1e5, "rms_norm_eps": 1e-5,
                "tie_word_embeddings": true, "pad_token_id": 2, "perceiver_config": {}, "rope_scaling": null}})
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Config, String> {
        let mut json = smolvlm_256m();
        change(&mut json);
        Config::parse(json.to_string().as_bytes(), None).map_err(|e| e.to_string())
    }

    #[test]
    fn absent_fields_are_those_of_transformers() {
        let config = with(|_| ()).unwrap();
        let vision = VisionConfig {
            tower: TowerKind::Siglip,
            post_layernorm: true,
            image_size: 512,
            patch_size: 16,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            layer_norm_eps: 1e-6,
            hidden_act: Activation::GeluTanh,
        };
        assert_eq!((config.vision, config.vision_blocks), (vision, 12));
        assert!(!config.text.tie_word_embeddings, "the outer field decides alone");
        let bare = with(|c| {
            c["vision_config"] = json!({});
            c["text_config"] = json!({});
            ["scale_factor", "image_token_id"].iter().for_each(|key| c[key] = Value::Null);
        });
        let error = bare.unwrap_err();
        assert!(error.contains("scale_factor") && error.contains("7 patches"), "224 / 32 and 2: {error}");
        let smolvlm = with(|c| {
            c["model_type"] = json!("smolvlm");
            c["vision_config"] = json!({"model_type": "smolvlm_vision", "image_size": 384, "patch_size": 14});
            c["scale_factor"] = json!(3);
            c["text_config"]["rms_norm_eps"] = Value::Null;
        });
        let smolvlm = smolvlm.unwrap();
        assert_eq!((smolvlm.vision.grid(), smolvlm.tile_rows(), smolvlm.vision.head_dim()), (27, 81, 72));
        assert_eq!(smolvlm.text.rms_norm_eps, 1e-6);
        assert!(with(|c| c["tie_word_embeddings"] = json!(true)).unwrap().text.tie_word_embeddings);
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (part, key, value) in [
            ("vision_config", "model_type", json!("siglip2_vision_model")),
            ("vision_config", "hidden_act", json!("relu")),
            ("vision_config", "num_channels", json!(1)),
            ("vision_config", "image_size", json!([512, 512])),
            ("vision_config", "patch_size", json!(1024)),
            ("text_config", "model_type", json!("gemma")),
        ] {
            let error = with(|c| c[part][key] = value).unwrap_err();
            assert!(error.contains(part) && (error.contains(key) || key == "patch_size"), "{error}");
        }
        for key in ["vision_config", "text_config"] {
            assert!(with(|c| c[key] = Value::Null).unwrap_err().contains(key));
        }
        for factor in [json!(0), json!(3), json!(32), json!("4")] {
            assert!(with(|c| c["scale_factor"] = factor).unwrap_err().contains("scale_factor"));
        }
    }

    /// llava-interleave-qwen-0.5b has `full`: with `default`, transformers would drop the first patch.
    #[test]
    fn a_llava_may_have_a_siglip_tower() {
        let llava = |select: &str| {
            let json = json!({"vision_feature_layer": -1, "vision_feature_select_strategy": select,
                "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 384,
                    "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 26, "patch_size": 14,
                    "vision_use_head": false}});
            Config::parse(json.to_string().as_bytes(), None).map_err(|e| e.to_string())
        };
        let config = llava("full").unwrap();
        assert_eq!((config.vision_blocks, config.feature_rows(), config.tile_rows()), (26, 729, 729));
        assert!(!config.vision.post_layernorm && config.vision.hidden_act == Activation::GeluTanh);
        assert!(llava("default").unwrap_err().contains("vision_feature_select_strategy"));
    }
}
