//! The files of a LLaVA → what the loader takes from every source: configuration texts, and tensors under
//! their canonical names with their places.

use super::language::{self, Language, language};
use super::roles::{Roles, roles};
use super::tokenizer::{Vocabulary, vocabulary};
use super::vision::{self, Vision, vision};
use super::{Gguf, TensorInfo};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::format::names::{DECODER, Expected, expected, is_skipped};
use crate::quant::Encoding;
use crate::{ensure, fail};
use serde_json::json;
use std::collections::BTreeMap;

/// What can be loaded in place of a file whose types are not read.
const INSTEAD: &str = "take the model as Q4_K_M, Q4_0, Q5_K_M, Q6_K, Q8_0 or F16";

/// A LLaVA in GGUF files, described like one from any other source.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What the language model calls itself.
    pub name: String,
    /// `config.json` in the llava-hf layout.
    pub config: Vec<u8>,
    /// `generation_config.json`.
    pub generation_config: Vec<u8>,
    /// `preprocessor_config.json`.
    pub preprocessor_config: Vec<u8>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// The language model's own chat template.
    pub chat_template: Option<String>,
    /// What [`expected`] names, in that order.
    pub tensors: Vec<DescribedTensor>,
    /// What a person may want to know about the files.
    pub notes: Vec<String>,
}

/// A tensor in one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTensor {
    /// Canonical.
    pub name: String,
    /// Index of its file.
    pub file: usize,
    /// How its values are stored.
    pub encoding: Encoding,
    /// Row-major, as [`Expected::checkpoint_shape`].
    pub shape: Vec<u32>,
    /// From the file's start, bytes.
    pub offset: u64,
    /// Length.
    pub bytes: u64,
    /// `Some(heads)`: within each head, row `2i` holds what is row `i`, row `2i + 1` what is row `D/2 + i`:
    /// llama.cpp rotates neighbours where Hugging Face rotates halves.
    pub rope_heads: Option<u32>,
}

/// A tensor with its file.
type Placed<'a> = (usize, &'a TensorInfo);

/// Describes the LLaVA that `files`, in any order, hold together.
///
/// # Errors
/// [`Kind::Config`], [`Kind::Tokenizer`] and [`Kind::Tensor`], naming the key or tensor: a file that is
/// missing, an architecture or type that is not implemented, tensors that contradict the metadata.
pub fn describe(files: &[Gguf]) -> Result<Described> {
    let Roles { language: parts, vision: vision_file } = roles(files)?;
    let (first, mmproj) = (&files[parts[0]], &files[vision_file]);
    let language = language(first, |name| parts.iter().find_map(|&i| files[i].tensor(name)))?;
    let vision = vision(mmproj)?;
    if let Some(outputs) = vision.outputs.filter(|n| *n != language.hidden_size) {
        let wanted = language.hidden_size;
        let message = format!("the mmproj makes {outputs} values of a patch; the language model takes {wanted}");
        return Err(Error::new(Kind::Config, "GGUF files", message).hint("take the mmproj of the same model and size"));
    }
    let vocabulary = vocabulary(first, language.vocab_size)?;
    let (config, generation_config) = configs(&language, &vision, &vocabulary);
    let (config, generation_config) = (config.into_bytes(), generation_config.into_bytes());
    let checked = Config::parse(&config, Some(&generation_config))?;
    let named = canonical_names(files, &parts, vision_file, &vision, &checked)?;
    let tensors = expected(&checked).into_iter().map(|e| locate(e, &named, &language)).collect::<Result<_>>()?;
    let mut notes = vision.notes;
    notes.extend(vocabulary.notes);
    Ok(Described {
        name: model_name(first),
        config,
        generation_config,
        preprocessor_config: vision.preprocessor.to_string().into_bytes(),
        tokenizer: vocabulary.json,
        chat_template: first.lenient_text("tokenizer.chat_template").map(str::to_string),
        tensors,
        notes,
    })
}

