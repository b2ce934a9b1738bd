//! Which file is what: the language model, perhaps in several parts, and its mmproj.

use super::Gguf;
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use std::collections::HashSet;

const PLACE: &str = "GGUF files";
/// Most parts of a split file.
const MAX_PARTS: u32 = 1024;

/// Indices into the files.
#[derive(Debug, PartialEq)]
pub(super) struct Roles {
    /// The parts of the language model in their order; its metadata are in the first.
    pub language: Vec<usize>,
    /// The mmproj: vision tower and connector.
    pub vision: usize,
}

/// What one file is by itself.
enum Role {
    Language,
    /// A part after the first: has no metadata but its number.
    Further(u32),
    Vision,
}

fn role(file: &Gguf) -> Result<Role> {
    let part = file.u32("split.no")?.unwrap_or(0);
    match file.text("general.architecture")? {
        _ if part > 0 => Ok(Role::Further(part)),
        Some("llama") => Ok(Role::Language),
        Some("clip") => Ok(Role::Vision),
        None if file.tensors.iter().any(|t| t.name.starts_with("v.")) => Ok(Role::Vision),
        None if file.tensor("token_embd.weight").is_some() => Ok(Role::Language),
        None => fail!(Config, "GGUF: general.architecture", "is missing"),
        Some(other) => {
            let message = format!("`{}` is not implemented (llama, clip)", other.escape_debug());
            let hint = "take a LLaVA-1.5 whose language model is LLaMA, Vicuna or Mistral";
            Err(Error::new(Kind::Config, "GGUF: general.architecture", message).hint(hint))
        }
    }
}

/// Finds the roles of `files`, given in any order.
///
/// # Errors
/// [`Kind::Config`] when one is missing, there twice, or of another architecture.
pub(super) fn roles(files: &[Gguf]) -> Result<Roles> {
    let (mut language, mut further, mut vision) = (Vec::new(), Vec::new(), Vec::new());
    for (i, file) in files.iter().enumerate() {
        match role(file)? {
            Role::Language => language.push(i),
            Role::Further(part) => further.push((part, i)),
            Role::Vision => vision.push(i),
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
    Ok(Roles { language: parts(files, first, further)?, vision })
}

/// The parts of a language model in order: all of them, each once.
fn parts(files: &[Gguf], first: usize, mut further: Vec<(u32, usize)>) -> Result<Vec<usize>> {
    let count = files[first].u32("split.count")?.unwrap_or(1).max(1);
    ensure!(count <= MAX_PARTS, Config, PLACE, "a model in {count} parts; at most {MAX_PARTS} are read");
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
