//! `manifest.json`: the files and tensors of a model, checked completely before anything is fetched.
//!
//! A manifest comes from a server that we do not control, so nothing in it is believed: sizes are bounded,
//! sums are checked, every tile must have exactly the bytes that its type and shape imply, and tiles may
//! neither overlap nor leave room between them for anything else.

use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::files::{FileRecord, MANIFEST_FILE, MAX_JSON, SmallFiles};
use crate::format::names::{Expected, Found, Holder, Role, matched};
use crate::format::shards::{ALIGNMENT, TileRecord};
use crate::format::source::{Source, exactly, whole};
use crate::prompt::Template;
use crate::quant::{self, MAX_BINDING, WeightType};
use crate::tokenizer::MAX_TOKENIZER;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// The only version so far.
pub const VERSION: u32 = 1;
/// Largest manifest, bytes. The 13B model's has 0.3 MB.
pub const MAX_MANIFEST: usize = 4 << 20;
/// Largest shard, bytes: one tile with its scales (at most 144 MiB) must fit.
pub const MAX_SHARD: u64 = 512 << 20;
const MAX_MIRRORS: usize = 16;
const MAX_SHARDS: usize = 4096;
const MAX_TENSORS: usize = 16384;

/// The whole model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `llava-web`.
    pub format: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// Template that the model was trained with.
    pub prompt_template: Template,
    /// Configuration and tokenizer, as the checkpoint had them.
    pub files: Files,
    /// The weights, in order of use.
    pub shards: Vec<FileRecord>,
    /// Contents of the shards.
    pub tensors: Vec<TensorRecord>,
    /// Number of parameters, for display.
    pub parameters: u64,
    /// Other addresses of this manifest's folder, each ending in `/`. A loader tries them when one host fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

/// The small files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// `config.json`.
    pub config: FileRecord,
    /// `generation_config.json`, where the checkpoint has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_config: Option<FileRecord>,
    /// `preprocessor_config.json`, where the checkpoint has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessor_config: Option<FileRecord>,
    /// `tokenizer.json`.
    pub tokenizer: FileRecord,
}

impl Files {
    /// Returns the files with their largest lengths, bytes.
    fn with_limits(&self) -> impl Iterator<Item = (&FileRecord, u64)> {
        let small = [Some(&self.config), self.generation_config.as_ref(), self.preprocessor_config.as_ref()];
        let small = small.into_iter().flatten().map(|file| (file, MAX_JSON));
        small.chain([(&self.tokenizer, MAX_TOKENIZER)])
    }
}

/// Arrangement of a tensor's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// [`crate::quant`]'s planes: matrices and tables.
    Blocks,
    /// Row-major f32: vectors.
    Rows,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// Canonical (hub) name.
    pub name: String,
    /// Storage type.
    #[serde(rename = "type")]
    pub weight_type: WeightType,
    /// Arrangement.
    pub layout: Layout,
    /// Shape as stored: `[N, K]` for blocks.
    pub shape: Vec<u32>,
    /// Row ranges in order, each complete in itself; almost always one.
    pub tiles: Vec<TileRecord>,
}

/// A record with its index in the manifest.
struct Listed<'a>(usize, &'a TensorRecord);

impl Found for Listed<'_> {
    fn shape(&self, _: &Expected) -> Vec<u32> {
        self.1.shape.clone()
    }

    fn wanted(expected: &Expected) -> &[u32] {
        &expected.shape
    }
}

/// Wording of the check of a manifest's tensors.
const HOLDER: Holder = Holder { name: "the manifest", config: "config.json", hint: "", holds_skipped: false };

impl TensorRecord {
    /// Returns the bytes of rows `rows`, by type, layout and shape.
    ///
    /// # Errors
    /// [`Kind::Manifest`] or [`Kind::Tensor`] if the shape does not go with the type.
    fn tile_bytes(&self, rows: [u32; 2]) -> Result<u64> {
        let count = rows[1].saturating_sub(rows[0]);
        let place = || format!("{MANIFEST_FILE}: tensor `{}`", self.name);
        match self.layout {
            Layout::Blocks => {
                ensure!(self.shape.len() == 2, Manifest, place(), "blocks need a matrix, not {:?}", self.shape);
                let (blocks, scales) = quant::plane_bytes(self.weight_type, count, self.shape[1])
                    .map_err(|e| Error::new(Kind::Manifest, place(), e.message))?;
                ensure!(blocks <= MAX_BINDING, Manifest, place(), "a tile of {blocks} bytes exceeds {MAX_BINDING}");
                Ok(blocks + scales)
            }
            Layout::Rows => {
                ensure!(self.weight_type == WeightType::F32, Manifest, place(), "rows must be f32");
                let mut width = self.shape[1..].iter().map(|&n| u64::from(n));
                let values = width.try_fold(u64::from(count), |n, m| n.checked_mul(m));
                match values.and_then(|n| n.checked_mul(4)) {
                    Some(bytes) if bytes > 0 && bytes <= MAX_BINDING => Ok(bytes),
                    _ => crate::fail!(Manifest, place(), "{:?} is empty or exceeds {MAX_BINDING} bytes", self.shape),
                }
            }
        }
    }

