//! A checkpoint of any layout → manifest and shards.
//!
//! The checkpoint's own [`Blueprint`] is followed part by part, as a loader would, and the rows of the device are
//! written to shards. Memory holds one shard, one part and its rows. The caller provides the files ([`Source`],
//! [`Sink`]).

use crate::error::Result;
use crate::format::blueprint::Blueprint;
use crate::format::checkpoint::Checkpoint;
use crate::format::files::{FileRecord, MANIFEST_FILE};
use crate::format::manifest::{Files, Layout, Manifest, TensorRecord, VERSION};
use crate::format::names::{Component, Expected, PATCH_EMBEDDING, Role};
use crate::format::piece::DeviceTensor;
use crate::format::shards::ShardWriter;
use crate::format::source::{Source, exactly};
use crate::preprocess::PreprocessConfig;
use crate::prompt::Template;
use crate::quant::{Encoding, WeightType};
use crate::tokenizer::Tokenizer;

/// Choices of a conversion.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// Type of decoder and head; `None`: the type that holds them exactly.
    pub quant: Option<WeightType>,
    /// Type of vision tower and connector; `None`: as [`ConvertOptions::quant`], but no narrower than f16. The tower is
    /// small and runs once per image, and its errors reach every token.
    pub vision_quant: Option<WeightType>,
    /// Type of the embedding table; `None`: as [`ConvertOptions::quant`], but no narrower than f16. One row of it is
    /// read per token, so narrow types save memory, not time (unless the head is tied to it).
    pub embed_quant: Option<WeightType>,
    /// Length of a shard, bytes.
    pub shard_bytes: u64,
    /// Prompt template; `None`: the checkpoint's own, else the one that its tokenizer suggests.
    pub prompt_template: Option<Template>,
    /// Name of the model; `None`: its own.
    pub name: Option<String>,
    /// Other addresses of the folder that will hold the result.
    pub mirrors: Vec<String>,
}

impl ConvertOptions {
    /// Keeps every type exactly, in shards of [`SHARD_BYTES`].
    pub fn exact() -> Self {
        Self {
            quant: None,
            vision_quant: None,
            embed_quant: None,
            shard_bytes: SHARD_BYTES,
            prompt_template: None,
            name: None,
            mirrors: Vec::new(),
        }
    }

    /// Chooses `quant` for the decoder, and f16 for tower and table.
    pub fn new(quant: WeightType, name: impl Into<String>) -> Self {
        Self { quant: Some(quant), name: Some(name.into()), ..Self::exact() }
    }

    /// Returns the storage type of `tensor`, which the checkpoint has in `encoding`.
    pub fn weight_type(&self, tensor: &Expected, encoding: Encoding) -> WeightType {
        let vision = matches!(tensor.component, Component::VisionTower | Component::Connector);
        let explicit = match tensor.role {
            Role::Vector => Some(WeightType::F32),
            Role::Table => self.embed_quant,
            Role::Matrix if vision => self.vision_quant,
            Role::Matrix => self.quant,
        };
        let wanted = explicit.or(self.quant.map(|quant| match tensor.role == Role::Table || vision {
            true => quant.min(WeightType::F16),
            false => quant,
        }));
        // The first layer sees pixels, is tiny, and is what quantisation hurts most: f16 at least.
        match wanted {
            Some(wanted) if tensor.name == PATCH_EMBEDDING => wanted.min(WeightType::F16),
            Some(wanted) => wanted,
            None => encoding.exact(),
        }
    }
}

/// Default length of a shard, bytes. Several in flight and one being unpacked stay far below the memory of a tab.
pub const SHARD_BYTES: u64 = 16 << 20;

/// Receives the files.
pub trait Sink {
    /// Writes one whole file.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()>;
}

/// Progress of a conversion, reported after every piece.
pub struct Progress<'a> {
    /// The tensor being written.
    pub tensor: &'a str,
    /// Bytes of the source that are done.
    pub done: u64,
    /// Bytes of the source that are needed.
    pub total: u64,
}

