//! Checkpoints: the files of a model in any layout but this project's own, under one set of names.
//!
//! Three layouts are read: llava-hf (safetensors or PyTorch's files, see [`weights`]), the original LLaVA's (the same
//! with other keys and without the CLIP tower, which lies in a second directory `vision_tower/`), and GGUF pairs.
//! Only headers and small files are read here. The result is the place and the encoding of each tensor.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::format::files::{MAX_JSON, SmallFiles, TOWER_DIRECTORY};
use crate::format::names::{self, Expected, Holder, matched};
use crate::format::original;
use crate::format::processor::{Processor, choose_template};
use crate::format::source::{Source, whole};
use crate::format::stored::{LocatedTensor, StoredTensor};
use crate::format::weights::{self, MAX_FILES, WeightFile};
use crate::format::{gguf, torch};
use crate::prompt::Template;
use crate::quant::Encoding;
use crate::tokenizer::MAX_TOKENIZER;
use crate::{ensure, fail};
use safetensors::Dtype;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most tensors in all files together; a 65B model with its tower has 1 200.
const MAX_TENSORS: usize = 1 << 16;
/// Longest headers of all files of a pair together, bytes.
const MAX_HEADERS: u64 = 2 * gguf::MAX_HEADER;
/// First read of a GGUF file, bytes, before the length of its header is known: a LLaMA's vocabulary fits.
const FIRST_READ: u64 = 1 << 20;
/// Hint for a pair of which one half is missing.
const PAIR_HINT: &str = "LLaVA is a pair of GGUF files: the language model (perhaps in several parts) and mmproj";

/// Wording of the check of a directory's tensors.
const DIRECTORY: Holder = Holder {
    name: "the checkpoint",
    config: "config.json",
    hint: "a LLaVA checkpoint holds tower, connector and decoder; the original layout has its CLIP tower in a second \
           directory, a GGUF model in a second file (mmproj)",
    holds_skipped: true,
};

/// All tensors of a model in order of use, and its small files.
#[derive(Debug)]
pub struct Checkpoint {
    /// The name that it gives itself, if any.
    pub name: Option<String>,
    /// The weight files.
    pub files: Vec<String>,
    /// The small files.
    pub small: SmallFiles,
    /// Parsed from them.
    pub config: Config,
    /// Prompt template that the model was trained with.
    pub template: Template,
    /// Remarks for people.
    pub notes: Vec<String>,
    /// What the configuration needs, each with its place.
    pub tensors: Vec<(Expected, LocatedTensor)>,
}

impl Checkpoint {
    /// Opens the checkpoint that `entry` names: `config.json`, or the files of a GGUF pair in any order.
    ///
    /// # Errors
    /// [`Kind::Io`] for files that are missing; [`Kind::Config`], [`Kind::Tokenizer`] and [`Kind::Tensor`] for what
    /// is malformed, contradictory, superfluous or not implemented, by name.
    pub async fn open<S: Source>(source: &S, entry: &[String]) -> Result<Self> {
        let gguf = entry.iter().any(|name| name.ends_with(".gguf"));
        if gguf { open_gguf(source, entry).await } else { open_directory(source).await }
    }

    /// Makes a checkpoint of these tensors, without small files.
    #[cfg(test)]
    pub(super) fn for_tests(config: Config, tensors: Vec<(Expected, LocatedTensor)>) -> Self {
        let (generation_config, preprocessor_config) = (None, None);
        let small = SmallFiles { config: Vec::new(), generation_config, preprocessor_config, tokenizer: Vec::new() };
        let (files, template) = (vec!["f".to_string()], Template::default());
        Self { name: None, files, small, config, template, notes: Vec::new(), tensors }
    }
}

