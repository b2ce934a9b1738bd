//! Safetensors: bounded reading of headers, and writing of small files.
//!
//! Header parsing and its validation are the `safetensors` crate's; this module bounds what it is given.

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::source::{Source, exactly};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Longest header we parse, bytes. A 13B checkpoint's has 0.1 MB.
pub const MAX_HEADER: u64 = 16 << 20;
/// Longest index we parse, bytes.
pub const MAX_INDEX: u64 = 16 << 20;
/// The index of a checkpoint in several files.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// The checkpoint when it is one file.
pub const SINGLE_FILE: &str = "model.safetensors";

/// A file's header → where its data begin, and its tensors.
///
/// # Errors
/// [`Kind::Io`] from the source; [`Kind::Tensor`] when the header is longer than [`MAX_HEADER`] or the file,
/// malformed, or describes data of another length than the file has.
pub async fn read_header<S: Source>(source: &S, name: &str) -> Result<(u64, Metadata)> {
    let Some(size) = source.size(name).await? else {
        return Err(Error::new(Kind::Io, name, "is not there"));
    };
    ensure!(size >= 8, Tensor, name, "{size} bytes are no safetensors file");
    let length = exactly(source, name, 0, 8).await?;
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    ensure!(
        length <= MAX_HEADER.min(size - 8),
        Tensor,
        name,
        "a header of {length} bytes in a file of {size} (at most {MAX_HEADER}) is no safetensors file"
    );
    let header = exactly(source, name, 8, length).await?;
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
///
/// # Errors
/// [`Kind::Tensor`] when it is malformed or names something else than files beside it.
pub fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
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
