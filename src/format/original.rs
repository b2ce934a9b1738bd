//! The original LLaVA's checkpoints (`liuhaotian/llava-v1.5-7b` and what was trained with that code): their
//! configuration is flat, their CLIP tower is named and lies elsewhere, their tokenizer is often a SentencePiece
//! model only. This module makes the files of the llava-hf layout of it, so that everything after reads one layout.

use crate::config::json_object;
use crate::error::{Error, Kind, Result};
use crate::format::files::{MAX_JSON, SmallFiles, TOWER_DIRECTORY};
use crate::format::source::{Source, whole};
use crate::format::{gguf, sentencepiece};
use crate::tokenizer::MAX_TOKENIZER;
use crate::{ensure, fail};
use serde_json::{Value, json};

/// Whether config.json is that of the original code: it names its tower.
///
/// # Errors
/// [`Kind::Config`] when it is no JSON object.
pub fn is_original(config: &[u8]) -> Result<bool> {
    let root = json_object(config, "config.json")?;
    Ok(root.get("text_config").is_none() && root.get("mm_vision_tower").is_some())
}

/// Makes the small files of the llava-hf layout.
///
/// # Errors
/// [`Kind::Config`] for what the original code can do and this program cannot, by the field's name;
/// [`Kind::Io`] when there is neither tokenizer.json nor tokenizer.model.
pub async fn small_files<S: Source>(source: &S, config: &[u8]) -> Result<SmallFiles> {
    let root = json_object(config, "config.json")?;
    let tower = whole(source, &format!("{TOWER_DIRECTORY}config.json"), MAX_JSON, Kind::Config).await?;
    let config = to_hf(&root, tower.as_deref())?;
    let tokenizer = tokenizer(source, vocabulary(&root)).await?;
    let preprocessor =
        whole(source, &format!("{TOWER_DIRECTORY}preprocessor_config.json"), MAX_JSON, Kind::Config).await?;
    Ok(SmallFiles {
        config: config.to_string().into_bytes(),
        generation_config: whole(source, "generation_config.json", MAX_JSON, Kind::Config).await?,
        preprocessor_config: Some(to_preprocessor(
            preprocessor.as_deref(),
            is_siglip(&config["vision_config"]),
            &root,
        )?),
        tokenizer,
    })
}

/// Reads `tokenizer.json`, or makes it from `tokenizer.model`, for a model with `rows` embeddings.
///
/// # Errors
/// [`Kind::Io`] when there is neither; [`Kind::Tokenizer`] for what is no vocabulary.
pub(super) async fn tokenizer<S: Source>(source: &S, rows: u32) -> Result<Vec<u8>> {
    if let Some(json) = whole(source, "tokenizer.json", MAX_TOKENIZER, Kind::Tokenizer).await? {
        return Ok(json);
    }
    match whole(source, "tokenizer.model", MAX_TOKENIZER, Kind::Tokenizer).await? {
        Some(model) => gguf::tokenizer_json(&sentencepiece::parse(&model)?, rows),
        None => {
            let hint = "take it from the checkpoint's repository, or from lmsys/vicuna-7b-v1.5";
            Err(Error::new(Kind::Io, "tokenizer.json", "neither it nor tokenizer.model is there").hint(hint))
        }
    }
}

/// Rows of the embedding table.
fn vocabulary(root: &Value) -> u32 {
    let size = root.get("vocab_size").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    size.unwrap_or(32000)
}

