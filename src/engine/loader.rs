//! Loading: from a source to a plan, from the plan's parts to an engine.

use super::messages::AnswerMemory;
use super::parked::{ParkedRows, most_rows};
use super::picture_table::PictureTable;
use super::pictures::{PictureCost, PictureSize, several_pictures};
use super::prompt_format::PromptFormat;
use super::weights::{WeightChoice, weight_bytes};
use super::{Engine, ModelInfo, PrefixCache};
use crate::device::Device;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::blueprint::{Blueprint, Part};
use crate::format::names::{Component, Role};
use crate::format::piece::DeviceTensor;
use crate::format::source::Source;
use crate::measure::{Clock, SpeedEstimate, estimate_speed, is_candidate, tune};
use crate::model::load::WeightLoader;
use crate::model::{CacheType, Model};
use crate::pass::Op;
use crate::preprocess::PreprocessConfig;
use crate::prompt::Template;
use crate::quant::WeightType;
use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// Downloads and memory of a model, known before any weights are fetched.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the model.
    pub name: String,
    /// Byte ranges to fetch; push them by `index`.
    pub parts: Vec<Part>,
    /// Bytes of all parts.
    pub total_bytes: u64,
    /// Bytes of each file.
    pub file_bytes: Vec<FileBytes>,
    /// Number of parameters.
    pub parameters: u64,
    /// The prompt template.
    pub prompt_template: Template,
    /// Other addresses of the same files.
    pub mirrors: Vec<String>,
    /// Notes for people on how the weights will be stored.
    pub notes: Vec<String>,
    /// Bytes on the device with the whole context in use.
    pub memory: MemoryPlan,
    /// Rows that the cache may grow to.
    pub context: u32,
    /// Largest possible context, rows.
    pub longest_context: u32,
    /// Bytes of weights that every generated token reads.
    pub bytes_per_token: u64,
    /// The type that the weights are quantised to while they are loaded; `None` leaves them as they are.
    pub quant: Option<WeightType>,
    /// The offered types, the widest first; empty where the weights are not floats.
    pub choices: Vec<WeightChoice>,
    /// What a picture of 4:3 takes.
    pub picture: PictureCost,
    /// The offered sizes of pictures, the smallest first; empty where pictures are not cut by their longest edge.
    pub picture_sizes: Vec<PictureSize>,
    /// The chosen one of them, pixels.
    pub longest_edge: Option<u32>,
    /// Whether the model was trained with several pictures in a conversation.
    pub several_pictures: bool,
}

/// Bytes to fetch of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileBytes {
    /// The file's name.
    pub file: String,
    /// Bytes of all its parts.
    pub bytes: u64,
}

/// Bytes on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// Weights, in their types on the device.
    pub weights: u64,
    /// Keys and values of one row.
    pub cache_per_token: u64,
    /// How keys and values are stored.
    pub cache_type: CacheType,
    /// Activations, tables, picture embeds.
    pub scratch: u64,
    /// Total with the context full.
    pub total: u64,
    /// Largest memory of the keys and values that are kept of other conversations, beside the total. They are given up
    /// where the device lacks memory.
    pub conversations: u64,
}

/// Progress of compiling a model's pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compiled {
    /// Pipelines compiled.
    pub done: usize,
    /// Pipelines of the model; 0 on the CPU.
    pub total: usize,
}

/// Builds an [`Engine`] from parts pushed in any order.
pub struct Loader {
    pub(super) inner: WeightLoader,
    /// See [`Loader::set_weight_type`].
    pub(super) quant: Option<WeightType>,
    /// An operation for each pipeline of the model, and the number of compiled ones; `None` until the first
    /// [`Loader::compile`].
    pub(super) pipelines: Option<(Vec<Op>, usize)>,
    pub(super) tokenizer: Tokenizer,
    pub(super) preprocess: PreprocessConfig,
    /// Times the tuner's candidates.
    clock: Clock<'static>,
}

impl Loader {
    /// Reads headers and small files of the model that `entry` names (see [`Blueprint::open`]) and checks everything
    /// except the weights. `clock` serves the tuner of a GPU and the speed estimate.
    ///
    /// # Errors
    /// What [`Blueprint::open`], [`Tokenizer::parse`] and [`PreprocessConfig::parse`] report.
    pub async fn open<S: Source>(device: Device, source: &S, entry: &[String], clock: Clock<'static>) -> Result<Self> {
        let blueprint = Blueprint::open(source, entry).await?;
        let tokenizer = Tokenizer::parse(&blueprint.small.tokenizer, &blueprint.config)?;
        let file = blueprint.small.preprocessor_config.as_deref();
        let preprocess = PreprocessConfig::parse(file, &blueprint.config)?;
        let inner = WeightLoader::new(device, blueprint).await?;
        Ok(Self { inner, quant: None, pipelines: None, tokenizer, preprocess, clock })
    }

