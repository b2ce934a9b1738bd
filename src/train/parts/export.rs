//! Export of a trained LLaVA: the hub's layout, this project's shards, and an mmproj for llama.cpp.
//!
//! The vocabulary of a decoder has no token for a picture. The hub's layout needs a row for it: the table gets 32 further
//! rows, all the mean of the others, and `<image>` is the first of them (llava-hf's files do the same with 64). The
//! mmproj needs none of it: beside the decoder's own GGUF file it is a whole LLaVA after stage 1.

use super::super::params::Params;
use super::super::run::io;
use super::import::Parts;
use super::lora;
use crate::config::{Config, TowerKind};
use crate::error::{Error, Kind, Result};
use crate::format::convert::{ConvertOptions, Sink, convert};
use crate::format::gguf::Value as Gguf;
use crate::format::gguf::write::{self, TensorSpec};
use crate::format::names::{self, Component, EMBED_TOKENS, Expected, LM_HEAD};
use crate::native::Folder;
use crate::preprocess::PreprocessConfig;
use crate::quant::{Encoding, WeightType};
use crate::tokenizer::IMAGE_MARK;
use half::f16;
use pollster::block_on;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Rows that are added to the vocabulary.
const ADDED: usize = 32;

/// Merges adapters and returns each tensor that the configuration needs, as PyTorch stores it.
fn tensor(params: &Params, expected: &Expected) -> Result<(Vec<usize>, Vec<f32>)> {
    let missing = || Error::new(Kind::Tensor, &expected.name, "is not a parameter");
    let ([rows, columns], values) = params.get(&expected.name).ok_or_else(missing)?;
    let shape: Vec<usize> = expected.checkpoint_shape.iter().map(|&n| n as usize).collect();
    let table = expected.name.contains("embed_tokens") || expected.name.contains("position_embedding");
    if shape.len() == 1 || table {
        return Ok((shape, values));
    }
    let transposed = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
    Ok((shape, transposed))
}

/// Appends rows that are the mean of the others.
fn extend(shape: &mut [usize], values: &mut Vec<f32>) {
    let [rows, columns] = [shape[0], shape[1]];
    let mut mean = vec![0.0f64; columns];
    for row in values.chunks(columns) {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) / rows as f64);
    }
    let mean: Vec<f32> = mean.into_iter().map(|x| x as f32).collect();
    (0..ADDED).for_each(|_| values.extend_from_slice(&mean));
    shape[0] += ADDED;
}

/// Writes the hub's layout into `out`: configuration, tokenizer, one file of weights in f32.
///
/// # Errors
/// [`Kind::Io`] when a file cannot be written.
pub fn hub(parts: &mut Parts, out: &Path) -> Result<()> {
    lora::merge(&mut parts.params);
    std::fs::create_dir_all(out).map_err(io(out))?;
    let added = parts.config.image_token_index >= parts.config.text.vocab_size;
    for (name, value) in small_files(parts, added)? {
        let path = out.join(name);
        std::fs::write(&path, format!("{value:#}\n")).map_err(io(&path))?;
    }
    let mut tensors = Vec::new();
    for expected in names::expected(&parts.config) {
        let (mut shape, mut values) = tensor(&parts.params, &expected)?;
        if added && (expected.name == EMBED_TOKENS || expected.name == LM_HEAD) {
            extend(&mut shape, &mut values);
        }
        tensors.push((expected.name, shape, values));
    }
    let path = out.join("model.safetensors");
    let fail = |e: safetensors::SafeTensorError| Error::new(Kind::Io, path.display().to_string(), e.to_string());
    let mut views = Vec::new();
    for (name, shape, values) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).map_err(fail)?;
        views.push((name.as_str(), view));
    }
    let meta = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(meta), &path).map_err(fail)
}

