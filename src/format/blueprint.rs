//! The plan of a model before it is fetched: the tensors that the device will hold, and the byte ranges of files that
//! they come from, in order of use. One description for all layouts; loading and converting both follow it.

use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::checkpoint::Checkpoint;
use crate::format::files::{FileRecord, MANIFEST_FILE, SmallFiles};
use crate::format::hash::sha256_hex;
use crate::format::manifest::{Layout, Manifest};
use crate::format::names::{self, Expected, Role};
use crate::format::piece::{DeviceTensor, Form, Piece};
use crate::format::source::Source;
use crate::prompt::Template;
use crate::quant::{self, Encoding, WeightType};
use cut::Cutter;
use serde::Serialize;
use std::collections::BTreeMap;

/// Longest part cut from a checkpoint, bytes. Several in flight stay far below the memory of a tab, and most matrices
/// of a 7B model in 4 bits (9.4 MB) are still whole.
pub const PART_BYTES: u64 = 12 << 20;
/// One byte range of one file, fetched, verified and kept as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Position in [`Blueprint::parts`].
    pub index: u32,
    /// The file.
    pub file: String,
    /// First byte.
    pub offset: u64,
    /// Length.
    pub bytes: u64,
    /// SHA-256 where the source promises one: 64 lower-case hex digits.
    pub sha256: Option<String>,
    /// Row ranges of tensors in it.
    #[serde(skip)]
    pub pieces: Vec<Piece>,
}

impl Part {
    /// Checks that `bytes` have this part's length and, where the source states one, its hash.
    ///
    /// # Errors
    /// [`Kind::Shard`], saying whether length or hash differ.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let wrong = |message: String| {
            let hint = "fetch it again; if it stays so, the file has changed or is damaged where it is hosted";
            Err(Error::new(Kind::Shard, &self.file, message).hint(hint))
        };
        if bytes.len() as u64 != self.bytes {
            return wrong(format!("{} bytes instead of {} from {} on", bytes.len(), self.bytes, self.offset));
        }
        match &self.sha256 {
            Some(sha256) if sha256_hex(bytes) != *sha256 => wrong("its SHA-256 is not the manifest's".into()),
            _ => Ok(()),
        }
    }
}

/// Chooses the storage type of a matrix, given its encoding in the checkpoint.
pub type TypeChoice<'a> = &'a dyn Fn(&Expected, Encoding) -> WeightType;

/// The whole plan.
#[derive(Debug)]
pub struct Blueprint {
    /// Name of the model.
    pub name: String,
    /// Prompt template.
    pub template: Template,
    /// Configuration and tokenizer.
    pub small: SmallFiles,
    /// Parsed from them.
    pub config: Config,
    /// Tensors of the device, in order of use.
    pub tensors: Vec<DeviceTensor>,
    /// Byte ranges to fetch, in order of use.
    pub parts: Vec<Part>,
    /// Other addresses of the same files.
    pub mirrors: Vec<String>,
    /// Number of parameters.
    pub parameters: u64,
    /// Remarks of the checkpoint, for people.
    remarks: Vec<String>,
}

impl Blueprint {
    /// Plans the model that `entry` names: `manifest.json`, `config.json` of a checkpoint directory, or the files of a
    /// GGUF pair. Weights stay as they are: every encoding has a storage type that holds it exactly.
    ///
    /// # Errors
    /// [`Kind::Manifest`] and what [`Checkpoint::open`] reports.
    pub async fn open<S: Source>(source: &S, entry: &[String]) -> Result<Self> {
        ensure!(!entry.is_empty(), Argument, "model", "no file is named");
        if entry.iter().any(|name| name == MANIFEST_FILE) {
            let manifest = Manifest::fetch(source).await?;
            let small = manifest.small_files(source).await?;
            return Self::from_manifest(manifest, small);
        }
        let checkpoint = Checkpoint::open(source, entry).await?;
        let exact = |_: &Expected, encoding: Encoding| encoding.exact();
        Self::from_checkpoint(checkpoint, "model", &exact, PART_BYTES)
    }

    /// Plans a checkpoint, each matrix as the type that `wanted` chooses, in parts of at most about `part_bytes`.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when a shape fits no storage.
    pub fn from_checkpoint(checkpoint: Checkpoint, name: &str, wanted: TypeChoice, part_bytes: u64) -> Result<Self> {
        let parameters = checkpoint.tensors.iter().map(|(expected, _)| expected.parameters()).sum();
        let mut tensors = Vec::new();
        let mut cut = Cutter::new(part_bytes, &checkpoint.files);
        let mut group = String::new();
        for (index, (expected, located)) in checkpoint.tensors.into_iter().enumerate() {
            let place = |e: Error| Error { place: expected.name.clone(), ..e };
            let (weight_type, layout) = storage_of(&expected, located.encoding, wanted).map_err(place)?;
            if names::group(&expected.name) != group {
                cut.finish_group();
                group = names::group(&expected.name).to_string();
            }
            let pieces = cut.tensor(index, &expected, &located, weight_type).map_err(place)?;
            let tiles = device_tiles(layout, weight_type, &expected.shape, &pieces).map_err(place)?;
            tensors.push(DeviceTensor { expected, weight_type, layout, tiles, encoding: Some(located.encoding) });
        }
        let parts = cut.finish();
        let Checkpoint { name: own, small, config, template, notes: remarks, .. } = checkpoint;
        let name = own.unwrap_or_else(|| name.to_string());
        Ok(Self { name, template, small, config, tensors, parts, mirrors: Vec::new(), parameters, remarks })
    }