    /// Plans for a context of `context` rows, or of the usual number.
    ///
    /// # Errors
    /// [`Kind::Argument`] for a context beyond the model's.
    pub async fn plan(&self, context: Option<u32>) -> Result<Plan> {
        let b = self.inner.blueprint();
        let context = self.context(context)?;
        let cache_type = self.inner.cache_type;
        let runtime = Model::runtime_memory(&b.config, context, cache_type).await?;
        let mut file_bytes: Vec<FileBytes> = Vec::new();
        for part in &b.parts {
            match file_bytes.iter_mut().find(|f| f.file == part.file) {
                Some(file) => file.bytes += part.bytes,
                None => file_bytes.push(FileBytes { file: part.file.clone(), bytes: part.bytes }),
            }
        }
        let (weights, bytes_per_token) = weight_bytes(&b.config, &b.tensors);
        let beside = runtime.scratch + runtime.cache_per_token * u64::from(context);
        Ok(Plan {
            name: b.name.clone(),
            parts: b.parts.clone(),
            total_bytes: b.total_bytes(),
            file_bytes,
            parameters: b.parameters,
            prompt_template: b.template,
            mirrors: b.mirrors.clone(),
            notes: b.notes(),
            memory: MemoryPlan {
                weights,
                cache_per_token: runtime.cache_per_token,
                cache_type,
                scratch: runtime.scratch,
                total: weights + beside,
                conversations: most_rows(runtime.cache_per_token, context) * runtime.cache_per_token,
            },
            context,
            longest_context: Model::longest_context(&b.config, cache_type),
            bytes_per_token,
            quant: self.quant,
            choices: self.choices(beside)?,
            picture: self.picture_cost()?,
            picture_sizes: self.picture_sizes()?,
            longest_edge: self.preprocess.longest_edge(),
            several_pictures: several_pictures(&b.config.layout),
        })
    }

    /// Returns the device that the model will run on.
    pub fn device(&mut self) -> &mut Device {
        self.inner.device()
    }

    /// Overrides the model's prompt template.
    pub fn set_template(&mut self, template: Template) {
        self.inner.blueprint_mut().template = template;
    }

    /// Stores keys and values in this type, in place of the usual one of the model: f16 takes half the memory of a
    /// conversation, and rounds.
    pub fn set_cache_type(&mut self, cache_type: CacheType) {
        self.inner.cache_type = cache_type;
        self.pipelines = None;
    }

    fn context(&self, wanted: Option<u32>) -> Result<u32> {
        let config = &self.inner.blueprint().config;
        let longest = Model::longest_context(config, self.inner.cache_type);
        let context = wanted.unwrap_or(config.usual_context().min(longest));
        ensure!(
            (1..=longest).contains(&context),
            Argument,
            "context",
            "{context} tokens; this model has 1 to {longest}"
        );
        Ok(context)
    }

    /// Sets the tuning that an earlier visit to the same GPU reported ([`Report::tuning`](super::Report::tuning)), as
    /// JSON. Text that is no candidate of this GPU is ignored.
    pub fn set_tuning(&mut self, tuning: &str) {
        let device = self.inner.device();
        let features = device.features();
        if let Some(tuning) = serde_json::from_str(tuning).ok().filter(|tuning| is_candidate(tuning, features)) {
            device.set_tuning(tuning);
            self.pipelines = None;
        }
    }

    /// Tunes a GPU, unless its tuning is set.
    async fn tune(&mut self) -> Result<()> {
        tune(self.inner.device(), self.clock).await
    }

    /// Estimates the speed of the planned model before it is downloaded, by timing one matrix of its size and weight
    /// type, and whether it fits. All memory is freed again.
    ///
    /// # Errors
    /// [`Kind::Gpu`] and [`Kind::GpuLost`]; a lack of memory is part of the result.
    pub async fn estimate_speed(&mut self) -> Result<SpeedEstimate> {
        let plan = self.plan(None).await?;
        let matrix = |t: &&DeviceTensor| t.expected.component == Component::Decoder && t.expected.role == Role::Matrix;
        let largest = self.inner.blueprint().tensors.iter().filter(matrix).max_by_key(|t| t.bytes());
        let Some(largest) = largest.cloned() else {
            return Err(Error::new(Kind::State, "probe", "the model has no decoder"));
        };
        self.tune().await?;
        let clock = self.clock;
        let estimate =
            estimate_speed(self.inner.device(), &largest, plan.bytes_per_token, plan.memory.total, clock).await?;
        Ok(SpeedEstimate { tile_seconds: self.rows_per_tile() / estimate.prefill_rows_per_second, ..estimate })
    }

    /// Compiles the next of the model's pipelines, so that its first passes find them. Call it until all are compiled,
    /// while the parts are being fetched. Tunes the GPU first.
    ///
    /// # Errors
    /// What [`tune`], [`WeightLoader::pipelines`] and [`Device::compile`] report.
    pub async fn compile(&mut self) -> Result<Compiled> {
        self.tune().await?;
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

    /// Verifies a part and uploads it. A part that is refused can be pushed again. Tunes the GPU before the first part.
    ///
    /// # Errors
    /// What [`tune`] and [`WeightLoader::push`] report.
    pub async fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.tune().await?;
        self.inner.push(index, bytes).await
    }

    /// Builds the engine once all parts are pushed; its cache may grow to `context` rows, or the usual number.
    ///
    /// # Errors
    /// See [`WeightLoader::finish`].
    pub async fn finish(self, context: Option<u32>) -> Result<Engine> {
        let context = self.context(context)?;
        let weights = self.inner.identity();
        let (model, b) = self.inner.finish(context).await?;
        let mut end_ids = model.config.text.eos_token_ids.clone();
        end_ids.extend(b.template.end_of_turn(&self.tokenizer));
        let format = PromptFormat {
            template: b.template,
            tokenizer: self.tokenizer,
            end_ids,
            vocab_size: model.config.text.vocab_size,
        };
        Ok(Engine {
            info: ModelInfo { notes: b.notes(), name: b.name, parameters: b.parameters, weights },
            model,
            preprocess: self.preprocess,
            format,
            pictures: PictureTable::default(),
            answers: AnswerMemory::default(),
            cache: PrefixCache::default(),
            parked: ParkedRows::default(),
            answered: Vec::new(),
            constraint: None,
        })
    }
}
