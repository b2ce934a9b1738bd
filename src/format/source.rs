//! Where bytes come from: files by name, read by ranges.
//!
//! A source is a folder, a web address, files that were dropped on the page, or memory. Layer 5, which has the network
//! and the disk, implements it; the layers below only read. Nothing is promised about the bytes: the parsers check
//! them.

use crate::ensure;
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// Files by plain name; `vision_tower/NAME` is a file of the second directory that an original LLaVA checkpoint
/// needs for its CLIP tower.
#[allow(async_fn_in_trait)] // one thread: no Send is promised
pub trait Source {
    /// Returns the length of a file, bytes, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Kind::Io`] (in a page: `network`) when that cannot be found out.
    async fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Reads `bytes` bytes from `offset` on.
    ///
    /// # Errors
    /// [`Kind::Io`] when the file ends before them.
    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>>;

    /// Announces that a file will be read soon, if it exists: its first `bytes` bytes, or all of a shorter one. A source
    /// far away requests announced files at the same time. Nothing has to follow, and nothing depends on it.
    fn expect(&self, _name: &str, _bytes: u64) {}
}

/// Reads a whole small file; `None` if there is none.
///
/// # Errors
/// Those of the source; `kind` when it is longer than `limit`, or shorter than the source said.
pub async fn whole<S: Source>(source: &S, name: &str, limit: u64, kind: Kind) -> Result<Option<Vec<u8>>> {
    let Some(size) = source.size(name).await? else { return Ok(None) };
    if size > limit {
        return Err(Error::new(kind, name, format!("{size} bytes; at most {limit} are read")));
    }
    Ok(Some(exactly(source, name, 0, size).await?))
}

/// Reads a range that must be complete.
///
/// # Errors
/// Those of the source; [`Kind::Io`] when it returns another number of bytes.
pub async fn exactly<S: Source>(source: &S, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let read = source.read(name, offset, bytes).await?;
    ensure!(read.len() as u64 == bytes, Io, name, "gave {} of {bytes} bytes from {offset} on", read.len());
    Ok(read)
}

/// A directory in memory, for tests and for generated files.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Source for Memory {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.0.get(name).map(|bytes| bytes.len() as u64))
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let place = || Error::new(Kind::Io, name, format!("{bytes} bytes from {offset} on are not there"));
        let file = self.0.get(name).ok_or_else(place)?;
        let range = usize::try_from(offset).ok().zip(usize::try_from(bytes).ok());
        let found = range.and_then(|(at, count)| file.get(at..)?.get(..count));
        found.map(<[u8]>::to_vec).ok_or_else(place)
    }
}