    /// Checks the record by itself: its shape, and that its tiles are in order, complete and of the right length.
    fn check(&self) -> Result<()> {
        let place = format!("{MANIFEST_FILE}: tensor `{}`", self.name);
        let ranks = 1..=4;
        ensure!(
            !self.name.is_empty() && self.name.len() <= 256 && ranks.contains(&self.shape.len()),
            Manifest,
            place,
            "a name of {} bytes with shape {:?}",
            self.name.len(),
            self.shape
        );
        let mut next = 0;
        for tile in &self.tiles {
            let [first, end] = tile.rows;
            let aligned = end == self.shape[0] || (end % 32 == 0 && self.layout == Layout::Blocks);
            ensure!(
                first == next && first < end && end <= self.shape[0] && aligned,
                Manifest,
                place,
                "tile {first}..{end} does not continue at row {next} of {}, or ends off a multiple of 32",
                self.shape[0]
            );
            let bytes = self.tile_bytes(tile.rows)?;
            ensure!(
                tile.bytes == bytes && tile.offset % ALIGNMENT == 0,
                Manifest,
                place,
                "tile {first}..{end}: {} bytes at offset {}; it has {bytes}, at a multiple of {ALIGNMENT}",
                tile.bytes,
                tile.offset
            );
            next = end;
        }
        ensure!(next == self.shape[0], Manifest, place, "its tiles end at row {next} of {}", self.shape[0]);
        Ok(())
    }
}

