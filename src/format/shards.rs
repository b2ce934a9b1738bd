//! Shards: files named by their hash, and the writer that packs tiles into them.

use crate::error::Result;
use crate::fail;
use crate::format::files::FileRecord;
use crate::format::hash::sha256_hex;
use serde::{Deserialize, Serialize};

/// Tiles start at multiples of this in a shard (WebGPU's `minStorageBufferOffsetAlignment`), so that a shard
/// copied whole into a buffer can be bound in place.
pub const ALIGNMENT: u64 = 256;

/// A range of a tensor's rows and its place in the shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TileRecord {
    /// First row, and one past the last.
    pub rows: [u32; 2],
    /// Index into [`Manifest::shards`](super::manifest::Manifest::shards).
    pub shard: u32,
    /// First byte in that shard, a multiple of [`ALIGNMENT`].
    pub offset: u64,
    /// Length of all planes together, bytes.
    pub bytes: u64,
}

/// Packs tiles into shards, one after the other. A shard is emitted when the next tile would make it longer than the
/// limit. A single tile may be longer: it gets a shard to itself.
pub struct ShardWriter {
    limit: u64,
    current: Vec<u8>,
    records: Vec<FileRecord>,
}

impl ShardWriter {
    /// Starts with no shards. Each will have at most `limit` bytes, unless a single tile is longer.
    pub fn new(limit: u64) -> Self {
        Self { limit, current: Vec::new(), records: Vec::new() }
    }

    /// Appends rows `rows` of a tensor. `emit(file name, bytes)` receives the shard that this completes.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn add(
        &mut self,
        rows: [u32; 2],
        tile: &[u8],
        emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<TileRecord> {
        let mut offset = (self.current.len() as u64).next_multiple_of(ALIGNMENT);
        if offset > 0 && offset + tile.len() as u64 > self.limit {
            self.flush(emit)?;
            offset = 0;
        }
        self.current.resize(offset as usize, 0);
        self.current.extend_from_slice(tile);
        Ok(TileRecord { rows, shard: self.records.len() as u32, offset, bytes: tile.len() as u64 })
    }

    /// Emits the last shard and returns the records of all shards.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn finish(mut self, emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<Vec<FileRecord>> {
        self.flush(emit)?;
        Ok(self.records)
    }

    fn flush(&mut self, emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
        if self.current.is_empty() {
            return Ok(());
        }
        let sha256 = sha256_hex(&self.current);
        let record = FileRecord { file: format!("{}.bin", &sha256[..16]), bytes: self.current.len() as u64, sha256 };
        if let Some(other) = self.records.iter().find(|r| r.file == record.file && **r != record) {
            fail!(Shard, record.file, "two shards share the first 64 bits of their hashes ({})", other.sha256);
        }
        emit(&record.file, &self.current)?;
        self.current.clear();
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_packed_aligned_and_never_split() {
        let mut shards: Vec<(String, Vec<u8>)> = Vec::new();
        let mut emit = |name: &str, bytes: &[u8]| {
            shards.push((name.to_string(), bytes.to_vec()));
            Ok(())
        };
        let mut writer = ShardWriter::new(1000);
        let sizes = [100, 300, 600, 2000, 16];
        let tiles: Vec<TileRecord> =
            sizes.iter().map(|&n| writer.add([0, 1], &vec![n as u8; n], &mut emit).unwrap()).collect();
        let records = writer.finish(&mut emit).unwrap();
        let places: Vec<(u32, u64)> = tiles.iter().map(|t| (t.shard, t.offset)).collect();
        assert_eq!(places, [(0, 0), (0, 256), (1, 0), (2, 0), (3, 0)], "600 at 768 would pass 1000");
        assert_eq!(records.iter().map(|r| r.bytes).collect::<Vec<_>>(), [556, 600, 2000, 16]);
        for (record, (name, bytes)) in records.iter().zip(&shards) {
            assert_eq!(*record, FileRecord::of(name, bytes));
            assert_eq!(record.file, format!("{}.bin", &record.sha256[..16]));
        }
    }
}