    /// Plans the shards of a manifest, one part each.
    ///
    /// # Errors
    /// What [`Config::parse`] and [`Manifest::match_config`] report.
    pub fn from_manifest(manifest: Manifest, small: SmallFiles) -> Result<Self> {
        let config = Config::parse(&small.config, small.generation_config.as_deref())?;
        let order = manifest.match_config(&config)?;
        let part = |(index, shard): (usize, &FileRecord)| Part {
            index: index as u32,
            file: shard.file.clone(),
            offset: 0,
            bytes: shard.bytes,
            sha256: Some(shard.sha256.clone()),
            pieces: Vec::new(),
        };
        let mut parts: Vec<Part> = manifest.shards.iter().enumerate().map(part).collect();
        let mut tensors = Vec::new();
        for (tensor, (expected, &index)) in names::expected(&config).into_iter().zip(&order).enumerate() {
            let record = &manifest.tensors[index];
            let mut rows = Vec::new();
            for tile in &record.tiles {
                rows.push(tile.rows);
                let piece =
                    Piece { tensor, rows: tile.rows, offset: tile.offset, bytes: tile.bytes, form: Form::Stored };
                parts[tile.shard as usize].pieces.push(piece);
            }
            let tiles = device_tiles(record.layout, record.weight_type, &expected.shape, &rows)?;
            let (weight_type, layout) = (record.weight_type, record.layout);
            tensors.push(DeviceTensor { expected, weight_type, layout, tiles, encoding: None });
        }
        let Manifest { name, prompt_template: template, parameters, mirrors, .. } = manifest;
        Ok(Self { name, template, small, config, tensors, parts, mirrors, parameters, remarks: Vec::new() })
    }

    /// Bytes of all parts together.
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Returns remarks for people: types that take more memory than in their file, with both sizes; a context that ends
    /// early; and the remarks of the checkpoint.
    pub fn notes(&self) -> Vec<String> {
        let mut widened: BTreeMap<(Encoding, WeightType), (u64, u64)> = BTreeMap::new();
        for tensor in self.tensors.iter().filter(|t| t.layout == Layout::Blocks) {
            let Some(encoding) = tensor.encoding else { continue };
            let (values, bytes) = encoding.block();
            let was = tensor.expected.parameters() * u64::from(bytes) / u64::from(values);
            let sum = widened.entry((encoding, tensor.weight_type)).or_default();
            *sum = (sum.0 + was, sum.1 + tensor.bytes());
        }
        let note = |((encoding, weight_type), (was, is)): (&(Encoding, WeightType), &(u64, u64))| {
            // The planes of q4_k take 3 % more than its blocks, for alignment; that is no other type.
            (*is > *was + *was / 20).then(|| {
                let mb = |bytes: &u64| *bytes as f64 / 1e6;
                format!(
                    "{encoding} weights are held as {weight_type}, exactly: {:.1} MB instead of {:.1} MB",
                    mb(is),
                    mb(was)
                )
            })
        };
        let window = self.config.text.sliding_window.map(|window| {
            format!(
                "it attends to a sliding window of {window} tokens, which is not implemented: the context ends there"
            )
        });
        widened.iter().filter_map(note).chain(window).chain(self.remarks.iter().cloned()).collect()
    }
}

/// Type and layout of a tensor on the device: f32 rows for a vector; for a matrix the type that `wanted` chooses, or a
/// wider one where its rows do not fit that type.
fn storage_of(expected: &Expected, encoding: Encoding, wanted: TypeChoice) -> Result<(WeightType, Layout)> {
    match expected.role {
        Role::Vector => Ok((WeightType::F32, Layout::Rows)),
        _ => Ok((quant::widest_fitting(wanted(expected, encoding), expected.shape[1])?, Layout::Blocks)),
    }
}

/// Row ranges with a buffer each. Pieces are written strip by strip at word boundaries. Scales are two bytes each, so
/// the last piece of an odd number of rows has a buffer to itself.
fn device_tiles(layout: Layout, t: WeightType, shape: &[u32], pieces: &[[u32; 2]]) -> Result<Vec<[u32; 2]>> {
    let n = shape[0];
    if layout == Layout::Rows {
        return Ok(vec![[0, n]]);
    }
    match pieces {
        [.., before, last] if n % 2 == 1 => {
            let mut tiles = quant::row_tiles(t, before[1], shape[1])?;
            tiles.push(*last);
            Ok(tiles)
        }
        _ => quant::row_tiles(t, n, shape[1]),
    }
}

mod choice;
mod cut;
#[cfg(test)]
mod tests;
