//! The files of a LLaVA → what every layout becomes: configuration files, and tensors under their canonical names with
//! their places.

use super::header::{Gguf, TensorInfo};
use super::language::{Language, language};
use super::names;
use super::pair::{Pair, pair};
use super::tokenizer::{Vocabulary, vocabulary};
use super::vision::{IDEFICS3, Vision, vision};
use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::names::{DECODER, Expected, Found, Holder, matched, without_unit_sides};
use crate::format::stored::LocatedTensor;
use serde_json::json;
use std::collections::BTreeMap;

/// Hint for a file with types that are not read.
const INSTEAD: &str = "take the model as Q4_K_M, Q4_0, Q5_K_M, Q6_K, Q8_0 or F16";

/// A LLaVA in GGUF files, described like one from any other source.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The language model's name for itself.
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
    /// What the configuration needs, in order of use, each with its place.
    pub tensors: Vec<(Expected, LocatedTensor)>,
    /// Remarks on the files, for people.
    pub notes: Vec<String>,
}

/// A tensor with the index of its file.
struct Placed<'a> {
    file: usize,
    tensor: &'a TensorInfo,
}

impl Found for Placed<'_> {
    fn own_name(&self) -> Option<&str> {
        Some(&self.tensor.name)
    }

    fn shape(&self, expected: &Expected) -> Vec<u32> {
        without_unit_sides(&self.tensor.shape, &expected.checkpoint_shape)
    }
}

/// Wording of the check of a pair's tensors.
const PAIR: Holder = Holder { name: "the GGUF files", config: "their configuration", hint: "", holds_skipped: true };

/// Describes the LLaVA that `files`, in any order, hold together.
///
/// # Errors
/// [`Kind::Config`], [`Kind::Tokenizer`] and [`Kind::Tensor`], naming the key or tensor:
/// a file that is missing, an architecture or type that is not implemented, tensors that contradict the metadata.
pub fn describe(files: &[Gguf]) -> Result<Described> {
    let Pair { language: parts, vision: vision_file } = pair(files)?;
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
    let placed = by_canonical_name(files, &parts, vision_file, &vision)?;
    let located = |(expected, placed): (Expected, Placed)| {
        let tensor = located(&expected, &placed, &language)?;
        Ok((expected, tensor))
    };
    let tensors = matched(&checked, placed, &PAIR)?.into_iter().map(located).collect::<Result<_>>()?;
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

/// Makes `config.json` and `generation_config.json`.
fn configs(language: &Language, vision: &Vision, vocabulary: &Vocabulary) -> (String, String) {
    let mut text = language.config.clone();
    text["bos_token_id"] = json!(vocabulary.bos);
    text["eos_token_id"] = json!(vocabulary.eos);
    let mut config = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": if vision.pinpoints.is_some() { "llava_next" } else { "llava" },
        "image_grid_pinpoints": vision.pinpoints,
        "image_token_index": vocabulary.image,
        "projector_hidden_act": "gelu",
        "mm_projector_type": vision.connector,
        "vision_feature_layer": vision.run,
        "mm_projector_type": vision.connector,
        "vision_feature_select_strategy": vision.select,
        "tie_word_embeddings": text["tie_word_embeddings"],
        "text_config": text,
        "vision_config": vision.config,
    });
    if vision.connector == IDEFICS3 {
        config = json!({
            "architectures": ["Idefics3ForConditionalGeneration"],
            "model_type": "idefics3",
            "image_token_id": vocabulary.image,
            "scale_factor": vision.scale_factor,
            "tie_word_embeddings": config["tie_word_embeddings"],
            "text_config": config["text_config"],
            "vision_config": config["vision_config"],
        });
    }
    let generation = json!({"bos_token_id": vocabulary.bos, "eos_token_id": vocabulary.eos});
    (config.to_string(), generation.to_string())
}

/// Collects the tensors of all files by canonical name, without position counters.
fn by_canonical_name<'a>(
    files: &'a [Gguf],
    parts: &[usize],
    vision_file: usize,
    vision: &Vision,
) -> Result<BTreeMap<String, Placed<'a>>> {
    let mut placed = BTreeMap::new();
    let list = parts.iter().chain([&vision_file]).flat_map(|&i| files[i].tensors.iter().map(move |t| (i, t)));
    for (file, tensor) in list {
        let canonical = match file == vision_file {
            true => names::vision(&tensor.name, vision.swapped),
            false => names::language(&tensor.name),
        };
        let Some(name) = canonical else {
            if file == vision_file && tensor.name.ends_with(".position_ids") {
                continue;
            }
            return Err(PAIR.superfluous(&tensor.name));
        };
        let twice = placed.insert(name, Placed { file, tensor }).is_some();
        ensure!(!twice, Tensor, &tensor.name, "is in two parts of the model");
    }
    Ok(placed)
}

/// Returns the place of an expected tensor.
///
/// # Errors
/// [`Kind::Tensor`] for a type that is not read.
fn located(expected: &Expected, placed: &Placed, language: &Language) -> Result<LocatedTensor> {
    let Placed { file, tensor } = *placed;
    let encoding = match &tensor.encoding {
        Ok(encoding) => *encoding,
        Err(kind) => {
            let error = Error::new(Kind::Tensor, &tensor.name, format!("is {kind}, which is not read"));
            return Err(error.hint(INSTEAD));
        }
    };
    let rope_heads = match expected.name.strip_prefix(DECODER) {
        Some(_) if !language.interleaved => None,
        Some(name) if name.ends_with(".q_proj.weight") => Some(language.heads),
        Some(name) if name.ends_with(".k_proj.weight") => Some(language.kv_heads),
        _ => None,
    };
    let (name, shape) = (expected.name.clone(), expected.checkpoint_shape.clone());
    Ok(LocatedTensor { name, file, offset: tensor.offset, encoding, shape, rope_heads })
}

/// Returns the file's name for itself if it is fit to be shown.
fn model_name(file: &Gguf) -> String {
    let name = file.lenient_text("general.name").unwrap_or_default().trim();
    let plain = !name.is_empty() && name.len() <= 100 && !name.chars().any(char::is_control);
    if plain { name.to_string() } else { "LLaVA".to_string() }
}
