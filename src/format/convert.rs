//! A Hugging Face checkpoint → manifest and shards.
//!
//! Everything is read in runs of rows and written shard by shard: beside one shard, at most one tile of the
//! largest tensor is in memory. Where files come from and go to is the caller's business ([`Source`],
//! [`Sink`]).

use crate::config::{Config, json_object};
use crate::error::{Error, Kind, Result};
use crate::format::manifest::{Files, Layout, MANIFEST_FILE, Manifest, TensorRecord, VERSION};
use crate::format::names::{self, Expected, PATCH_EMBEDDING, Role, Stage};
use crate::format::safetensors::{Checkpoint, Located, Source};
use crate::format::shards::{FileRecord, ShardWriter};
use crate::preprocess::PreprocessConfig;
use crate::prompt::Template;
use crate::quant::{self, WeightType};
use crate::tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::Value;

/// Values read and quantised at a time: 8 MiB of f32.
const RUN_VALUES: u64 = 2 << 20;

/// What the person chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decoder and head.
    pub quant: WeightType,
    /// Vision tower and connector; `None`: as [`Options::quant`], but no narrower than f16. The tower is small
    /// and runs once per image, and its errors reach every token.
    pub vision_quant: Option<WeightType>,
    /// Embedding table; `None`: as [`Options::quant`], but no narrower than f16. One row of it is read per
    /// token, so narrow types gain memory, not speed (unless the head is tied to it).
    pub embed_quant: Option<WeightType>,
    /// Length of a shard, bytes.
    pub shard_bytes: u64,
    /// `None`: `llava_web.prompt_template` of config.json, else `vicuna_v1`.
    pub prompt_template: Option<Template>,
    /// What to call the model.
    pub name: String,
}

impl Options {
    /// The defaults: 64 MiB shards, tower and table in f16.
    pub fn new(quant: WeightType, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { quant, vision_quant: None, embed_quant: None, shard_bytes: 64 << 20, prompt_template: None, name }
    }

    /// How `tensor` is stored.
    ///
    /// # Errors
    /// [`Kind::Tensor`] if its rows fit no type.
    pub fn weight_type(&self, tensor: &Expected) -> Result<WeightType> {
        let at_least_half = self.quant.min(WeightType::F16);
        let wanted = match (tensor.role, tensor.stage) {
            (Role::Vector, _) => return Ok(WeightType::F32),
            (Role::Table, _) => self.embed_quant.unwrap_or(at_least_half),
            (_, Stage::VisionTower | Stage::Connector) => self.vision_quant.unwrap_or(at_least_half),
            _ => self.quant,
        };
        // The first layer sees pixels, is tiny, and is what quantisation hurts most: f16 at least.
        let wanted = if tensor.name == PATCH_EMBEDDING { wanted.min(WeightType::F16) } else { wanted };
        quant::widest_fitting(wanted, tensor.shape[1]).map_err(|e| Error { place: tensor.name.clone(), ..e })
    }
}

/// Receives the files.
pub trait Sink {
    /// Writes one whole file.
    ///
    /// # Errors
    /// [`Kind::Io`].
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()>;
}

/// Told about every run of rows.
pub struct Progress<'a> {
    /// The tensor being written.
    pub tensor: &'a str,
    /// Parameters done.
    pub done: u64,
    /// Parameters in all.
    pub total: u64,
}

