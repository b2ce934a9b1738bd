//! What the native programs share: models from directories.

use crate::device::{BackendChoice, Device};
use crate::engine::{Engine, Loader};
use crate::error::{Error, Kind, Result};
use std::path::Path;

/// Loads the model whose `manifest.json` is in `directory`; `context` rows of cache, or the default.
///
/// # Errors
/// [`Kind::Io`] for a file that cannot be read, and what [`Loader`] reports.
pub async fn load_directory(directory: &Path, choice: BackendChoice, context: Option<u32>) -> Result<Engine> {
    let manifest = read_file(&directory.join(crate::format::manifest::MANIFEST_FILE))?;
    let mut loader = Loader::new(Device::open(choice).await?, &manifest).await?;
    for (index, part) in loader.plan().parts.iter().enumerate() {
        loader.push(index, &read_file(&directory.join(&part.record.file))?).await?;
    }
    loader.finish(context).await
}

/// A whole file.
///
/// # Errors
/// [`Kind::Io`], naming it.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io_error(path, &e))
}

/// An error about a file.
pub fn io_error(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Io, path.display().to_string(), error.to_string())
}
