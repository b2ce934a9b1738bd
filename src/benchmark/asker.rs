//! The engine as the model of a benchmark: greedy decoding, a conversation of its own for each question.

use crate::question::Question;
use crate::run::Answerer;
use llava_web::device::BackendChoice;
use llava_web::engine::{Engine, GenerateOptions, Loader};
use llava_web::error::{Error, Kind, Result};
use llava_web::format::hash::{sample_sha256, sha256_hex};
use llava_web::format::source::Source;
use llava_web::native::{Folder, answer_in_turn, load_parts, now, open_device};
use llava_web::preprocess::Rendering;
use llava_web::prompt::Template;
use llava_web::quant::WeightType;
use pollster::block_on;
use std::path::{Path, PathBuf};

/// Rows of the context of LLaVA-1.5's evaluation; less where the model has less.
const CONTEXT: u32 = 4096;
/// Bytes of a model's file that tell it from others, beside its length.
const SAMPLE: u64 = 1 << 20;

/// How a model is loaded and asked.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The model, as `chat --model` takes it.
    pub model: PathBuf,
    /// Its projector, if that is not beside it.
    pub mmproj: Option<PathBuf>,
    /// The backend.
    pub backend: BackendChoice,
    /// Threads of each worker on the CPU.
    pub threads: Option<usize>,
    /// How pictures are decoded.
    pub rendering: Rendering,
    /// The prompt template; `None` for the model's own.
    pub template: Option<Template>,
    /// Type to which float weights are quantised.
    pub quant: Option<WeightType>,
}

impl Setup {
    /// Loads the model.
    ///
    /// # Errors
    /// Those of the loader.
    pub fn load(&self) -> Result<Asker> {
        block_on(async {
            let (folder, entry) = Folder::locate(&self.model, self.mmproj.as_deref(), None)?;
            let device = open_device(self.backend, self.threads).await?;
            let mut loader = Loader::open(device, &folder, &entry, &now).await?;
            loader.set_weight_type(self.quant)?;
            if let Some(template) = self.template {
                loader.set_template(template);
            }
            let longest = loader.plan(None).await?.longest_context;
            let context = Some(CONTEXT.min(longest));
            let mut engine = load_parts(loader, &folder, context).await?;
            engine.set_rendering(self.rendering);
            Ok(Asker { engine, reused_rows: 0 })
        })
    }

    /// Returns a hash that tells this model's files from another's: length and first megabyte of each.
    ///
    /// # Errors
    /// [`Kind::Io`] for a file that cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let (folder, mut names) = Folder::locate(&self.model, self.mmproj.as_deref(), None)?;
        names.extend(weight_files(&self.model)?);
        let mut all = Vec::new();
        for name in names {
            let size = block_on(folder.size(&name))?;
            let size = size.ok_or_else(|| Error::new(Kind::Io, &*name, "does not exist"))?;
            all.extend(size.to_le_bytes());
            all.extend(sample_sha256(&block_on(folder.read(&name, 0, size.min(SAMPLE)))?));
        }
        Ok(sha256_hex(&all)[..16].to_owned())
    }
}

/// Returns the names of the weight files of a Hugging Face checkpoint. A manifest and a GGUF pair name theirs.
fn weight_files(model: &Path) -> Result<Vec<String>> {
    if !model.is_dir() || model.join("manifest.json").is_file() || !model.join("config.json").is_file() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(model).map_err(|e| llava_web::native::io_error(model, &e))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".safetensors") || name.ends_with(".bin")).collect();
    names.sort();
    Ok(names)
}

/// A loaded model.
pub struct Asker {
    engine: Engine,
    /// Rows of the last prompt that were in the cache.
    pub reused_rows: u32,
}

impl Answerer for Asker {
    fn answer(&mut self, picture: Option<&[u8]>, question: &Question, max_new_tokens: u32) -> Result<String> {
        let options = GenerateOptions { max_new_tokens, ..GenerateOptions::default() };
        let questions = question.earlier.iter().chain([&question.text]).map(String::as_str);
        let answer = block_on(answer_in_turn(&mut self.engine, picture, questions, &options, None))?;
        self.reused_rows = answer.reused_rows;
        Ok(answer.text)
    }
}
