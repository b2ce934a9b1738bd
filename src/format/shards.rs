//! Shards: files named by their hash, and the writer that packs tiles into them.

use crate::error::Result;
use crate::format::manifest::{MANIFEST_FILE, Tile};
use crate::{ensure, fail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Tiles start at multiples of this in a shard (WebGPU's `minStorageBufferOffsetAlignment`), so that a shard
/// copied whole into a buffer can be bound in place.
pub const ALIGNMENT: u64 = 256;

/// A file, its length and its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRecord {
    /// Name beside the manifest; no folders.
    pub file: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

impl FileRecord {
    /// Describes `bytes` as a file of this name.
    pub fn of(file: impl Into<String>, bytes: &[u8]) -> Self {
        Self { file: file.into(), bytes: bytes.len() as u64, sha256: sha256_hex(bytes) }
    }

    /// Checks that `bytes` are this file's.
    ///
    /// # Errors
    /// [`Kind::Shard`](crate::error::Kind::Shard), saying whether length or hash differ.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let same = bytes.len() as u64 == self.bytes && sha256_hex(bytes) == self.sha256;
        let count = bytes.len();
        ensure!(same, Shard, &self.file, "{count} bytes that are not the {} of the manifest, by SHA-256", self.bytes);
        Ok(())
    }

    /// Checks name, length and hash for form.
    pub(super) fn check(&self, limit: u64) -> Result<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        ensure!(
            (1..=128).contains(&self.file.len())
                && self.file.bytes().all(plain)
                && !self.file.starts_with('.')
                && self.file != MANIFEST_FILE,
            Manifest,
            MANIFEST_FILE,
            "`{}` is no file name (letters, digits, `.`, `_`, `-`; no folders)",
            self.file.escape_debug()
        );
        ensure!(
            (1..=limit).contains(&self.bytes),
            Manifest,
            format!("{MANIFEST_FILE}: `{}`", self.file),
            "{} bytes; allowed are 1 to {limit}",
            self.bytes
        );
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        ensure!(
            self.sha256.len() == 64 && self.sha256.bytes().all(hex),
            Manifest,
            format!("{MANIFEST_FILE}: `{}`", self.file),
            "`{}` is no SHA-256 in lower-case hex",
            self.sha256.escape_debug()
        );
        Ok(())
    }
}

/// Packs tiles into shards one after the other. A shard is given out when the next tile would make it longer
/// than the limit; a single tile may be longer and then has a shard to itself.
pub struct ShardWriter {
    limit: u64,
    current: Vec<u8>,
    records: Vec<FileRecord>,
}

impl ShardWriter {
    /// Shards of at most `limit` bytes, except for single tiles that are longer.
    pub fn new(limit: u64) -> Self {
        Self { limit, current: Vec::new(), records: Vec::new() }
    }

    /// Adds rows `rows` of a tensor. When that completes a shard, `emit(file name, bytes)` receives it.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn add(
        &mut self,
        rows: [u32; 2],
        tile: &[u8],
        emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<Tile> {
        let mut offset = (self.current.len() as u64).next_multiple_of(ALIGNMENT);
        if offset > 0 && offset + tile.len() as u64 > self.limit {
            self.flush(emit)?;
            offset = 0;
        }
        self.current.resize(offset as usize, 0);
        self.current.extend_from_slice(tile);
        Ok(Tile { rows, shard: self.records.len() as u32, offset, bytes: tile.len() as u64 })
    }

    /// Gives out the last shard and returns the list of all.
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

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector "abc" of FIPS 180-2.
    #[test]
    fn sha256_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
    }

    #[test]
    fn tiles_are_packed_aligned_and_never_split() {
        let mut shards: Vec<(String, Vec<u8>)> = Vec::new();
        let mut emit = |name: &str, bytes: &[u8]| {
            shards.push((name.to_string(), bytes.to_vec()));
            Ok(())
        };
        let mut writer = ShardWriter::new(1000);
        let sizes = [100, 300, 600, 2000, 16];
        let tiles: Vec<Tile> =
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
