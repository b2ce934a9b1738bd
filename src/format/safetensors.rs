//! Checkpoints: safetensors files, read by ranges, one or several with an index.
//!
//! Header parsing and its validation are the `safetensors` crate's; this module bounds what it is given,
//! reads tensors in pieces so that none is ever whole in memory, and widens f16 and bf16 to f32.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::format::names;
use crate::{ensure, fail};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Longest header we parse, bytes. A 13B checkpoint's has 0.1 MB.
pub const MAX_HEADER: u64 = 16 << 20;
/// Longest index we parse, bytes.
const MAX_INDEX: usize = 16 << 20;
/// Most files a checkpoint may be split into.
const MAX_FILES: usize = 1024;
/// The index of a checkpoint in several files.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// The checkpoint when it is one file.
pub const SINGLE_FILE: &str = "model.safetensors";

/// Bytes that can be read at any offset: a file in the command line, a slice in tests.
pub trait ReadAt {
    /// Number of bytes.
    fn size(&self) -> u64;
    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Kind::Io`] when they are not all there.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let from = usize::try_from(offset).ok().and_then(|at| self.get(at..)?.get(..out.len()));
        match from {
            Some(bytes) => out.copy_from_slice(bytes),
            None => fail!(Io, "bytes", "{} bytes from {offset} on are not all there ({})", out.len(), self.len()),
        }
        Ok(())
    }
}

/// A directory of files by name.
pub trait Source {
    /// A whole small file, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is there but cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// A large file, for reading by ranges.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is not there.
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>>;
}

/// The floats we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Float {
    F32,
    F16,
    Bf16,
}

/// Where a tensor is.
#[derive(Debug, Clone)]
pub struct Located {
    file: usize,
    offset: u64,
    float: Float,
    /// Shape as the checkpoint states it.
    pub shape: Vec<u32>,
}

impl Located {
    /// Number of values.
    pub fn values(&self) -> u64 {
        self.shape.iter().map(|&n| u64::from(n)).product()
    }
    fn value_bytes(&self) -> u64 {
        if self.float == Float::F32 { 4 } else { 2 }
    }
}

/// All tensors of a checkpoint by canonical name.
pub struct Checkpoint {
    files: Vec<Box<dyn ReadAt>>,
    tensors: BTreeMap<String, Located>,
}

/// A file's keys as written, for comparison with the index.
type Keys = Vec<String>;

impl Checkpoint {
    /// Reads the index (or the single file) and all headers.
    ///
    /// # Errors
    /// [`Kind::Io`] for files that are missing, [`Kind::Tensor`] for headers that are malformed, names that
    /// appear twice and types other than f32, f16 and bf16.
    pub fn open(source: &dyn Source) -> Result<Self> {
        let (names, index) = match source.read(INDEX_FILE)? {
            Some(bytes) => {
                let weight_map = parse_index(&bytes)?;
                let mut names: Vec<String> = weight_map.values().cloned().collect();
                names.sort();
                names.dedup();
                ensure!(
                    names.len() <= MAX_FILES,
                    Tensor,
                    INDEX_FILE,
                    "{} files are more than {MAX_FILES}",
                    names.len()
                );
                (names, Some(weight_map))
            }
            None => (vec![SINGLE_FILE.to_string()], None),
        };
        let mut checkpoint = Self { files: Vec::new(), tensors: BTreeMap::new() };
        let mut written: HashSet<String> = HashSet::new();
        for name in &names {
            let file =
                source.open(name).map_err(|e| e.hint(format!("neither a whole `{INDEX_FILE}` nor `{SINGLE_FILE}`")))?;
            let keys = checkpoint.add(name, file)?;
            if let Some(map) = &index {
                let stray = keys.iter().find(|key| map.get(*key) != Some(name));
                ensure!(
                    stray.is_none(),
                    Tensor,
                    name,
                    "holds `{}`, which {INDEX_FILE} places elsewhere",
                    stray.unwrap()
                );
            }
            written.extend(keys);
        }
        if let Some(map) = &index {
            let missing = map.keys().find(|key| !written.contains(*key));
            ensure!(missing.is_none(), Tensor, INDEX_FILE, "`{}` is in no file", missing.unwrap());
        }
        Ok(checkpoint)
    }

    /// Adds one file's tensors; returns its keys as written.
    fn add(&mut self, name: &str, file: Box<dyn ReadAt>) -> Result<Keys> {
        let (data, metadata) = read_header(name, file.as_ref())?;
        let mut keys = Vec::new();
        for (key, info) in metadata.tensors() {
            let float = match info.dtype {
                Dtype::F32 => Float::F32,
                Dtype::F16 => Float::F16,
                Dtype::BF16 => Float::Bf16,
                // Position counters are the only integers that checkpoints have; nothing reads them.
                Dtype::I64 if key.ends_with("position_ids") => {
                    keys.push(key);
                    continue;
                }
                other => fail!(Tensor, key, "is {other:?} in {name}; only F32, F16 and BF16 are read"),
            };
            let sides: Option<Vec<u32>> = info.shape.iter().map(|&n| u32::try_from(n).ok()).collect();
            let Some(shape) = sides else {
                fail!(Tensor, key, "has a side longer than 2^32 in {name}");
            };
            let located = Located { file: self.files.len(), offset: data + info.data_offsets.0 as u64, float, shape };
            let twice = self.tensors.insert(names::canonical(&key), located).is_some();
            ensure!(!twice, Tensor, key, "is there twice, perhaps under another spelling");
            keys.push(key);
        }
        self.files.push(file);
        Ok(keys)
    }

    /// Where `name` (canonical) is.
    pub fn get(&self, name: &str) -> Option<&Located> {
        self.tensors.get(name)
    }

    /// Reads `count` values of a tensor from value `first` on, as f32.
    ///
    /// # Errors
    /// [`Kind::Tensor`] for a range outside it, [`Kind::Io`] from the file.
    pub fn read(&self, tensor: &Located, first: u64, count: u64) -> Result<Vec<f32>> {
        let inside = first.checked_add(count).is_some_and(|end| end <= tensor.values());
        ensure!(inside, Tensor, "checkpoint", "{count} values from {first} on are outside {:?}", tensor.shape);
        let size = tensor.value_bytes();
        let mut bytes = vec![0; (count * size) as usize];
        self.files[tensor.file].read_at(tensor.offset + first * size, &mut bytes)?;
        Ok(widen(tensor.float, &bytes))
    }

    /// Checks that the checkpoint holds what `config` needs and nothing that we do not understand.
    ///
    /// # Errors
    /// [`Kind::Tensor`], naming the first tensor that is missing, of another shape, or unknown.
    pub fn match_config(&self, config: &Config) -> Result<()> {
        let expected = names::expected(config);
        for e in &expected {
            let Some(found) = self.get(&e.name) else {
                let absent = Error::new(Kind::Tensor, &e.name, "is missing from the checkpoint");
                return Err(absent.hint("a LLaVA checkpoint in the llava-hf layout holds tower, connector and decoder"));
            };
            ensure!(
                found.shape == e.checkpoint_shape,
                Tensor,
                &e.name,
                "is {:?} in the checkpoint; config.json makes it {:?}",
                found.shape,
                e.checkpoint_shape
            );
        }
        let needed: HashSet<&str> = expected.iter().map(|e| e.name.as_str()).collect();
        let known = |name: &str| needed.contains(name) || names::is_skipped(config, name);
        match self.tensors.keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => fail!(Tensor, name, "is in the checkpoint, but config.json has no use for it"),
        }
    }
}

/// Little-endian bytes → f32.
fn widen(float: Float, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match float {
        Float::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Float::F16 => halves().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
        Float::Bf16 => halves().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
    }
}

/// A file's header → where its data begin, and its tensors.
///
/// # Errors
/// [`Kind::Tensor`] when the header is longer than [`MAX_HEADER`] or the file, malformed, or describes data
/// of another length than the file has.
pub fn read_header(name: &str, file: &dyn ReadAt) -> Result<(u64, Metadata)> {
    let size = file.size();
    ensure!(size >= 8, Tensor, name, "{size} bytes are no safetensors file");
    let mut length = [0; 8];
    file.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(
        length <= MAX_HEADER.min(size - 8),
        Tensor,
        name,
        "a header of {length} bytes in a file of {size} (at most {MAX_HEADER}) is no safetensors file"
    );
    let mut header = vec![0; length as usize];
    file.read_at(8, &mut header)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|e| Error::new(Kind::Tensor, name, format!("its header: {e}")))?;
    let data = 8 + length;
    ensure!(
        size - data == metadata.data_len() as u64,
        Tensor,
        name,
        "has {} bytes of data; its header describes {} (an interrupted download?)",
        size - data,
        metadata.data_len()
    );
    Ok((data, metadata))
}

/// `model.safetensors.index.json` → key → file.
fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    ensure!(bytes.len() <= MAX_INDEX, Tensor, INDEX_FILE, "{} bytes are more than {MAX_INDEX}", bytes.len());
    let index: Index =
        serde_json::from_slice(bytes).map_err(|e| Error::new(Kind::Tensor, INDEX_FILE, e.to_string()))?;
    let plain = |name: &String| {
        !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let folder = index.weight_map.values().find(|name| !plain(name));
    ensure!(folder.is_none(), Tensor, INDEX_FILE, "`{}` is no plain file name", folder.unwrap().escape_debug());
    Ok(index.weight_map)
}

/// One tensor for [`write()`]: name, shape, row-major values.
pub type Dump<'a> = (&'a str, &'a [u32], &'a [f32]);

/// Writes f32 tensors as a safetensors file (`--dump`, test checkpoints).
///
/// # Errors
/// [`Kind::Tensor`] when a shape and its values disagree.
pub fn write(tensors: &[Dump]) -> Result<Vec<u8>> {
    let mut views = Vec::new();
    for (name, shape, values) in tensors {
        let shape = shape.iter().map(|&n| n as usize).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values));
        views.push((*name, view.map_err(|e| Error::new(Kind::Tensor, *name, e.to_string()))?));
    }
    safetensors::serialize(views, None).map_err(|e| Error::new(Kind::Tensor, "safetensors", e.to_string()))
}

#[cfg(test)]
mod tests;