/// Returns name and content of the configuration files. `added`: the vocabulary grows for the image token.
fn small_files(parts: &Parts, added: bool) -> Result<Vec<(&'static str, Value)>> {
    let (mut config, v) = (parts.config_json.clone(), &parts.config.vision);
    // Blocks that are not run were not read.
    config["vision_config"]["num_hidden_layers"] = json!(parts.config.vision_blocks);
    config["vision_feature_layer"] = json!(-1);
    if added {
        config["text_config"]["vocab_size"] = json!(parts.config.text.vocab_size as usize + ADDED);
    }
    config["image_seq_length"] = json!(parts.config.feature_rows());
    let bad = |e: serde_json::Error| Error::new(Kind::Tokenizer, "tokenizer.json", e.to_string());
    let mut tokenizer: Value = serde_json::from_slice(&parts.tokenizer_json).map_err(bad)?;
    let known = tokenizer["added_tokens"].as_array().into_iter().flatten().any(|t| t["content"] == IMAGE_MARK);
    if let (false, Some(list)) = (known, tokenizer["added_tokens"].as_array_mut()) {
        list.push(json!({"id": parts.config.image_token_index, "content": IMAGE_MARK, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true}));
    }
    let pixels = PreprocessConfig::of(&parts.config);
    let siglip = v.tower == TowerKind::Siglip;
    let [mean, std] = [pixels.mean, pixels.std].map(|v| v.map(|x| f64::from(x as f32)));
    let mut preprocessor = json!({
        "image_processor_type": if siglip { "SiglipImageProcessor" } else { "CLIPImageProcessor" },
        "processor_class": "LlavaProcessor",
        "do_convert_rgb": true, "do_resize": true, "do_rescale": true, "do_normalize": true,
        "resample": 3, "rescale_factor": 1.0 / 255.0, "image_mean": mean, "image_std": std,
        "size": {"height": v.image_size, "width": v.image_size},
    });
    if !siglip {
        preprocessor["size"] = json!({"shortest_edge": v.image_size});
        preprocessor["crop_size"] = json!({"height": v.image_size, "width": v.image_size});
        preprocessor["do_center_crop"] = json!(true);
        preprocessor["image_aspect_ratio"] = json!("pad");
    }
    Ok(vec![
        ("config.json", config),
        ("generation_config.json", parts.generation_json.clone()),
        ("preprocessor_config.json", preprocessor),
        ("tokenizer.json", tokenizer),
    ])
}

/// A folder that receives files.
struct Target(PathBuf);

impl Sink for Target {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).map_err(io(&path))
    }
}

/// Converts the hub's layout in `from` to manifest and shards in `out`.
///
/// # Errors
/// Those of [`convert`].
pub fn shards(from: &Path, out: &Path, quant: WeightType, name: &str) -> Result<()> {
    std::fs::create_dir_all(out).map_err(io(out))?;
    let (folder, entry) = Folder::locate(from, None, None)?;
    let mut target = Target(out.to_owned());
    let options = ConvertOptions::new(quant, name);
    block_on(convert(&folder, &entry, name, &mut target, &options, &mut |_| ()))?;
    Ok(())
}

/// Returns the mmproj: tower and connector as a GGUF file; matrices in f16, vectors in f32.
///
/// # Errors
/// [`Kind::Tensor`] when a parameter is missing.
pub fn mmproj(config: &Config, params: &Params) -> Result<Vec<u8>> {
    let vision = |e: &Expected| matches!(e.component, Component::VisionTower | Component::Connector);
    let (mut specs, mut data) = (Vec::new(), Vec::new());
    for expected in names::expected(config).into_iter().filter(vision) {
        let (_, values) = tensor(params, &expected)?;
        let Some(name) = write::name(&expected.name) else {
            return Err(Error::new(Kind::Tensor, expected.name, "has no name in llama.cpp"));
        };
        let matrix = expected.checkpoint_shape.len() > 1 && !name.contains("position");
        let encoding = if matrix { Encoding::F16 } else { Encoding::F32 };
        data.push(match matrix {
            true => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect::<Vec<u8>>(),
            false => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        });
        specs.push(TensorSpec { name, encoding, shape: expected.checkpoint_shape });
    }
    let mut data = data.into_iter();
    write::file(&mmproj_metadata(config), &specs, |_| data.next().unwrap_or_default())
}

fn mmproj_metadata(config: &Config) -> Vec<(String, Gguf)> {
    use crate::config::Activation;
    let v = &config.vision;
    let pixels = PreprocessConfig::of(config);
    let mut list: Vec<(&str, Gguf)> = vec![
        ("general.architecture", "clip".into()),
        ("general.name", "llava-web".into()),
        ("general.file_type", 1u32.into()),
        ("clip.has_text_encoder", false.into()),
        ("clip.has_vision_encoder", true.into()),
        ("clip.has_llava_projector", true.into()),
        ("clip.projector_type", "mlp".into()),
        ("clip.use_gelu", (v.hidden_act != Activation::QuickGelu).into()),
    ];
    for (key, value) in [
        ("clip.vision.image_size", v.image_size),
        ("clip.vision.patch_size", v.patch_size),
        ("clip.vision.embedding_length", v.hidden_size),
        ("clip.vision.feed_forward_length", v.intermediate_size),
        ("clip.vision.projection_dim", config.text.hidden_size),
        ("clip.vision.attention.head_count", v.num_attention_heads),
        ("clip.vision.block_count", config.vision_blocks),
    ] {
        list.push((key, value.into()));
    }
    list.push(("clip.vision.attention.layer_norm_epsilon", v.layer_norm_eps.into()));
    list.push(("clip.vision.image_mean", pixels.mean.map(|x| x as f32).as_slice().into()));
    list.push(("clip.vision.image_std", pixels.std.map(|x| x as f32).as_slice().into()));
    list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
