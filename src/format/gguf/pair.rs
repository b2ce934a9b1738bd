//! A GGUF pair among the files of a repository: the language model, perhaps split, and its mmproj.

use super::header::Gguf;
use super::language::ARCHITECTURES;
use crate::config::instead;
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use std::collections::HashSet;

const PLACE: &str = "GGUF files";
/// Most files that a model may be split into.
const MAX_SPLITS: u32 = 1024;

/// Indices of the two halves of a pair in the list of files.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    /// The files of the language model in their order; its metadata are in the first.
    pub language: Vec<usize>,
    /// The mmproj: vision tower and connector.
    pub vision: usize,
}

/// What one file is by itself.
enum FileKind {
    Language,
    /// A file of a split model after the first: its number is its only metadata.
    Further(u32),
    Vision,
}

fn kind_of(file: &Gguf) -> Result<FileKind> {
    let part = file.u32("split.no")?.unwrap_or(0);
    match file.text("general.architecture")? {
        _ if part > 0 => Ok(FileKind::Further(part)),
        Some(name) if ARCHITECTURES.contains(&name) => Ok(FileKind::Language),
        Some("clip") => Ok(FileKind::Vision),
        None if file.tensors.iter().any(|t| t.name.starts_with("v.")) => Ok(FileKind::Vision),
        None if file.tensor("token_embd.weight").is_some() => Ok(FileKind::Language),
        None => fail!(Config, "GGUF: general.architecture", "is missing"),
        Some(other) => {
            let message = format!("`{}` is not implemented (llama, qwen2, clip)", other.escape_debug());
            Err(Error::new(Kind::Config, "GGUF: general.architecture", message).hint(instead(other)))
        }
    }
}

/// Finds the pair among `files`, given in any order.
///
/// # Errors
/// [`Kind::Config`] when one is missing, there twice, or of another architecture.
pub(super) fn pair(files: &[Gguf]) -> Result<Pair> {
    let (mut language, mut further, mut vision) = (Vec::new(), Vec::new(), Vec::new());
    for (i, file) in files.iter().enumerate() {
        match kind_of(file)? {
            FileKind::Language => language.push(i),
            FileKind::Further(part) => further.push((part, i)),
            FileKind::Vision => vision.push(i),
        }
    }
    ensure!(language.len() <= 1, Config, PLACE, "{} of them are language models", language.len());
    ensure!(vision.len() <= 1, Config, PLACE, "{} of them are vision towers (mmproj)", vision.len());
    let Some(first) = language.pop() else {
        let missing = if further.is_empty() { "the language model is" } else { "the language model's first part is" };
        return Err(Error::new(Kind::Config, PLACE, format!("{missing} not among them")));
    };
    let Some(vision) = vision.pop() else {
        let error = Error::new(Kind::Config, PLACE, "the vision tower and connector (mmproj) are not among them");
        return Err(error.hint("most repositories have them beside the model as mmproj-model-f16.gguf"));
    };
    ensure!(
        files[vision].u32("split.count")?.unwrap_or(1) <= 1,
        Config,
        PLACE,
        "the mmproj is split; take one that is a single file"
    );
    Ok(Pair { language: splits(files, first, further)?, vision })
}

/// Returns the files of a split language model in order: all of them, each once.
fn splits(files: &[Gguf], first: usize, mut further: Vec<(u32, usize)>) -> Result<Vec<usize>> {
    let count = files[first].u32("split.count")?.unwrap_or(1).max(1);
    ensure!(count <= MAX_SPLITS, Config, PLACE, "a model in {count} parts; at most {MAX_SPLITS} are read");
    further.sort_unstable();
    let present: HashSet<u32> = further.iter().map(|(part, _)| *part).collect();
    if let Some(absent) = (1..count).find(|n| !present.contains(n)) {
        let message = format!("part {} of {count} of the language model is not among them", absent + 1);
        return Err(Error::new(Kind::Config, PLACE, message).hint("all files -0000N-of-… of the model are needed"));
    }
    ensure!(
        further.len() as u32 == count - 1,
        Config,
        PLACE,
        "{} parts of a model in {count}: one is there twice, or belongs to another",
        further.len() + 1
    );
    let mut order = vec![first];
    order.extend(further.into_iter().map(|(_, i)| i));
    for &i in &order {
        let of = files[i].u32("split.count")?.unwrap_or(1).max(1);
        ensure!(of == count, Config, PLACE, "the first part is of {count}, another of {of}: they are of two models");
    }
    let tensors: u64 = order.iter().map(|&i| files[i].tensors.len() as u64).sum();
    if let Some(wanted) = files[first].uint("split.tensors.count")? {
        ensure!(tensors == wanted, Config, PLACE, "the parts hold {tensors} tensors; the first says {wanted}");
    }
    Ok(order)
}
