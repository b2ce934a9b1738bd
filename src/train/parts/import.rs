//! Existing checkpoints → parameters: a CLIP or SigLIP tower and a decoder of LLaMA's kind.
//!
//! - Tower: a Hugging Face folder of the tower alone, of a whole CLIP or SigLIP, or of a LLaVA; or this project's
//!   shards (`manifest.json`), dequantised.
//! - Decoder: a Hugging Face folder, or a GGUF file, dequantised.
//!
//! Tensors are read one at a time, so that memory holds the parameters once. The two configurations are joined to that
//! of a LLaVA, which the engine's own parser checks.

use super::super::params::Params;
use super::stand_in::{MMPROJ, Pair, stand_in_mmproj, width_of};
use crate::config::{Activation, Config, ConnectorKind, PictureLayout, json_object};
use crate::error::{Error, Kind, Result};
use crate::format::checkpoint::Checkpoint;
use crate::format::files::{MANIFEST_FILE, MAX_JSON};
use crate::format::manifest::{Layout, Manifest};
use crate::format::names::{self, Component, DECODER, LM_HEAD, VISION_TOWER};
use crate::format::source::{Source, exactly, whole};
use crate::format::stored::LocatedTensor;
use crate::format::weights::{self, WeightFile};
use crate::native::Folder;
use crate::prompt::Template;
use crate::quant::{Encoding, decode, dequantize};
use crate::tokenizer::{MAX_TOKENIZER, Tokenizer};
use crate::{ensure, fail};
use pollster::block_on;
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::path::Path;

/// A tower, a decoder and the connector between them.
pub struct Parts {
    /// The checked configuration.
    pub config: Config,
    /// `config.json` in the hub's layout.
    pub config_json: Value,
    /// `generation_config.json`.
    pub generation_json: Value,
    /// `tokenizer.json` of the decoder.
    pub tokenizer_json: Vec<u8>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Template of conversations (stage 2).
    pub template: Template,
    /// All parameters, by the hub's names.
    pub params: Params,
}

/// Opens tower and decoder, reads their weights into `params`, and initializes a connector with `rng`.
///
/// # Errors
/// [`Kind::Io`] for files that are missing, [`Kind::Config`] and [`Kind::Tensor`] for what is malformed, contradictory
/// or not implemented.
pub fn open(
    tower: &Path,
    decoder: &Path,
    template: Option<Template>,
    mut params: Params,
    rng: &mut ChaCha8Rng,
) -> Result<Parts> {
    let tower = Tower::open(tower)?;
    let decoder = Decoder::open(decoder)?;
    let template = template.unwrap_or_else(|| Template::for_tokenizer(&decoder.tokenizer));
    let siglip = tower.config["model_type"].as_str().is_some_and(|kind| kind.starts_with("siglip"));
    let config_json = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": decoder.image,
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": true,
        "vision_feature_layer": tower.layer,
        "vision_feature_select_strategy": if siglip { "full" } else { "default" },
        "tie_word_embeddings": decoder.config["tie_word_embeddings"],
        "torch_dtype": "float32",
        "llava_web": {"prompt_template": template.name()},
        "text_config": decoder.config,
        "vision_config": tower.config,
    });
    let generation = decoder.generation.to_string();
    let config = Config::parse(config_json.to_string().as_bytes(), Some(generation.as_bytes()))?;
    ensure!(!config.vision.post_layernorm, Config, "vision_config", "a tower that ends with its last norm");
    let tokenizer = Tokenizer::parse(&decoder.tokenizer, &config)?;
    tower.read(&config, &mut params)?;
    decoder.read(&config, &mut params)?;
    init_connector(&config, &mut params, rng);
    let expected = names::expected(&config);
    if let Some(missing) = expected.iter().find(|e| params.shape(&e.name).is_none()) {
        fail!(Tensor, &missing.name, "is in neither the tower nor the decoder");
    }
    Ok(Parts {
        config,
        config_json,
        generation_json: decoder.generation,
        tokenizer_json: decoder.tokenizer,
        tokenizer,
        template,
        params,
    })
}

/// Initializes the connector as PyTorch initializes linear layers: uniform within `±1/√K`.
fn init_connector(config: &Config, params: &mut Params, rng: &mut ChaCha8Rng) {
    let (c, h) = (config.vision.hidden_size as usize, config.text.hidden_size as usize);
    for (layer, k) in [("linear_1", c), ("linear_2", h)] {
        let name = format!("{}{layer}", names::CONNECTOR);
        params.uniform(format!("{name}.weight"), [k, h], (k as f32).powf(-0.5), rng);
        params.uniform(format!("{name}.bias"), [1, h], (k as f32).powf(-0.5), rng);
    }
}

