//! From a source to an engine: what will be fetched and what it will need, the parts, the engine.

use super::weights::{Choice, weight_bytes};
use super::{About, Engine, PrefixCache};
use crate::device::Device;
use crate::ensure;
use crate::error::Result;
use crate::format::blueprint::{Blueprint, Part};
use crate::format::source::Source;
use crate::measure::{Clock, is_candidate, tune};
use crate::model::load::ModelLoader;
use crate::model::{CacheType, Model, USUAL_CONTEXT};
use crate::pass::Op;
use crate::preprocess::PreprocessConfig;
use crate::prompt::Template;
use crate::quant::WeightType;
use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// What will be fetched and what it will need, before anything is.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the model.
    pub name: String,
    /// Byte ranges to fetch; push them by `index`.
    pub parts: Vec<Part>,
    /// Bytes of all of them.
    pub total_bytes: u64,
    /// Of each file.
    pub file_bytes: Vec<FileBytes>,
    /// Number of parameters.
    pub parameters: u64,
    /// How it will be asked.
    pub prompt_template: Template,
    /// Other addresses of the same files.
    pub mirrors: Vec<String>,
    /// What a person should know of how the weights will be held.
    pub notes: Vec<String>,
    /// Bytes on the device with the whole context in use.
    pub memory: Memory,
    /// Rows that the cache may grow to.
    pub context: u32,
    /// Most rows that could be asked for.
    pub longest_context: u32,
    /// Bytes of weights that every generated token reads.
    pub bytes_per_token: u64,
    /// The type that the weights are quantised to while they are loaded; `None`: held as they are.
    pub quant: Option<WeightType>,
    /// The types that may be chosen, the widest first; empty where the weights have types of their own.
    pub choices: Vec<Choice>,
}

/// What is fetched of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileBytes {
    /// The file.
    pub file: String,
    /// Bytes of it.
    pub bytes: u64,
}

/// Bytes on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights, as they are held.
    pub weights: u64,
    /// Keys and values of one row.
    pub cache_per_token: u64,
    /// How those are held.
    pub cache_type: CacheType,
    /// Activations, tables, picture embeds.
    pub scratch: u64,
    /// All together, with the context full.
    pub total: u64,
}

/// How many of a model's pipelines are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compiled {
    /// So many.
    pub done: usize,
    /// Of so many; 0 where nothing is compiled.
    pub total: usize,
}

/// Builds an [`Engine`] from parts pushed in any order.
pub struct Loader {
    pub(super) inner: ModelLoader,
    /// What [`Loader::hold_as`] was told.
    pub(super) quant: Option<WeightType>,
    /// An operation for each pipeline that the model needs, once that is known; those that are made.
    pub(super) pipelines: Option<(Vec<Op>, usize)>,
    tokenizer: Tokenizer,
    preprocess: PreprocessConfig,
}

impl Loader {
    /// Reads headers and small files of what `entry` names (see [`Blueprint::open`]) and checks all that can be
    /// checked before the weights are there.
    ///
    /// # Errors
    /// What is wrong with any of them, by name.
    pub async fn open<S: Source>(device: Device, source: &S, entry: &[String]) -> Result<Self> {
        let blueprint = Blueprint::open(source, entry).await?;
        let tokenizer = Tokenizer::parse(&blueprint.small.tokenizer, &blueprint.config)?;
        let preprocess =
            PreprocessConfig::parse(blueprint.small.preprocessor_config.as_deref(), &blueprint.config.vision)?;
        let inner = ModelLoader::new(device, blueprint).await?;
        Ok(Self { inner, quant: None, pipelines: None, tokenizer, preprocess })
    }