/// Converts the checkpoint that `entry` names in `source`; the manifest is written last and returned. `fallback` is
/// the model's name if nothing else gives one.
///
/// # Errors
/// Those of [`Checkpoint::open`], of [`Blueprint::from_checkpoint`], of the parsers of the small files, and of `sink`.
pub async fn convert<S: Source>(
    source: &S,
    entry: &[String],
    fallback: &str,
    sink: &mut dyn Sink,
    options: &ConvertOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest> {
    let checkpoint = Checkpoint::open(source, entry).await?;
    let wanted = |e: &Expected, encoding| options.weight_type(e, encoding);
    // A piece must fit a shard in either form.
    let part_bytes = options.shard_bytes.min(super::blueprint::PART_BYTES);
    let blueprint = Blueprint::from_checkpoint(checkpoint, fallback, &wanted, part_bytes)?;
    // A loader would refuse these later: refused here, they cost no hours of work.
    Tokenizer::parse(&blueprint.small.tokenizer, &blueprint.config)?;
    PreprocessConfig::parse(blueprint.small.preprocessor_config.as_deref(), &blueprint.config)?;
    let (tensors, shards) = write_tensors(source, &blueprint, sink, options, progress).await?;
    let mut small = |name: &str, bytes: &[u8]| -> Result<FileRecord> {
        sink.write(name, bytes)?;
        Ok(FileRecord::of(name, bytes))
    };
    let mut optional = |name: &str, bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| small(name, b)).transpose();
    let generation_config = optional("generation_config.json", &blueprint.small.generation_config)?;
    let preprocessor_config = optional("preprocessor_config.json", &blueprint.small.preprocessor_config)?;
    let files = Files {
        config: small("config.json", &blueprint.small.config)?,
        generation_config,
        preprocessor_config,
        tokenizer: small("tokenizer.json", &blueprint.small.tokenizer)?,
    };
    let manifest = Manifest {
        format: "llava-web".into(),
        version: VERSION,
        name: options.name.clone().unwrap_or(blueprint.name),
        prompt_template: options.prompt_template.unwrap_or(blueprint.template),
        files,
        shards,
        tensors,
        parameters: blueprint.parameters,
        mirrors: options.mirrors.clone(),
    };
    // The manifest is parsed again, as a loader will parse it.
    let json = manifest.to_json();
    let parsed = Manifest::parse(json.as_bytes())?;
    parsed.match_config(&blueprint.config)?;
    sink.write(MANIFEST_FILE, json.as_bytes())?;
    Ok(parsed)
}

/// Writes the shards; the records are in the blueprint's order of tensors.
async fn write_tensors<S: Source>(
    source: &S,
    blueprint: &Blueprint,
    sink: &mut dyn Sink,
    options: &ConvertOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<TensorRecord>, Vec<FileRecord>)> {
    let record = |t: &DeviceTensor| TensorRecord {
        name: t.expected.name.clone(),
        weight_type: t.weight_type,
        layout: t.layout,
        shape: t.expected.shape.clone(),
        tiles: Vec::new(),
    };
    let mut records: Vec<TensorRecord> = blueprint.tensors.iter().map(record).collect();
    let (mut done, total) = (0, blueprint.total_bytes());
    let mut emit = |name: &str, bytes: &[u8]| sink.write(name, bytes);
    let mut writer = ShardWriter::new(options.shard_bytes);
    for part in &blueprint.parts {
        let bytes = exactly(source, &part.file, part.offset, part.bytes).await?;
        part.verify(&bytes)?;
        for piece in &part.pieces {
            let tensor = &blueprint.tensors[piece.tensor];
            let stored = piece.unpack(tensor, &bytes)?;
            let rows = if tensor.layout == Layout::Rows { [0, tensor.expected.shape[0]] } else { piece.rows };
            let tile = writer.add(rows, &stored, &mut emit)?;
            records[piece.tensor].tiles.push(tile);
            progress(Progress { tensor: &tensor.expected.name, done: done + piece.offset + piece.bytes, total });
        }
        done += part.bytes;
    }
    // Pieces come in the order of the files; records list rows in ascending order.
    records.iter_mut().for_each(|record| record.tiles.sort_by_key(|tile| tile.rows[0]));
    Ok((records, writer.finish(&mut emit)?))
}