/// Stores `values`, row-major `shape` as in PyTorch, as the parameter `name`, if `config` needs it.
fn store(config: &Config, params: &mut Params, name: &str, shape: &[u32], values: Vec<f32>) -> Result<()> {
    let Some(expected) = names::expected(config).into_iter().find(|e| e.name == name) else {
        ensure!(names::is_skipped(config, name), Tensor, name, "is not a tensor of this model");
        return Ok(());
    };
    let sides = |shape: &[u32]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<u32>>();
    let wanted = &expected.checkpoint_shape;
    let fits = sides(shape) == sides(wanted) || shape == expected.shape;
    ensure!(fits, Tensor, name, "has the shape {shape:?}; the configuration has {wanted:?}");
    let rows = wanted[0] as usize;
    // This project's shards pad the patch embedding's rows with zeros.
    let (columns, stored) = (wanted[1..].iter().product::<u32>() as usize, values.len() / rows);
    let table = name.contains("embed_tokens") || name.contains("position_embedding");
    match wanted.len() {
        1 => params.set(name.to_owned(), [1, rows], values),
        _ if table => params.set(name.to_owned(), [rows, columns], values),
        _ => {
            let transposed = (0..rows * columns).map(|i| values[i % rows * stored + i / rows]).collect();
            params.set(name.to_owned(), [columns, rows], transposed);
        }
    }
    Ok(())
}

/// Reads a JSON file of a folder.
fn json_file(folder: &Folder, name: &str) -> Result<Option<Value>> {
    let bytes = block_on(whole(folder, name, MAX_JSON, Kind::Config))?;
    bytes.map(|bytes| json_object(&bytes, name)).transpose()
}

/// Reads the tensors of weight files whose canonical names begin with one of `prefixes`.
fn read_files(
    folder: &Folder,
    files: &[WeightFile],
    prefixes: &[&str],
    mut store: impl FnMut(&str, &[u32], Vec<f32>) -> Result<()>,
) -> Result<()> {
    for file in files {
        for tensor in &file.tensors {
            let name = names::canonical(&tensor.key);
            let wanted = prefixes.iter().any(|prefix| name.starts_with(prefix));
            if !wanted || tensor.dtype == Dtype::I64 {
                continue;
            }
            let encoding = match tensor.dtype {
                Dtype::F32 => Encoding::F32,
                Dtype::F16 => Encoding::F16,
                Dtype::BF16 => Encoding::Bf16,
                other => fail!(Tensor, &tensor.key, "is {other:?}; only F32, F16 and BF16 are read"),
            };
            let shape: Vec<u32> = tensor.shape.iter().map(|&n| n as u32).collect();
            let bytes = encoding.row_bytes(tensor.shape.iter().product())?;
            let bytes = block_on(exactly(folder, &file.path, tensor.offset, bytes))?;
            store(&name, &shape, decode(encoding, &bytes)?)?;
        }
    }
    Ok(())
}

/// The files of a tower.
struct Tower {
    folder: Folder,
    config: Value,
    /// Layer whose output is read: that of the LLaVA that the tower is of, else the last but one.
    layer: Value,
    /// This project's shards; `None`: a Hugging Face folder.
    manifest: Option<Manifest>,
}

impl Tower {
    fn open(path: &Path) -> Result<Self> {
        let folder = Folder::new(path, None);
        let Some(mut config) = json_file(&folder, "config.json")? else {
            return Err(Error::new(Kind::Io, path.join("config.json").display().to_string(), "is not there"));
        };
        let family = config["model_type"].as_str().unwrap_or("clip_vision_model").to_owned();
        let layer = config.get("vision_feature_layer").cloned().unwrap_or(json!(-2));
        if let Some(own) = config.get_mut("vision_config").map(Value::take) {
            config = own;
        }
        if config["model_type"].is_null() {
            let siglip = family.starts_with("siglip");
            config["model_type"] = json!(if siglip { "siglip_vision_model" } else { "clip_vision_model" });
        }
        let sharded = block_on(folder.size(MANIFEST_FILE))?.is_some();
        let manifest = if sharded { Some(block_on(Manifest::fetch(&folder))?) } else { None };
        Ok(Self { folder, config, layer, manifest })
    }

    fn read(&self, config: &Config, params: &mut Params) -> Result<()> {
        let Some(manifest) = &self.manifest else {
            let files = block_on(weights::find(&self.folder, ""))?;
            let mut keep = |name: &str, shape: &[u32], values| store(config, params, name, shape, values);
            // A whole SigLIP's text tower has other names; its pooling head is skipped.
            return read_files(&self.folder, &files, &[VISION_TOWER], &mut keep);
        };
        for tensor in manifest.tensors.iter().filter(|t| t.name.starts_with(VISION_TOWER)) {
            let mut values = Vec::new();
            for tile in &tensor.tiles {
                let shard = &manifest.shards[tile.shard as usize].file;
                let bytes = block_on(exactly(&self.folder, shard, tile.offset, tile.bytes))?;
                values.extend(match tensor.layout {
                    Layout::Rows => decode(Encoding::F32, &bytes)?,
                    Layout::Blocks => {
                        dequantize(tensor.weight_type, tile.rows[1] - tile.rows[0], tensor.shape[1], &bytes)?
                    }
                });
            }
            store(config, params, &tensor.name, &tensor.shape, values)?;
        }
        Ok(())
    }
}