/// Converts the checkpoint in `source`; the manifest is written last and returned.
///
/// # Errors
/// Whatever the configuration, the checkpoint, the tokenizer or the files have wrong with them, by name.
pub fn convert(
    source: &dyn Source,
    sink: &mut dyn Sink,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest> {
    let config_json = required(source, "config.json")?;
    let generation = source.read("generation_config.json")?;
    let preprocessor = source.read("preprocessor_config.json")?;
    let tokenizer = required(source, "tokenizer.json")?;
    let config = Config::parse(&config_json, generation.as_deref())?;
    // What a loader would refuse later is refused before hours of work.
    Tokenizer::parse(&tokenizer, &config)?;
    PreprocessConfig::parse(preprocessor.as_deref(), &config.vision)?;
    let prompt_template = match options.prompt_template {
        Some(template) => template,
        None => template_of(&config_json)?,
    };
    let checkpoint = Checkpoint::open(source)?;
    checkpoint.match_config(&config)?;
    let (tensors, shards, parameters) = tensors(&config, &checkpoint, sink, options, progress)?;
    let mut small = |name: &str, bytes: &[u8]| -> Result<FileRecord> {
        sink.write(name, bytes)?;
        Ok(FileRecord::of(name, bytes))
    };
    let mut optional = |name: &str, bytes: Option<Vec<u8>>| bytes.map(|bytes| small(name, &bytes)).transpose();
    let generation_config = optional("generation_config.json", generation)?;
    let preprocessor_config = optional("preprocessor_config.json", preprocessor)?;
    let files = Files {
        config: small("config.json", &config_json)?,
        generation_config,
        preprocessor_config,
        tokenizer: small("tokenizer.json", &tokenizer)?,
    };
    let name = options.name.clone();
    let manifest = Manifest {
        format: "llava-web".into(),
        version: VERSION,
        name,
        prompt_template,
        files,
        shards,
        tensors,
        parameters,
    };
    // Read as a stranger would read it, before anyone else does.
    let json = manifest.to_json();
    let parsed = Manifest::parse(json.as_bytes())?;
    parsed.match_config(&config)?;
    sink.write(MANIFEST_FILE, json.as_bytes())?;
    Ok(parsed)
}

fn required(source: &dyn Source, name: &str) -> Result<Vec<u8>> {
    let hint = "a checkpoint directory in the llava-hf layout has config.json, tokenizer.json and safetensors files";
    source.read(name)?.ok_or_else(|| Error::new(Kind::Io, name, "is not there").hint(hint))
}

/// `llava_web.prompt_template` in config.json: how our own training says what it trained with.
fn template_of(config: &[u8]) -> Result<Template> {
    let root = json_object(config, "config.json")?;
    let place = "config.json: llava_web.prompt_template";
    match root.get("llava_web").and_then(|ours| ours.get("prompt_template")) {
        None | Some(Value::Null) => Ok(Template::default()),
        Some(name) => Template::deserialize(name).map_err(|e| Error::new(Kind::Config, place, e.to_string())),
    }
}

type Written = (Vec<TensorRecord>, Vec<FileRecord>, u64);

fn tensors(
    config: &Config,
    checkpoint: &Checkpoint,
    sink: &mut dyn Sink,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written> {
    let expected = names::expected(config);
    let total = expected.iter().map(Expected::parameters).sum();
    let mut done = 0;
    let mut emit = |name: &str, bytes: &[u8]| sink.write(name, bytes);
    let mut writer = ShardWriter::new(options.shard_bytes);
    let mut records = Vec::new();
    for tensor in &expected {
        let Some(located) = checkpoint.get(&tensor.name) else {
            crate::fail!(Tensor, &tensor.name, "is missing from the checkpoint");
        };
        let weight_type = options.weight_type(tensor)?;
        let (layout, ranges) = match tensor.role {
            Role::Vector => (Layout::Rows, vec![[0, tensor.shape[0]]]),
            _ => (Layout::Blocks, quant::row_tiles(weight_type, tensor.shape[0], tensor.shape[1])?),
        };
        let mut tiles = Vec::new();
        for rows in ranges {
            let mut report = |values: u64| {
                done += values;
                progress(Progress { tensor: &tensor.name, done, total });
            };
            let bytes = match layout {
                Layout::Rows => vector(checkpoint, located, &tensor.name)?,
                Layout::Blocks => tile(checkpoint, located, tensor, weight_type, rows, &mut report)?,
            };
            if layout == Layout::Rows {
                report(tensor.parameters());
            }
            tiles.push(writer.add(rows, &bytes, &mut emit)?);
        }
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        records.push(TensorRecord { name, weight_type, layout, shape, tiles });
    }
    Ok((records, writer.finish(&mut emit)?, total))
}

/// A whole vector as little-endian f32.
fn vector(checkpoint: &Checkpoint, located: &Located, name: &str) -> Result<Vec<u8>> {
    let values = checkpoint.read(located, 0, located.values())?;
    let bad = values.iter().position(|w| !w.is_finite());
    crate::ensure!(bad.is_none(), Tensor, name, "value {} is {}", bad.unwrap(), values[bad.unwrap()]);
    Ok(values.iter().flat_map(|w| w.to_le_bytes()).collect())
}

/// Rows `rows` of a matrix as planes, read and quantised a few rows at a time. Rows shorter than the stored
/// width (the patch embedding) are filled up with zeros.
fn tile(
    checkpoint: &Checkpoint,
    located: &Located,
    tensor: &Expected,
    weight_type: WeightType,
    rows: [u32; 2],
    report: &mut dyn FnMut(u64),
) -> Result<Vec<u8>> {
    let (n, k) = (rows[1] - rows[0], tensor.shape[1]);
    let width: u64 = located.shape[1..].iter().map(|&side| u64::from(side)).product();
    let mut planes = vec![0; quant::stored_bytes(weight_type, n, k)? as usize];
    let run = (RUN_VALUES / width).clamp(1, u64::from(n)) as u32;
    for first in (0..n).step_by(run as usize) {
        let count = run.min(n - first);
        let from = u64::from(rows[0] + first) * width;
        let mut values = checkpoint.read(located, from, u64::from(count) * width)?;
        if width < u64::from(k) {
            let padded = values.chunks_exact(width as usize).flat_map(|row| {
                let zeros = std::iter::repeat_n(0.0, k as usize - row.len());
                row.iter().copied().chain(zeros)
            });
            values = padded.collect();
        }
        quant::quantize_rows(weight_type, n, k, first, &values, &mut planes)
            .map_err(|e| Error { place: format!("{}: {}", tensor.name, e.place), ..e })?;
        report(u64::from(count) * width);
    }
    Ok(planes)
}
