//! The files of a model beside its weights: their names, their limits, and how a manifest records them.

use crate::ensure;
use crate::error::Result;
use crate::format::hash::sha256_hex;
use serde::{Deserialize, Serialize};

/// Name of the manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Prefix of the files of an original checkpoint's CLIP tower.
pub const TOWER_DIRECTORY: &str = "vision_tower/";
/// Largest configuration file, bytes.
pub(crate) const MAX_JSON: u64 = 1 << 20;

/// The small files of a model, as the bytes that [`Config`](crate::config::Config), the tokenizer and the preprocessor
/// parse. For GGUF pairs and original checkpoints they are derived from the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallFiles {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `generation_config.json`.
    pub generation_config: Option<Vec<u8>>,
    /// `preprocessor_config.json`.
    pub preprocessor_config: Option<Vec<u8>>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
}

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