/// The files of a decoder.
struct Decoder {
    source: DecoderFiles,
    config: Value,
    generation: Value,
    tokenizer: Vec<u8>,
    /// Id of the image token: beyond the vocabulary, unless it has one.
    image: u32,
}

enum DecoderFiles {
    Directory(Folder, Vec<WeightFile>),
    Gguf(Pair, Vec<String>, Vec<LocatedTensor>),
}

impl Decoder {
    fn open(path: &Path) -> Result<Self> {
        let gguf = |path: &Path| path.extension().is_some_and(|end| end == "gguf");
        if gguf(path) { Self::open_gguf(path) } else { Self::open_directory(path) }
    }

    fn open_directory(path: &Path) -> Result<Self> {
        let folder = Folder::new(path, None);
        let missing = |name: &str| Error::new(Kind::Io, path.join(name).display().to_string(), "is not there");
        let Some(mut config) = json_file(&folder, "config.json")? else { return Err(missing("config.json")) };
        if let Some(own) = config.get_mut("text_config").map(Value::take) {
            config = own;
        }
        let tokenizer = block_on(whole(&folder, "tokenizer.json", MAX_TOKENIZER, Kind::Tokenizer))?;
        let tokenizer = tokenizer.ok_or_else(|| missing("tokenizer.json"))?;
        let json: Value = serde_json::from_slice(&tokenizer)
            .map_err(|e| Error::new(Kind::Tokenizer, "tokenizer.json", e.to_string()))?;
        let added = json["added_tokens"].as_array().into_iter().flatten();
        let own = added.filter(|token| token["content"] == "<image>").find_map(|token| token["id"].as_u64());
        let image = own.or(config["vocab_size"].as_u64()).unwrap_or(32000) as u32;
        let generation = json_file(&folder, "generation_config.json")?
            .unwrap_or_else(|| json!({"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}));
        let files = block_on(weights::find(&folder, ""))?;
        Ok(Self { source: DecoderFiles::Directory(folder, files), config, generation, tokenizer, image })
    }

    fn open_gguf(path: &Path) -> Result<Self> {
        let base = path.parent().filter(|base| !base.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The reader of pairs wants an mmproj whose width is the decoder's: the smallest one stands in.
        let folder = Folder::new(base, None);
        let width = block_on(width_of(&folder, &name))?;
        let pair = Pair { folder, mmproj: stand_in_mmproj(width)? };
        let checkpoint = block_on(Checkpoint::open(&pair, &[name, MMPROJ.to_owned()]))?;
        let mut config: Value = json_object(&checkpoint.small.config, "config.json")?;
        let generation = checkpoint.small.generation_config.as_deref().unwrap_or(b"{}");
        let generation = json_object(generation, "generation_config.json")?;
        let tensors = checkpoint.tensors.into_iter().filter(|(expected, _)| {
            matches!(expected.component, Component::Embeddings | Component::Decoder | Component::Head)
        });
        let tensors = tensors.map(|(_, located)| located).collect();
        Ok(Self {
            source: DecoderFiles::Gguf(pair, checkpoint.files, tensors),
            image: checkpoint.config.image_token_index,
            config: config["text_config"].take(),
            generation,
            tokenizer: checkpoint.small.tokenizer,
        })
    }

    fn read(&self, config: &Config, params: &mut Params) -> Result<()> {
        match &self.source {
            DecoderFiles::Directory(folder, files) => {
                let mut keep = |name: &str, shape: &[u32], values| store(config, params, name, shape, values);
                read_files(folder, files, &[DECODER, LM_HEAD], &mut keep)
            }
            DecoderFiles::Gguf(pair, files, tensors) => {
                for tensor in tensors {
                    let bytes = block_on(exactly(pair, &files[tensor.file], tensor.offset, tensor.bytes()))?;
                    let mut values = decode(tensor.encoding, &bytes)?;
                    if let Some(heads) = tensor.rope_heads {
                        values = halves(&values, heads as usize, tensor.shape[0] as usize);
                    }
                    store(config, params, &tensor.name, &tensor.shape, values)?;
                }
                Ok(())
            }
        }
    }
}

/// Undoes llama.cpp's order of the rows of `q` and `k`: within each head, row `2i` becomes row `i`, and row `2i + 1`
/// becomes row `D/2 + i`.
fn halves(values: &[f32], heads: usize, rows: usize) -> Vec<f32> {
    let (size, columns) = (rows / heads, values.len() / rows);
    let source = |row: usize| {
        let (head, at) = (row / size, row % size);
        head * size + if at < size / 2 { 2 * at } else { 2 * (at - size / 2) + 1 }
    };
    (0..rows).flat_map(|row| values[source(row) * columns..][..columns].iter().copied()).collect()
}

/// Refuses what the recipe does not train: connectors other than LLaVA-1.5's, pictures in tiles.
pub(super) fn check(config: &Config) -> Result<()> {
    let plain = config.connector == ConnectorKind::Mlp2x(Activation::Gelu) && config.layout == PictureLayout::Single;
    ensure!(plain, Config, "config.json", "only LLaVA-1.5's connector is trained: two layers with GELU, one tile");
    Ok(())
}