/// Converts the flat configuration to `text_config`, `vision_config` and the fields that join them.
fn to_hf(root: &Value, tower: Option<&[u8]>) -> Result<Value> {
    let at = |key: &str| format!("config.json: {key}");
    let text = |key: &str| root.get(key).and_then(Value::as_str);
    ensure!(
        root.get("mm_use_im_start_end") != Some(&Value::Bool(true)),
        Config,
        at("mm_use_im_start_end"),
        "pictures between <im_start> and <im_end> (LLaVA before 1.5) are not implemented"
    );
    let mut vision = match tower {
        Some(bytes) => {
            let tower = json_object(bytes, &format!("{TOWER_DIRECTORY}config.json"))?;
            // A whole CLIP nests what a tower alone has at the top.
            tower.get("vision_config").cloned().unwrap_or(tower)
        }
        // transformers' defaults are those of ViT-L/14-336, which every LLaVA-1.5 has.
        None => match text("mm_vision_tower").and_then(|name| name.rsplit('/').next()) {
            Some("clip-vit-large-patch14-336") => json!({}),
            Some("clip-vit-large-patch14") => json!({"image_size": 224}),
            Some("siglip-so400m-patch14-384") => json!({
                "model_type": SIGLIP, "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                "num_attention_heads": 16, "image_size": 384, "patch_size": 14,
            }),
            other => {
                let what = format!("`{}`: give its directory with config.json", other.unwrap_or("?"));
                return Err(Error::new(Kind::Config, at("mm_vision_tower"), what));
            }
        },
    };
    let siglip = is_siglip(&vision);
    if let Some(fields) = vision.as_object_mut() {
        fields.insert("model_type".into(), json!(if siglip { SIGLIP } else { "clip_vision_model" }));
    }
    let mut decoder = root.clone();
    if let Some(fields) = decoder.as_object_mut() {
        fields.retain(|key, _| !key.starts_with("mm_"));
        // `llava`, `llava_llama`; LLaVA-Mistral (BakLLaVA) has a LLaMA's tensors and perhaps a window; `llava_qwen` and
        // `llava-qwen2` have a Qwen2's.
        let own = text("model_type").unwrap_or_default().replace('_', "");
        let known = [("mistral", "mistral"), ("qwen", "qwen2"), ("phi3", "phi3")];
        let decoder = known.iter().find(|(part, _)| own.contains(part)).map(|(_, decoder)| *decoder);
        fields.insert("model_type".into(), json!(decoder.unwrap_or("llama")));
    }
    let strategy = match text("mm_vision_select_feature").unwrap_or("patch") {
        // There is no class row to drop.
        "patch" if siglip => "full",
        "patch" => "default",
        "cls_patch" => "full",
        other => fail!(Config, at("mm_vision_select_feature"), "`{other}` is unknown (patch, cls_patch)"),
    };
    let tiled = is_tiled(root)?;
    Ok(json!({
        "model_type": if tiled { "llava_next" } else { "llava" },
        "image_grid_pinpoints": root.get("image_grid_pinpoints").filter(|_| tiled),
        "text_config": decoder,
        "vision_config": vision,
        "vision_feature_layer": root.get("mm_vision_select_layer").cloned().unwrap_or(json!(-2)),
        "vision_feature_select_strategy": strategy,
        "mm_projector_type": text("mm_projector_type").unwrap_or("linear"),
        // The first id after the vocabulary, unless a copy says otherwise.
        "image_token_index": root.get("image_token_index").cloned().unwrap_or(json!(vocabulary(root))),
        "tie_word_embeddings": root.get("tie_word_embeddings").cloned().unwrap_or(json!(false)),
    }))
}

/// Whether pictures are read in tiles, as LLaVA-1.6 does.
///
/// # Errors
/// [`Kind::Config`] for another way of joining the tiles than LLaVA-1.6's.
fn is_tiled(root: &Value) -> Result<bool> {
    let text = |key: &str| root.get(key).and_then(Value::as_str);
    let tiled = text("image_aspect_ratio") == Some("anyres");
    let merge = text("mm_patch_merge_type").unwrap_or("flat");
    let joined = !tiled || merge == "spatial_unpad";
    ensure!(joined, Config, "config.json: mm_patch_merge_type", "`{merge}` is not implemented (spatial_unpad)");
    Ok(tiled)
}

/// `model_type` of a SigLIP tower.
const SIGLIP: &str = "siglip_vision_model";