impl Manifest {
    /// Parses and validates.
    ///
    /// # Errors
    /// [`Kind::Manifest`], naming the file, shard or tensor at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(
            bytes.len() <= MAX_MANIFEST,
            Manifest,
            MANIFEST_FILE,
            "{} bytes are more than {MAX_MANIFEST}",
            bytes.len()
        );
        // The version comes first: a later one may have any other fields.
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
            version: Option<u64>,
        }
        let json = |e: serde_json::Error| Error::new(Kind::Manifest, MANIFEST_FILE, e.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(json)?;
        ensure!(head.format.as_deref() == Some("llava-web"), Manifest, MANIFEST_FILE, "is not a llava-web manifest");
        let version = head.version.unwrap_or(0);
        ensure!(
            version == u64::from(VERSION),
            Manifest,
            MANIFEST_FILE,
            "version {version} is not {VERSION}, the one this program reads"
        );
        let manifest: Self = serde_json::from_slice(bytes).map_err(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Fetches, parses and validates `manifest.json`.
    ///
    /// # Errors
    /// [`Kind::Manifest`]; those of the source.
    pub async fn fetch<S: Source>(source: &S) -> Result<Self> {
        let Some(bytes) = whole(source, MANIFEST_FILE, MAX_MANIFEST as u64, Kind::Manifest).await? else {
            return Err(Error::new(Kind::Io, MANIFEST_FILE, "is not there"));
        };
        Self::parse(&bytes)
    }

    /// Fetches and verifies the small files.
    ///
    /// # Errors
    /// [`Kind::Shard`] when one is not what the manifest says; those of the source.
    pub async fn small_files<S: Source>(&self, source: &S) -> Result<SmallFiles> {
        async fn verified<S: Source>(source: &S, file: &FileRecord) -> Result<Vec<u8>> {
            let bytes = exactly(source, &file.file, 0, file.bytes).await?;
            file.verify(&bytes)?;
            Ok(bytes)
        }
        async fn optional<S: Source>(source: &S, file: &Option<FileRecord>) -> Result<Option<Vec<u8>>> {
            match file {
                Some(file) => verified(source, file).await.map(Some),
                None => Ok(None),
            }
        }
        self.files.with_limits().for_each(|(file, _)| source.expect(&file.file, file.bytes));
        Ok(SmallFiles {
            config: verified(source, &self.files.config).await?,
            generation_config: optional(source, &self.files.generation_config).await?,
            preprocessor_config: optional(source, &self.files.preprocessor_config).await?,
            tokenizer: verified(source, &self.files.tokenizer).await?,
        })
    }

    /// Returns the file's text.
    pub fn to_json(&self) -> String {
        // Only maps with keys that are not strings, and failing writers, make serde_json fail.
        serde_json::to_string_pretty(self).expect("a manifest is plain data") + "\n"
    }

    fn check(&self) -> Result<()> {
        ensure!(self.name.len() <= 256, Manifest, MANIFEST_FILE, "a name of {} bytes", self.name.len());
        ensure!(
            (1..=MAX_SHARDS).contains(&self.shards.len()) && (1..=MAX_TENSORS).contains(&self.tensors.len()),
            Manifest,
            MANIFEST_FILE,
            "{} shards and {} tensors; allowed are 1 to {MAX_SHARDS} and 1 to {MAX_TENSORS}",
            self.shards.len(),
            self.tensors.len()
        );
        let place = format!("{MANIFEST_FILE}: mirrors");
        let address =
            |a: &String| (a.starts_with("https://") || a.starts_with("http://")) && a.ends_with('/') && a.len() <= 1024;
        ensure!(
            self.mirrors.len() <= MAX_MIRRORS && self.mirrors.iter().all(address),
            Manifest,
            place,
            "are at most {MAX_MIRRORS} addresses https://…/ of folders"
        );
        self.check_files()?;
        let mut names = HashSet::new();
        for tensor in &self.tensors {
            tensor.check()?;
            ensure!(names.insert(&tensor.name), Manifest, MANIFEST_FILE, "tensor `{}` is there twice", tensor.name);
        }
        self.check_placement()
    }

    fn check_files(&self) -> Result<()> {
        let mut seen: HashMap<&str, &FileRecord> = HashMap::new();
        for (file, limit) in self.files.with_limits().chain(self.shards.iter().map(|shard| (shard, MAX_SHARD))) {
            file.check(limit)?;
            // Two shards with the same bytes have the same name; anything else is a contradiction.
            let same = seen.insert(&file.file, file).is_none_or(|other| other == file);
            ensure!(same, Manifest, MANIFEST_FILE, "`{}` is named twice with different contents", file.file);
        }
        Ok(())
    }

    /// Checks that tiles lie inside their shards, do not overlap, and leave no gaps but alignment.
    fn check_placement(&self) -> Result<()> {
        let mut spans: Vec<(u32, u64, u64, &str)> = Vec::new();
        for tensor in &self.tensors {
            spans.extend(tensor.tiles.iter().map(|t| (t.shard, t.offset, t.bytes, tensor.name.as_str())));
        }
        spans.sort_unstable();
        let mut spans = spans.into_iter().peekable();
        for (index, shard) in self.shards.iter().enumerate() {
            let place = format!("{MANIFEST_FILE}: shard {index} `{}`", shard.file);
            let mut end = 0u64;
            while let Some((_, offset, bytes, name)) = spans.next_if(|span| span.0 as usize == index) {
                ensure!(
                    offset == end.next_multiple_of(ALIGNMENT),
                    Manifest,
                    place,
                    "`{name}` starts at {offset}; what precedes it ends at {end}"
                );
                // `bytes` is what type and shape imply, below 2^28; `offset` is at most the end before it.
                end = offset + bytes;
            }
            ensure!(
                end > 0 && end == shard.bytes,
                Manifest,
                place,
                "its tensors end at {end}, the file has {} bytes",
                shard.bytes
            );
        }
        match spans.next() {
            None => Ok(()),
            Some((index, .., name)) => {
                crate::fail!(Manifest, MANIFEST_FILE, "`{name}` is in shard {index}, which is not there")
            }
        }
    }

    /// Checks that the tensors are exactly those that `config` needs, and returns, for each of
    /// [`expected`](crate::format::names::expected), its index in [`Manifest::tensors`].
    ///
    /// # Errors
    /// [`Kind::Tensor`], naming what is missing, superfluous, or of another shape or layout.
    pub fn match_config(&self, config: &Config) -> Result<Vec<usize>> {
        let found = self.tensors.iter().enumerate().map(|(index, record)| (record.name.clone(), Listed(index, record)));
        let mut order = Vec::new();
        for (expected, Listed(index, record)) in matched(config, found.collect(), &HOLDER)? {
            let layout = if expected.role == Role::Vector { Layout::Rows } else { Layout::Blocks };
            let found = record.layout;
            ensure!(found == layout, Tensor, expected.name, "is stored as {found:?}; its role makes it {layout:?}");
            order.push(index);
        }
        Ok(order)
    }
}

#[cfg(test)]
mod tests;