/// Adds to each part `x-00002-of-00003.gguf` of a split file the other parts, in order and once.
fn siblings(entry: &[String]) -> Result<Vec<String>> {
    let mut files: Vec<String> = Vec::new();
    for name in entry {
        let split = name.strip_suffix(".gguf").and_then(|stem| {
            let (rest, count) = stem.rsplit_once("-of-")?;
            let (base, number) = rest.rsplit_once('-')?;
            (number.len() == 5 && count.len() == 5).then_some(())?;
            Some((base, number.parse::<u32>().ok()?, count.parse::<u32>().ok()?))
        });
        let names = match split {
            None => vec![name.clone()],
            Some((base, number, count)) => {
                let sane = (1..=MAX_FILES as u32).contains(&count) && (1..=count).contains(&number);
                ensure!(sane, Io, name, "is no part of at most {MAX_FILES}");
                (1..=count).map(|i| format!("{base}-{i:05}-of-{count:05}.gguf")).collect()
            }
        };
        for name in names {
            if !files.contains(&name) {
                files.push(name);
            }
        }
    }
    Ok(files)
}

/// Opens a pair: reads the headers of all its files, in growing prefixes.
async fn open_gguf<S: Source>(source: &S, entry: &[String]) -> Result<Checkpoint> {
    let files = siblings(entry)?;
    files.iter().for_each(|name| source.expect(name, FIRST_READ));
    let (mut headers, mut read) = (Vec::new(), 0u64);
    for name in &files {
        let Some(size) = source.size(name).await? else {
            return Err(Error::new(Kind::Io, name, "is not there").hint(PAIR_HINT));
        };
        let mut prefix: Vec<u8> = Vec::new();
        let mut wanted = FIRST_READ.min(size);
        headers.push(loop {
            let more = wanted - prefix.len() as u64;
            read += more;
            ensure!(read <= MAX_HEADERS, Tensor, name, "the headers of the files up to it exceed {MAX_HEADERS} bytes");
            prefix.extend(super::source::exactly(source, name, prefix.len() as u64, more).await?);
            let parsed = gguf::parse(&prefix, size).map_err(|e| Error { place: format!("{name}: {}", e.place), ..e });
            match parsed? {
                gguf::Parsed::Header(header) => break header,
                // `least` exceeds the prefix, grows with each round, and is at most the file's size.
                gguf::Parsed::More(least) => wanted = least,
            }
        });
    }
    let described = gguf::describe(&headers)?;
    let small = SmallFiles {
        config: described.config,
        generation_config: Some(described.generation_config),
        preprocessor_config: Some(described.preprocessor_config),
        tokenizer: described.tokenizer,
    };
    let config = Config::parse(&small.config, small.generation_config.as_deref())?;
    let (name, mut notes) = (Some(described.name), described.notes);
    let template = choose_template(described.chat_template.as_deref(), &small.tokenizer, &mut notes);
    Ok(Checkpoint { name, files, small, config, template, notes, tensors: described.tensors })
}

/// Opens a directory in llava-hf's or the original layout.
async fn open_directory<S: Source>(source: &S) -> Result<Checkpoint> {
    let hint = "a checkpoint directory has config.json, tokenizer.json (or tokenizer.model) and model.safetensors or \
                pytorch_model.bin";
    let Some(config_json) = whole(source, "config.json", MAX_JSON, Kind::Config).await? else {
        return Err(Error::new(Kind::Io, "config.json", "is not there").hint(hint));
    };
    let (small, mut processor) = if original::is_original(&config_json)? {
        // The original code reads neither a processor nor a chat template.
        (original::small_files(source, &config_json).await?, Processor::default())
    } else {
        source.expect("generation_config.json", MAX_JSON);
        Processor::expect(source);
        source.expect("tokenizer.json", MAX_TOKENIZER);
        weights::expect(source, "");
        let generation_config = whole(source, "generation_config.json", MAX_JSON, Kind::Config).await?;
        let processor = Processor::read(source).await?;
        let rows = Config::parse(&config_json, generation_config.as_deref())?.text.vocab_size;
        let tokenizer = original::tokenizer(source, rows).await?;
        let preprocessor_config = processor.preprocessor_config.clone();
        (SmallFiles { config: config_json, generation_config, preprocessor_config, tokenizer }, processor)
    };
    let config = Config::parse(&small.config, small.generation_config.as_deref())?;
    processor.check(&config, &small.tokenizer, small.generation_config.as_deref())?;
    let template = match chosen_template(&small.config)? {
        Some(template) => template,
        None => processor.template(&small.tokenizer),
    };
    let mut weights = DirectoryTensors::default();
    weights.add_directory(source, "").await?;
    // The original code keeps a connector that was trained alone in a file of its own.
    if !weights.holds(names::CONNECTOR) && source.size(torch::CONNECTOR_FILE).await?.is_some() {
        let (path, tensors) =
            (torch::CONNECTOR_FILE.to_string(), torch::read_header(source, torch::CONNECTOR_FILE).await?);
        weights.add_file("", WeightFile { path, tensors })?;
    }
    if !weights.holds(names::VISION_TOWER) {
        weights.add_directory(source, TOWER_DIRECTORY).await.map_err(|e| {
            let hint = "this checkpoint holds no CLIP tower: give the directory of openai/clip-vit-large-patch14-336 \
                        beside it (convert: --vision-tower DIR)";
            if e.kind == Kind::Io && e.hint.is_empty() { e.hint(hint) } else { e }
        })?;
    }
    let tensors = matched(&config, weights.tensors, &DIRECTORY)?.into_iter().map(|(expected, located)| {
        // Its own may differ by sides of 1.
        let shape = expected.checkpoint_shape.clone();
        (expected, LocatedTensor { shape, ..located })
    });
    let tensors = tensors.collect();
    Ok(Checkpoint { name: None, files: weights.files, small, config, template, notes: processor.notes, tensors })
}

