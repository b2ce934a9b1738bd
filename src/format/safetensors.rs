//! Safetensors: bounded reading of headers, and writing of small files.
//!
//! The `safetensors` crate writes; it cannot read in a browser, where its offsets have 32 bits.

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::source::{Source, exactly};
use crate::format::stored::{StoredTensor, bytes_of};
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Longest header we parse, bytes. A 13B checkpoint's has 0.1 MB.
pub const MAX_HEADER: u64 = 16 << 20;
/// Length of what a file begins with: the length of its header, bytes.
pub const LENGTH_BYTES: u64 = 8;
/// The index of a checkpoint in several files.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// The checkpoint when it is one file.
pub const SINGLE_FILE: &str = "model.safetensors";

/// A tensor's description in a header. Numbers have 64 bits wherever this runs: a shard of a 7B model has 5 GB, and
/// `usize` has 32 bits in a browser.
#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    _metadata: Option<IgnoredAny>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Info>,
}

/// Reads a file's tensors, in the order of their data.
///
/// # Errors
/// [`Kind::Io`] from the source; [`Kind::Tensor`] when the header is longer than [`MAX_HEADER`] or the file,
/// malformed, or describes data of another length than the file has.
pub async fn read_header<S: Source>(source: &S, name: &str) -> Result<Vec<StoredTensor>> {
    let Some(size) = source.size(name).await? else {
        return Err(Error::new(Kind::Io, name, "is not there"));
    };
    ensure!(size >= LENGTH_BYTES, Tensor, name, "{size} bytes are no safetensors file");
    let length = exactly(source, name, 0, LENGTH_BYTES).await?;
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    ensure!(
        length <= MAX_HEADER.min(size - LENGTH_BYTES),
        Tensor,
        name,
        "a header of {length} bytes in a file of {size} (at most {MAX_HEADER}) is no safetensors file"
    );
    let header = exactly(source, name, LENGTH_BYTES, length).await?;
    tensors_of(&header, size - LENGTH_BYTES - length, name)
}

/// Parses a header that `data` bytes follow, which its tensors must fill without gaps.
fn tensors_of(header: &[u8], data: u64, name: &str) -> Result<Vec<StoredTensor>> {
    let parsed: Header =
        serde_json::from_slice(header).map_err(|e| Error::new(Kind::Tensor, name, format!("its header: {e}")))?;
    let mut infos: Vec<(String, Info)> = parsed.tensors.into_iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let (mut end, begin) = (0, LENGTH_BYTES + header.len() as u64);
    let mut tensors = Vec::with_capacity(infos.len());
    for (key, Info { dtype, shape, data_offsets: (from, to) }) in infos {
        let bytes = bytes_of(dtype, &shape);
        let fits = from == end && bytes.is_some_and(|bytes| from.checked_add(bytes) == Some(to));
        let place = format!("{name}: {}", key.escape_debug());
        ensure!(fits, Tensor, place, "{dtype:?} {shape:?} is not what lies from byte {from} to {to} of the data");
        end = to;
        tensors.push(StoredTensor { key, dtype, shape, offset: begin + from });
    }
    ensure!(
        data == end,
        Tensor,
        name,
        "has {data} bytes of data; its header describes {end} (an interrupted download?)"
    );
    Ok(tensors)
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
