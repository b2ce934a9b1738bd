//! Shards and the other files of a model as *parts*: what a loader fetches, in which order, and how it knows
//! that it got the right bytes. And the writer that packs tiles into shards.

use crate::error::{Error, Kind, Result};
use crate::format::manifest::{MANIFEST_FILE, Manifest, Tile};
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

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// `config.json`.
    Config,
    /// `generation_config.json`.
    GenerationConfig,
    /// `preprocessor_config.json`.
    PreprocessorConfig,
    /// `tokenizer.json`.
    Tokenizer,
    /// The shard of this index.
    Shard(u32),
}

/// One file to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Position in [`Manifest::parts`].
    pub index: u32,
    /// The file.
    #[serde(flatten)]
    pub record: FileRecord,
    /// What it is.
    pub what: PartKind,
}

impl Part {
    /// Checks that `bytes` are this part: first the length, then the hash.
    ///
    /// # Errors
    /// [`Kind::Shard`], naming the file.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let FileRecord { file, bytes: length, sha256 } = &self.record;
        let again = |message: String| Error::new(Kind::Shard, file, message).hint("fetch it again");
        if bytes.len() as u64 != *length {
            return Err(again(format!("has {} bytes instead of {length}", bytes.len())));
        }
        let found = sha256_hex(bytes);
        if found != *sha256 {
            return Err(again(format!("its SHA-256 is {found} instead of {sha256}")));
        }
        Ok(())
    }
}

impl Manifest {
    /// Everything to fetch: the small files first, then the shards in order of use.
    pub fn parts(&self) -> Vec<Part> {
        let files = &self.files;
        let small = [
            (Some(&files.config), PartKind::Config),
            (files.generation_config.as_ref(), PartKind::GenerationConfig),
            (files.preprocessor_config.as_ref(), PartKind::PreprocessorConfig),
            (Some(&files.tokenizer), PartKind::Tokenizer),
        ];
        let small = small.into_iter().filter_map(|(file, what)| Some((file?, what)));
        let shards = self.shards.iter().enumerate().map(|(i, shard)| (shard, PartKind::Shard(i as u32)));
        let part = |(index, (record, what)): (usize, (&FileRecord, PartKind))| Part {
            index: index as u32,
            record: record.clone(),
            what,
        };
        small.chain(shards).enumerate().map(part).collect()
    }

    /// The tiles in shard `shard`, as (index of the tensor, index of its tile), in no particular order.
    pub fn tiles_in(&self, shard: u32) -> impl Iterator<Item = (usize, usize)> {
        let tiles = self.tensors.iter().enumerate();
        tiles.flat_map(move |(t, tensor)| {
            let here = tensor.tiles.iter().enumerate().filter(move |(_, tile)| tile.shard == shard);
            here.map(move |(i, _)| (t, i))
        })
    }

    /// Bytes of all parts together.
    pub fn total_bytes(&self) -> u64 {
        self.parts().iter().map(|part| part.record.bytes).sum()
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

    #[test]
    fn verify_tells_length_from_hash() {
        let part = Part { index: 0, record: FileRecord::of("a.bin", b"abc"), what: PartKind::Shard(0) };
        assert!(part.verify(b"abc").is_ok());
        let short = part.verify(b"ab").unwrap_err();
        let wrong = part.verify(b"abd").unwrap_err();
        assert!(short.message.contains("2 bytes instead of 3") && wrong.message.contains("SHA-256"));
        assert!([short, wrong].iter().all(|e| e.kind == Kind::Shard && e.place == "a.bin" && !e.hint.is_empty()));
    }
}