/// Whether a tower's configuration is that of a SigLIP, alone or with its text tower.
fn is_siglip(vision: &Value) -> bool {
    vision.get("model_type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("siglip"))
}

/// Makes `preprocessor_config.json`: the tower's, with the original code's way of cutting a picture, or of making it
/// square.
fn to_preprocessor(clip: Option<&[u8]>, siglip: bool, root: &Value) -> Result<Vec<u8>> {
    let aspect = root.get("image_aspect_ratio").and_then(Value::as_str).unwrap_or("pad");
    let known = matches!(aspect, "pad" | "square" | "anyres");
    ensure!(known, Config, "config.json: image_aspect_ratio", "`{aspect}` is not implemented (pad, square, anyres)");
    let mut json = match clip {
        Some(bytes) => json_object(bytes, "preprocessor_config.json")?,
        None if siglip => json!({"resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}),
        None => json!({}),
    };
    if let Some(fields) = json.as_object_mut() {
        match is_tiled(root)? {
            true => fields.insert("image_processor_type".into(), json!("LlavaNextImageProcessor")),
            false => fields.insert("image_aspect_ratio".into(), json!(aspect)),
        };
    }
    Ok(json.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Activation, Config, PictureLayout, TowerKind};
    use crate::preprocess::{PreprocessConfig, Tiling};

    fn parse(root: Value, tower: Option<Value>) -> Result<Config> {
        let tower = tower.map(|tower| tower.to_string().into_bytes());
        Config::parse(to_hf(&root, tower.as_deref())?.to_string().as_bytes(), None)
    }

    /// nanoLLaVA's tower: its last block and its last norm are not run.
    #[test]
    fn a_siglip_tower_is_known_by_its_name_or_its_configuration() {
        let flat = json!({"model_type": "llava", "mm_vision_tower": "google/siglip-so400m-patch14-384",
            "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_hidden_size": 1152});
        let named = parse(flat.clone(), None).unwrap();
        let v = &named.vision;
        assert_eq!((v.tower, v.hidden_act, v.layer_norm_eps), (TowerKind::Siglip, Activation::GeluTanh, 1e-6));
        assert_eq!((named.vision_blocks, v.num_hidden_layers, v.post_layernorm), (26, 27, false));
        assert_eq!((v.head_dim(), named.feature_rows(), named.keep_class_row), (72, 729, false));
        // The published file nests the tower beside a text tower.
        let nested = json!({"model_type": "siglip", "text_config": {"num_hidden_layers": 27}, "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "image_size": 384,
            "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14}});
        assert_eq!(parse(flat.clone(), Some(nested)).unwrap(), named);
        let other = parse(json!({"mm_vision_tower": "google/siglip-other"}), None).unwrap_err().to_string();
        assert!(other.contains("siglip-other"), "{other}");
        let numbers = String::from_utf8(to_preprocessor(None, true, &json!({})).unwrap()).unwrap();
        assert!(numbers.contains(r#""image_mean":[0.5,0.5,0.5]"#) && numbers.contains("pad"), "{numbers}");
    }

    /// LLaVA-1.6 names its sizes and its way of joining the tiles; its processor is CLIP's, but for the tiles.
    #[test]
    fn a_flat_llava_1_6_becomes_one_of_transformers() {
        let flat = json!({"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14-336",
            "mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad",
            "image_grid_pinpoints": [[336, 672], [672, 336]]});
        let config = parse(flat.clone(), None).unwrap();
        let candidates = vec![[336, 672], [672, 336]];
        assert_eq!(config.layout, PictureLayout::Anyres { candidates: candidates.clone() });
        let file = to_preprocessor(None, false, &flat).unwrap();
        let pixels = PreprocessConfig::parse(Some(&file), &config).unwrap();
        assert_eq!(pixels.tiling, Tiling::Anyres { candidates });
        let joined = json!({"image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial"});
        assert!(is_tiled(&joined).unwrap_err().place.contains("mm_patch_merge_type"));
    }
}