    /// The plan for a context of so many rows, or of the usual number.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) for a context that the model does not have.
    pub async fn plan(&self, context: Option<u32>) -> Result<Plan> {
        let b = self.inner.blueprint();
        let context = self.context(context)?;
        let needs = Model::needs(&b.config, context).await?;
        let mut file_bytes: Vec<FileBytes> = Vec::new();
        for part in &b.parts {
            match file_bytes.iter_mut().find(|f| f.file == part.file) {
                Some(file) => file.bytes += part.bytes,
                None => file_bytes.push(FileBytes { file: part.file.clone(), bytes: part.bytes }),
            }
        }
        let (weights, bytes_per_token) = weight_bytes(&b.config, &b.tensors);
        let beside = needs.scratch + needs.cache_per_token * u64::from(context);
        Ok(Plan {
            name: b.name.clone(),
            parts: b.parts.clone(),
            total_bytes: b.total_bytes(),
            file_bytes,
            parameters: b.parameters,
            prompt_template: b.template,
            mirrors: b.mirrors.clone(),
            notes: b.notes(),
            memory: Memory {
                weights,
                cache_per_token: needs.cache_per_token,
                cache_type: needs.cache_type,
                scratch: needs.scratch,
                total: weights + beside,
            },
            context,
            longest_context: Model::longest_context(&b.config),
            bytes_per_token,
            quant: self.quant,
            choices: self.choices(beside)?,
        })
    }

    /// Where the model will run.
    pub fn device(&mut self) -> &mut Device {
        self.inner.device()
    }

    /// Overrides how the model is asked.
    pub fn ask_as(&mut self, template: Template) {
        self.inner.blueprint_mut().template = template;
    }

    fn context(&self, wanted: Option<u32>) -> Result<u32> {
        let longest = Model::longest_context(&self.inner.blueprint().config);
        let context = wanted.unwrap_or(USUAL_CONTEXT.min(longest));
        ensure!(
            (1..=longest).contains(&context),
            Argument,
            "context",
            "{context} tokens; this model has 1 to {longest}"
        );
        Ok(context)
    }

    /// Uses what [`Report::tuning`](super::Report::tuning) said on an earlier visit to the same GPU with the same engine,
    /// as JSON; text that is no tuning that could have been found is ignored.
    pub fn remember(&mut self, tuning: &str) {
        let device = self.inner.device();
        let features = device.features();
        if let Some(tuning) = serde_json::from_str(tuning).ok().filter(|tuning| is_candidate(tuning, features)) {
            device.set_tuning(tuning);
            self.pipelines = None;
        }
    }

    /// Finds out how to compute on this GPU, unless that is known: before the parts are pushed, by the clock `now`,
    /// milliseconds.
    ///
    /// # Errors
    /// What [`tune`] reports.
    pub async fn tune(&mut self, now: Clock<'_>) -> Result<()> {
        tune(self.inner.device(), now).await
    }

    /// Makes the next of the pipelines that the model needs, so that its first passes find them: to be called until all
    /// are there, while the parts are on their way. Does first what [`tune`](Self::tune) does.
    ///
    /// # Errors
    /// What [`tune`], [`ModelLoader::pipelines`] and [`Device::compile`] report.
    pub async fn compile(&mut self, now: Clock<'_>) -> Result<Compiled> {
        self.tune(now).await?;
        let (ops, done) = match self.pipelines.take() {
            Some(known) => known,
            None if !self.device().is_gpu() => (Vec::new(), 0),
            None => (self.inner.pipelines(self.context(None)?).await?, 0),
        };
        let compiled = match ops.get(done) {
            Some(op) => self.device().compile(op).await.map(|()| Compiled { done: done + 1, total: ops.len() }),
            None => Ok(Compiled { done, total: ops.len() }),
        };
        self.pipelines = Some((ops, compiled.as_ref().map_or(done, |c| c.done)));
        compiled
    }

    /// Takes a part. One that fails its check can be pushed again.
    ///
    /// # Errors
    /// See [`ModelLoader::push`].
    pub async fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.inner.push(index, bytes).await
    }

    /// The engine, once every part is there; its cache may grow to `context` rows, or the usual number.
    ///
    /// # Errors
    /// See [`ModelLoader::finish`].
    pub async fn finish(self, context: Option<u32>) -> Result<Engine> {
        let context = self.context(context)?;
        let (model, b) = self.inner.finish(context).await?;
        let about = About { notes: b.notes(), name: b.name, template: b.template, parameters: b.parameters };
        let mut ends = model.config.text.eos_token_ids.clone();
        ends.extend(about.template.end_of_turn(&self.tokenizer));
        Ok(Engine {
            model,
            ends,
            tokenizer: self.tokenizer,
            preprocess: self.preprocess,
            about,
            known: Vec::new(),
            next_id: 0,
            turns: Vec::new(),
            pending: Vec::new(),
            cache: PrefixCache::default(),
        })
    }
}