/// `config.json` and `generation_config.json`.
fn configs(language: &Language, vision: &Vision, vocabulary: &Vocabulary) -> (String, String) {
    let mut text = language.config.clone();
    text["bos_token_id"] = json!(vocabulary.bos);
    text["eos_token_id"] = json!(vocabulary.eos);
    let config = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": vocabulary.image,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": vision.run,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": text["tie_word_embeddings"],
        "text_config": text,
        "vision_config": vision.config,
    });
    let generation = json!({"bos_token_id": vocabulary.bos, "eos_token_id": vocabulary.eos});
    (config.to_string(), generation.to_string())
}

/// Every tensor of every file under its canonical name; what is known and not run is left out.
fn canonical_names<'a>(
    files: &'a [Gguf],
    parts: &[usize],
    vision_file: usize,
    vision: &Vision,
    config: &Config,
) -> Result<BTreeMap<String, Placed<'a>>> {
    let mut named = BTreeMap::new();
    let needed: std::collections::HashSet<String> = expected(config).into_iter().map(|e| e.name).collect();
    let list = parts.iter().chain([&vision_file]).flat_map(|&i| files[i].tensors.iter().map(move |t| (i, t)));
    for (file, tensor) in list {
        let canonical = match file == vision_file {
            true => vision::canonical(&tensor.name, vision.swapped),
            false => language::canonical(&tensor.name),
        };
        let beyond = || file == vision_file && tensor.name.ends_with(".position_ids");
        match canonical {
            Some(name) if needed.contains(&name) => {
                let twice = named.insert(name, (file, tensor)).is_some();
                ensure!(!twice, Tensor, &tensor.name, "is in two parts of the model");
            }
            Some(name) if is_skipped(config, &name) => {}
            _ if beyond() => {}
            _ => fail!(Tensor, &tensor.name, "is in the file, but LLaVA-1.5 has no use for it"),
        }
    }
    Ok(named)
}

/// Where an expected tensor is, checked against its shape.
fn locate(e: Expected, named: &BTreeMap<String, Placed>, language: &Language) -> Result<DescribedTensor> {
    let Some(&(file, tensor)) = named.get(&e.name) else {
        fail!(Tensor, &e.name, "is missing from the GGUF files");
    };
    let encoding = match &tensor.encoding {
        Ok(encoding) => *encoding,
        Err(kind) => {
            let error = Error::new(Kind::Tensor, &tensor.name, format!("is {kind}, which is not read"));
            return Err(error.hint(INSTEAD));
        }
    };
    // ggml drops trailing sides of 1 and some converters keep them: row-major, they lead.
    let extra = tensor.shape.len().saturating_sub(e.checkpoint_shape.len());
    let same = tensor.shape[extra..] == e.checkpoint_shape && tensor.shape[..extra].iter().all(|n| *n == 1);
    ensure!(
        same,
        Tensor,
        &tensor.name,
        "is {:?} in the file; the metadata make it {:?}",
        tensor.shape,
        e.checkpoint_shape
    );
    let rope_heads = match e.name.strip_prefix(DECODER) {
        Some(name) if name.ends_with(".q_proj.weight") => Some(language.heads),
        Some(name) if name.ends_with(".k_proj.weight") => Some(language.kv_heads),
        _ => None,
    };
    let (offset, bytes) = (tensor.offset, tensor.bytes);
    Ok(DescribedTensor { name: e.name, file, encoding, shape: e.checkpoint_shape, offset, bytes, rope_heads })
}

/// A name to show: what the file says, if that is a plain one.
fn model_name(file: &Gguf) -> String {
    let name = file.lenient_text("general.name").unwrap_or_default().trim();
    let plain = !name.is_empty() && name.len() <= 100 && !name.chars().any(char::is_control);
    if plain { name.to_string() } else { "LLaVA".to_string() }
}
