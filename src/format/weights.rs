//! The weight files of a checkpoint directory: safetensors or PyTorch's, one file or an index and several.

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::source::{Source, whole};
use crate::format::stored::StoredTensor;
use crate::format::{safetensors, torch};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Most files a checkpoint may be split into.
pub(super) const MAX_FILES: usize = 1024;
/// Longest index we parse, bytes.
pub const MAX_INDEX: u64 = 16 << 20;

/// Formats of weight files, the preferred one first.
#[derive(Debug, Clone, Copy)]
enum WeightFormat {
    Safetensors,
    Torch,
}

impl WeightFormat {
    fn index_file(self) -> &'static str {
        match self {
            Self::Safetensors => safetensors::INDEX_FILE,
            Self::Torch => torch::INDEX_FILE,
        }
    }

    fn single_file(self) -> &'static str {
        match self {
            Self::Safetensors => safetensors::SINGLE_FILE,
            Self::Torch => torch::SINGLE_FILE,
        }
    }

    async fn read_header<S: Source>(self, source: &S, path: &str) -> Result<Vec<StoredTensor>> {
        match self {
            Self::Safetensors => safetensors::read_header(source, path).await,
            Self::Torch => torch::read_header(source, path).await,
        }
    }
}

/// One file of weights.
#[derive(Debug)]
pub struct WeightFile {
    /// Its name in the source.
    pub path: String,
    /// Tensors of its header.
    pub tensors: Vec<StoredTensor>,
}

/// Announces the file that [`find`] asks for first.
pub fn expect<S: Source>(source: &S, directory: &str) {
    source.expect(&format!("{directory}{}", WeightFormat::Safetensors.index_file()), MAX_INDEX);
}

/// Finds the weights in a directory of the source (`""`, or a name that ends with a slash) and reads their headers.
/// Safetensors come first, as in transformers.
///
/// # Errors
/// [`Kind::Io`] where there are none; [`Kind::Tensor`] for files that are malformed or not what their index says.
pub async fn find<S: Source>(source: &S, directory: &str) -> Result<Vec<WeightFile>> {
    for format in [WeightFormat::Safetensors, WeightFormat::Torch] {
        let index = format!("{directory}{}", format.index_file());
        if let Some(bytes) = whole(source, &index, MAX_INDEX, Kind::Tensor).await? {
            return indexed(source, directory, format, &parse_index(&bytes, &index)?).await;
        }
        let path = format!("{directory}{}", format.single_file());
        if source.size(&path).await?.is_some() {
            let tensors = format.read_header(source, &path).await?;
            return Ok(vec![WeightFile { path, tensors }]);
        }
    }
    let [a, b] =
        [WeightFormat::Safetensors, WeightFormat::Torch].map(|format| (format.single_file(), format.index_file()));
    let what = format!("neither it nor {}, {} or {} is there", b.0, a.1, b.1);
    let error = Error::new(Kind::Io, format!("{directory}{}", a.0), what);
    for (file, hint) in [
        ("adapter_config.json", "this is a LoRA adapter: merge it with its base model and save the result"),
        (torch::CONNECTOR_FILE, "this is a connector alone: put it beside the files of its language model"),
    ] {
        if source.size(&format!("{directory}{file}")).await?.is_some() {
            return Err(error.hint(hint));
        }
    }
    Err(error)
}

/// Reads the headers of an index's files, and checks that each holds what the index places in it and nothing else.
async fn indexed<S: Source>(
    source: &S,
    directory: &str,
    format: WeightFormat,
    map: &BTreeMap<String, String>,
) -> Result<Vec<WeightFile>> {
    let index = format.index_file();
    let names: BTreeSet<&String> = map.values().collect();
    ensure!(names.len() <= MAX_FILES, Tensor, index, "{} files are more than {MAX_FILES}", names.len());
    let mut files = Vec::new();
    if matches!(format, WeightFormat::Safetensors) {
        names.iter().for_each(|name| source.expect(&format!("{directory}{name}"), safetensors::LENGTH_BYTES));
    }
    for name in names {
        let path = format!("{directory}{name}");
        let tensors = format.read_header(source, &path).await?;
        let stray = tensors.iter().find(|tensor| map.get(&tensor.key) != Some(name));
        ensure!(stray.is_none(), Tensor, name, "holds `{}`, which {index} places elsewhere", stray.unwrap().key);
        files.push(WeightFile { path, tensors });
    }
    let found: HashSet<&str> = files.iter().flat_map(|file| &file.tensors).map(|tensor| tensor.key.as_str()).collect();
    let missing = map.keys().find(|key| !found.contains(key.as_str()));
    ensure!(missing.is_none(), Tensor, index, "`{}` is in no file", missing.unwrap());
    Ok(files)
}

/// Parses an index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`): the file of each key.
///
/// # Errors
/// [`Kind::Tensor`] when it is malformed or names something else than files beside it.
pub fn parse_index(bytes: &[u8], place: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(bytes).map_err(|e| Error::new(Kind::Tensor, place, e.to_string()))?;
    let plain = |name: &String| {
        !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let folder = index.weight_map.values().find(|name| !plain(name));
    ensure!(folder.is_none(), Tensor, place, "`{}` is no plain file name", folder.unwrap().escape_debug());
    Ok(index.weight_map)
}
