//! Export of the trained model as a Hugging Face LLaVA checkpoint (llava-hf layout).
//!
//! Parameters already have Hugging Face's names. Matrices are transposed to `[out, in]`, `[1, n]` becomes `[n]`, and
//! the patch embedding gets its convolution's shape `[C, 3, p, p]`. Parameters of the contrastive stage are left out.
// budget: `configs` is two JSON files, field by field.

use super::model_shape::ModelShape;
use super::params::Params;
use super::patches::preprocess_config;
use super::run::io;
use super::whitening;
use crate::error::{Error, Kind, Result};
use crate::scenes::bpe::{BOS, EOS, IMAGE, SPECIALS, UNK};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::path::Path;

/// Longest context, tokens; longer than every training conversation.
const CONTEXT: usize = 512;

/// Writes the whole checkpoint, tokenizer included, into `out`.
///
/// # Errors
/// [`Kind::Io`] when a file cannot be written.
pub fn export(params: &Params, shape: &ModelShape, tokenizer: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(io(out))?;
    for (name, value) in configs(shape).into_iter().chain([("tokenizer.json", begin_with_bos(tokenizer)?)]) {
        let path = out.join(name);
        std::fs::write(&path, format!("{value:#}\n")).map_err(io(&path))?;
    }
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = whitening::folded(params)
        .into_iter()
        .filter(|(name, ..)| !name.starts_with("clip_"))
        .map(|(name, (dims, values))| {
            let (dims, values) = hugging_face(&name, dims, values, shape);
            (name, dims, values)
        })
        .collect();
    let path = out.join("model.safetensors");
    let fail = |e: safetensors::SafeTensorError| Error::new(Kind::Io, path.display().to_string(), e.to_string());
    let mut views = Vec::new();
    for (name, dims, values) in &tensors {
        let view = TensorView::new(Dtype::F32, dims.clone(), bytemuck::cast_slice(values)).map_err(fail)?;
        views.push((name.as_str(), view));
    }
    let meta = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(meta), &path).map_err(fail)
}

/// Reads `tokenizer.json` and adds a post-processor that puts `<s>` first, as in LLaMA's own tokenizer file.
fn begin_with_bos(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).map_err(io(path))?;
    let fail = |e: serde_json::Error| Error::new(Kind::Tokenizer, path.display().to_string(), e.to_string());
    let mut file: Value = serde_json::from_slice(&text).map_err(fail)?;
    let bos = SPECIALS[BOS as usize];
    let special = json!({"SpecialToken": {"id": bos, "type_id": 0}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    file["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [special, sequence("A", 0)],
        "pair": [special, sequence("A", 0), sequence("B", 1)],
        "special_tokens": {bos: {"id": bos, "ids": [BOS], "tokens": [bos]}},
    });
    Ok(file)
}

/// Converts one parameter to PyTorch's shape and order of values.
fn hugging_face(name: &str, dims: [usize; 2], values: Vec<f32>, s: &ModelShape) -> (Vec<usize>, Vec<f32>) {
    let [rows, columns] = dims;
    if rows == 1 {
        return (vec![columns], values);
    }
    if name.contains("embed_tokens") || name.contains("position_embedding") {
        return (vec![rows, columns], values);
    }
    let transposed = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
    let dims = match name.contains("patch_embedding") {
        true => vec![columns, 3, s.patch_size, s.patch_size],
        false => vec![columns, rows],
    };
    (dims, transposed)
}

/// Returns name and content of every configuration file.
fn configs(s: &ModelShape) -> Vec<(&'static str, Value)> {
    let [unk, bos, eos, image] = SPECIALS;
    let side = json!({"height": s.image_size, "width": s.image_size});
    let config = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": IMAGE,
        "image_seq_length": s.patches(),
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": true,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
        "pad_token_id": UNK,
        "llava_web": {"prompt_template": "llava_hf"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": s.image_size,
            "patch_size": s.patch_size,
            "hidden_size": s.vision_width,
            "intermediate_size": s.vision_mlp,
            "num_hidden_layers": s.vision_layers,
            "num_attention_heads": s.vision_heads,
            "projection_dim": s.vision_width,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": s.hidden,
            "intermediate_size": s.mlp,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "num_key_value_heads": s.heads,
            "head_dim": s.hidden / s.heads,
            "vocab_size": s.vocab,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "attention_bias": false,
            "tie_word_embeddings": false,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "pad_token_id": UNK,
        },
    });
    // Rounded to f32, as in the shipped model's file.
    let [mean, std] = {
        let p = preprocess_config(s);
        [p.mean, p.std].map(|v| v.map(|x| f64::from(x as f32)))
    };
    let preprocessor = json!({
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor",
        "image_aspect_ratio": "pad",
        "do_pad": true,
        "do_convert_rgb": true,
        "do_resize": true,
        "size": {"shortest_edge": s.image_size},
        "resample": 3,
        "do_center_crop": true,
        "crop_size": side,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": mean,
        "image_std": std,
    });
    let processor = json!({
        "processor_class": "LlavaProcessor",
        "image_token": image,
        "patch_size": s.patch_size,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    });
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos, "eos_token": eos, "unk_token": unk, "pad_token": unk,
        "extra_special_tokens": {"image_token": image},
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": false,
    });
    let generation = json!({"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": UNK, "max_length": CONTEXT});
    vec![
        ("config.json", config),
        ("preprocessor_config.json", preprocessor),
        ("processor_config.json", processor),
        ("tokenizer_config.json", tokenizer),
        ("special_tokens_map.json", json!({"bos_token": bos, "eos_token": eos, "unk_token": unk, "pad_token": unk})),
        ("generation_config.json", generation),
    ]
}