/// Reads `llava_web.prompt_template` of config.json, where this project's own training records its template.
fn chosen_template(config: &[u8]) -> Result<Option<Template>> {
    let root = crate::config::json_object(config, "config.json")?;
    let place = "config.json: llava_web.prompt_template";
    match root.get("llava_web").and_then(|ours| ours.get("prompt_template")) {
        None | Some(Value::Null) => Ok(None),
        Some(name) => Template::deserialize(name).map(Some).map_err(|e| Error::new(Kind::Config, place, e.to_string())),
    }
}

/// The weight files of a directory and their tensors by canonical name.
#[derive(Debug, Default)]
struct DirectoryTensors {
    files: Vec<String>,
    tensors: BTreeMap<String, LocatedTensor>,
}

impl DirectoryTensors {
    /// Whether a tensor's canonical name starts with `prefix`.
    fn holds(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// Adds the tensors of the weight files in a directory of the source.
    async fn add_directory<S: Source>(&mut self, source: &S, directory: &str) -> Result<()> {
        weights::find(source, directory).await?.into_iter().try_for_each(|file| self.add_file(directory, file))
    }

    /// Adds one file's tensors.
    fn add_file(&mut self, directory: &str, WeightFile { path, tensors }: WeightFile) -> Result<()> {
        for StoredTensor { key, dtype, shape, offset } in tensors {
            let canonical = names::canonical(&key);
            // A whole CLIP has a text tower, too. Position counters are not used.
            let text_tower = !directory.is_empty() && names::is_clip_text(&key);
            if text_tower || dtype == Dtype::I64 && key.ends_with("position_ids") {
                continue;
            }
            let encoding = match dtype {
                Dtype::F32 => Encoding::F32,
                Dtype::F16 => Encoding::F16,
                Dtype::BF16 => Encoding::Bf16,
                other => fail!(Tensor, key, "is {other:?} in {path}; only F32, F16 and BF16 are read"),
            };
            let sides: Option<Vec<u32>> = shape.iter().map(|&n| u32::try_from(n).ok()).collect();
            let Some(shape) = sides else {
                fail!(Tensor, key, "has a side longer than 2^32 in {path}");
            };
            let name = canonical.clone();
            let located = LocatedTensor { name, file: self.files.len(), offset, encoding, shape, rope_heads: None };
            ensure!(self.tensors.len() < MAX_TENSORS, Tensor, path, "more than {MAX_TENSORS} tensors");
            let twice = self.tensors.insert(canonical, located).is_some();
            ensure!(!twice, Tensor, key, "is there twice, perhaps under another spelling");
        }
        self.files.push(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
