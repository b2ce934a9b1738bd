//! PyTorch's own files (`pytorch_model.bin`): the tensors of a state dict and their places. No code in them is run.
//!
//! Since version 1.6 `torch.save` writes a zip [`archive`]: `NAME/data.pkl`, a [`pickle`] that describes tensors, and
//! their values in files of their own, `NAME/data/0` and so on. The directory, the pickle and some headers are read by
//! ranges. The result is the place of each tensor in the file, as for safetensors.

pub mod archive;
pub mod pickle;

use crate::error::{Error, Kind, Result};
use crate::format::source::{Source, exactly};
use crate::format::stored::{StoredTensor, bytes_of};
use crate::{ensure, fail};
use archive::{Archive, Entry};
use pickle::{MAX_PICKLE, StateDict, View};

/// The index of a checkpoint in several files.
pub const INDEX_FILE: &str = "pytorch_model.bin.index.json";
/// The checkpoint when it is one file.
pub const SINGLE_FILE: &str = "pytorch_model.bin";
/// The original LLaVA's connector, where it was trained alone.
pub const CONNECTOR_FILE: &str = "mm_projector.bin";
/// Start of a pickle that holds the magic number of torch before 1.6 (`0x1950a86a20f9469cfc6c`).
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Reads a file's directory and its pickle, and returns its tensors with their places.
///
/// # Errors
/// [`Kind::Io`] from the source; [`Kind::Tensor`] for what is no zip archive, malformed, contradictory, or holds
/// anything else than contiguous tensors, by name.
pub async fn read_header<S: Source>(source: &S, name: &str) -> Result<Vec<StoredTensor>> {
    let Some(size) = source.size(name).await? else {
        return Err(Error::new(Kind::Io, name, "is not there"));
    };
    let Some(archive) = Archive::open(source, name, size).await? else {
        return Err(no_archive(name, &exactly(source, name, 0, size.min(64)).await?));
    };
    let described = |entry: &&Entry| matches!(entry.name.split_once('/'), Some((_, "data.pkl")));
    let mut pickles = archive.entries().iter().filter(described);
    let (Some(entry), None) = (pickles.next(), pickles.next()) else {
        fail!(Tensor, name, "is a zip archive, but not one state dict: it has no (or more than one) data.pkl");
    };
    let base = entry.name.trim_end_matches("data.pkl");
    if let Some(order) = archive.find(&format!("{base}byteorder")) {
        let little = archive.read(source, order, 16).await? == b"little";
        ensure!(little, Tensor, name, "was saved on a big-endian machine; only little-endian values are read");
    }
    let dict = pickle::parse(&archive.read(source, entry, MAX_PICKLE).await?, name)?;
    place(source, name, &archive, base, &dict).await
}

/// The error for a file without a zip directory, by its first bytes.
fn no_archive(name: &str, first: &[u8]) -> Error {
    let legacy = first.windows(LEGACY.len()).any(|window| window == LEGACY);
    let (what, hint) = if legacy {
        (
            "is a file of PyTorch before 1.6, which is no zip archive",
            "save it again: torch.save(torch.load(FILE, weights_only=True), FILE)",
        )
    } else if first.starts_with(b"PK\x03\x04") {
        ("begins as a zip archive and has no directory at its end", "an interrupted download? fetch it again")
    } else if first.starts_with(b"version https://git-lfs") {
        ("is a pointer of Git LFS, not the file itself", "git lfs pull fetches the file")
    } else {
        ("is no file that torch.save has written since version 1.6", "take the checkpoint in safetensors")
    };
    Error::new(Kind::Tensor, name, what).hint(hint)
}

/// Finds the storages in the archive and the tensors in the storages.
async fn place<S: Source>(
    source: &S,
    name: &str,
    archive: &Archive,
    base: &str,
    dict: &StateDict,
) -> Result<Vec<StoredTensor>> {
    let mut used: Vec<(usize, u64, u64, &View)> = Vec::with_capacity(dict.tensors.len());
    for view in &dict.tensors {
        let (first, end) = contiguous(view, dict.storages[view.storage].elements)?;
        used.push((view.storage, first, end, view));
    }
    used.sort_unstable_by_key(|&(storage, first, end, _)| (storage, first, end));
    // Tied weights are one range with two names; anything else that shares values is no checkpoint.
    let shared = used.windows(2).find(|pair| {
        let [a, b] = [&pair[0], &pair[1]];
        a.0 == b.0 && b.1 < a.2 && (a.1, a.2) != (b.1, b.2)
    });
    if let Some(&[(.., a), (.., b)]) = shared {
        fail!(Tensor, &b.name, "overlaps `{}` in {name}, and is not the same tensor", a.name.escape_debug());
    }
    let mut indices: Vec<usize> = used.iter().map(|&(storage, ..)| storage).collect();
    indices.dedup();
    let mut entries = Vec::with_capacity(indices.len());
    for &index in &indices {
        let storage = &dict.storages[index];
        let key = storage.key.escape_debug();
        let Some(entry) = archive.find(&format!("{base}data/{}", storage.key)) else {
            fail!(Tensor, name, "its pickle has a storage `{key}`, for which the archive has no file");
        };
        let bytes = bytes_of(storage.dtype, &[storage.elements]);
        let (elements, dtype, size) = (storage.elements, storage.dtype, entry.size);
        ensure!(bytes == Some(size), Tensor, name, "storage `{key}`: {elements} {dtype:?} are not its {size} bytes");
        entries.push(entry);
    }
    let positions = archive.locate(source, &entries).await?;
    let stored = |view: &View| {
        let dtype = dict.storages[view.storage].dtype;
        // Every storage that is used is among the indices, which are sorted.
        let position = positions[indices.partition_point(|&storage| storage < view.storage)];
        let offset = position + bytes_of(dtype, &[view.offset]).unwrap_or(0);
        StoredTensor { key: view.name.clone(), dtype, shape: view.shape.clone(), offset }
    };
    Ok(dict.tensors.iter().map(stored).collect())
}

/// Returns the first value of a contiguous tensor and one past its last in a storage of `elements` values.
fn contiguous(view: &View, elements: u64) -> Result<(u64, u64)> {
    let values = view.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
    let end = values.and_then(|values| values.checked_add(view.offset)).filter(|&end| end <= elements);
    let Some(end) = end else {
        fail!(Tensor, &view.name, "{:?} from {} on is more than its storage of {elements}", view.shape, view.offset);
    };
    let mut step = 1u64;
    for (&side, &stride) in view.shape.iter().zip(&view.strides).rev() {
        // The stride of a single row is never used.
        let (shape, strides) = (&view.shape, &view.strides);
        if side > 1 && stride != step {
            let what =
                format!("has strides {strides:?} for {shape:?}: it is transposed, cut out of another, or expanded");
            return Err(Error::new(Kind::Tensor, &view.name, what).hint("save it again with .contiguous()"));
        }
        step = step.saturating_mul(side.max(1));
    }
    Ok((view.offset, end))
}
