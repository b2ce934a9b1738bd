//! The two stages of LLaVA-1.5 on imported parts: stage 1 trains the connector on captions, stage 2 the connector and the
//! decoder (or adapters of it) on conversations. The tower is frozen in both.
//!
//! Frozen weights are in memory once, as constants: the graph holds no gradients of them. A step's batch is cut in parts
//! of `micro` sequences, whose gradients are added (accumulation).

use super::super::data_parallel::{GradientWorkers, WorkerGradients, prefetch};
use super::super::device::{DeviceChoice, TrainingDevice, choose};
use super::super::params::{AdamRule, Matrix, Params, floats};
use super::super::progress::{Budget, Progress, Schedule};
use super::super::run::{io, note, parse_note};
use super::batches::{SequenceBatch, batch};
use super::data::{LlavaData, Reader};
use super::import::{self, Parts};
use super::lora::{self, LoraPlan};
use super::model;
use crate::error::{Error, Kind, Result};
use crate::format::names::{CONNECTOR, DECODER, LM_HEAD};
use crate::prompt::Template;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names of the stages: those of their checkpoints.
pub const STAGES: [&str; 2] = ["stage1", "stage2"];
/// File in the run's folder with the [`PartsChoice`].
const CHOICE: &str = "parts.json";

/// The parts of a run, as its folder records them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartsChoice {
    /// The tower: see [`import`].
    pub tower: PathBuf,
    /// The decoder: see [`import`].
    pub decoder: PathBuf,
    /// Template of stage 2; `None`: that of the decoder's tokenizer.
    pub template: Option<Template>,
    /// Adapters that stage 2 trains in place of the decoder.
    pub lora: Option<LoraPlan>,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// The parameters of a run on imported parts.
pub struct PartsPlan {
    /// Folder of checkpoints.
    pub out: PathBuf,
    /// Tower, decoder, adapters.
    pub choice: PartsChoice,
    /// LLaVA's data file of each stage; a stage without one is not run.
    pub data: [Option<PathBuf>; 2],
    /// Folder of the pictures.
    pub images: PathBuf,
    /// Sequences per step, by stage.
    pub batches: [usize; 2],
    /// Sequences per forward pass.
    pub micro: usize,
    /// Peak learning rate, by stage.
    pub rates: [f64; 2],
    /// Peak learning rate of the connector in stage 2.
    pub connector_rate: f64,
    /// Steps per stage; `None`: one epoch.
    pub steps: Option<[u64; 2]>,
    /// Longest sequence, rows.
    pub length: usize,
    /// Number of gradient workers.
    pub workers: usize,
    /// Number of threads that read pictures in advance.
    pub data_threads: usize,
    /// The device.
    pub device: DeviceChoice,
    /// Seconds between two checkpoints.
    pub save_every: f64,
}

/// Opens the parts of a choice on `device`, with a fresh connector (and fresh adapters).
///
/// # Errors
/// Those of [`import::open`] and [`lora::add`].
pub fn open(choice: &PartsChoice, device: &TrainingDevice) -> Result<Parts> {
    let mut rng = ChaCha8Rng::seed_from_u64(choice.seed);
    let mut parts = import::open(&choice.tower, &choice.decoder, choice.template, device.params(), &mut rng)?;
    import::check(&parts.config)?;
    if let Some(plan) = &choice.lora {
        lora::add(&mut parts.params, plan, &mut rng)?;
    }
    Ok(parts)
}

/// Opens the parts of the run in `out` with what its last stage has trained; returns that stage's name, too.
///
/// # Errors
/// [`Kind::Io`] when the folder holds no run, and those of [`open`].
pub fn trained(out: &Path, device: &TrainingDevice) -> Result<(Parts, PartsChoice, Option<&'static str>)> {
    let path = out.join(CHOICE);
    let bytes = std::fs::read(&path).map_err(io(&path))?;
    let choice: PartsChoice =
        serde_json::from_slice(&bytes).map_err(|e| Error::new(Kind::Io, path.display().to_string(), e.to_string()))?;
    let mut parts = open(&choice, device)?;
    let mut last = None;
    for stage in STAGES {
        let path = out.join(format!("{stage}.safetensors"));
        if path.exists() {
            parts.params.load(&path)?;
            last = Some(stage);
        }
    }
    parts.params.reset_optimizer();
    Ok((parts, choice, last))
}

/// Whether stage `stage` trains `name`.
pub fn trains(stage: usize, adapters: bool, name: &str) -> bool {
    let decoder = name.starts_with(DECODER) || name == LM_HEAD;
    name.starts_with(CONNECTOR) || stage == 1 && if adapters { lora::is_adapter(name) } else { decoder }
}

/// Runs the stages that have data, each from the step where an earlier run stopped.
///
/// # Errors
/// When a file cannot be read or written.
pub fn train(plan: &PartsPlan) -> Result<()> {
    std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
    let path = plan.out.join(CHOICE);
    let choice = serde_json::to_string_pretty(&plan.choice).unwrap_or_default();
    if let Ok(before) = std::fs::read_to_string(&path)
        && before != choice
    {
        return Err(Error::new(Kind::Argument, path.display().to_string(), "belongs to a run on other parts"));
    }
    std::fs::write(&path, choice).map_err(io(&path))?;
    let device = plan.device.open()?;
    let Parts { config, tokenizer, template, params, .. } = open(&plan.choice, &device)?;
    let [tower, connector, decoder] =
        ["vision_tower", "multi_modal_projector", "language_model"].map(|part| params.count(part));
    println!("parameters: tower {tower}, connector {connector}, decoder {decoder}; template {template}");
    let reader = Reader { config: Arc::new(config), tokenizer: Arc::new(tokenizer), template, length: plan.length };
    let workers = GradientWorkers::new(plan.workers)?;
    let mut run = PartsRun { plan, params, device, workers, reader };
    for (stage, data) in plan.data.iter().enumerate() {
        let path = plan.out.join(format!("{}.safetensors", STAGES[stage]));
        let (mut step, mut before) = (0, 0.0);
        if path.exists() {
            (step, before) = parse_note(&run.params.load(&path)?);
            println!("{}: resumed at step {step}, {before:.0} s", STAGES[stage]);
        } else {
            run.params.reset_optimizer();
        }
        if let Some(data) = data {
            run.stage(stage, data, &path, step, before)?;
        }
    }
    Ok(())
}

struct PartsRun<'a> {
    plan: &'a PartsPlan,
    params: Params,
    device: TrainingDevice,
    workers: GradientWorkers,
    reader: Reader,
}

impl PartsRun<'_> {
    /// Runs one stage to its end.
    fn stage(&mut self, stage: usize, data: &Path, path: &Path, step: u64, before: f64) -> Result<()> {
        let (plan, name) = (self.plan, STAGES[stage]);
        let data = Arc::new(LlavaData::open(data, &plan.images)?);
        let order = data.order(plan.choice.seed, plan.batches[stage]);
        let total = plan.steps.map_or(order.len() as u64, |steps| steps[stage]);
        println!("{name}: {} conversations, {} steps an epoch, {total} steps", data.len(), order.len());
        let mut progress = Progress::new(name, Budget::Steps(total), plan.rates[stage], step, before);
        progress.schedule = Schedule::Llava;
        let template = if stage == 0 { Template::Plain } else { self.reader.template };
        let reader = Reader { template, ..self.reader.clone() };
        let (micro, source) = (plan.micro.max(1), data.clone());
        let mut batches = prefetch(step, plan.data_threads, move |step| {
            step_of(&source, &order[(step % order.len() as u64) as usize], &reader, micro)
        });
        let mut chosen = plan.device != DeviceChoice::Auto;
        let mut saved = progress.seconds();
        while progress.step < total {
            let parts = batches.receive()?;
            if parts.is_empty() {
                progress.step += 1;
                continue;
            }
            if !chosen {
                chosen = true;
                // The first part of a step, without an update.
                let step = |run: &Self| drop(run.gradients(stage, parts[..1].to_vec()));
                choose(name, self, Self::move_to, step)?;
                progress.restart_clock();
            }
            let tokens = parts.iter().map(|part| part.real).sum();
            let (gradients, loss) = self.gradients(stage, parts);
            let (rate, own) = (progress.learning_rate(), plan.connector_rate / plan.rates[1]);
            let rule = AdamRule { decay: 0.0, beta_2: 0.999, share: 1.0 };
            let norm = self.params.step_with(vec![gradients], &rule, |name| {
                if stage == 1 && name.starts_with(CONNECTOR) { rate * own } else { rate }
            });
            let skipped = data.skipped.lock().map_or(0, |skipped| skipped.count);
            progress.tick(loss, norm, tokens, 10, &format!("skipped {skipped}"))?;
            if progress.seconds() - saved > plan.save_every {
                saved = progress.seconds();
                self.save(stage, path, &progress)?;
            }
        }
        self.save(stage, path, &progress)?;
        if let Ok(skipped) = data.skipped.lock() {
            println!("{name}: {} entries skipped", skipped.count);
            skipped.names.iter().for_each(|name| println!("  {name}"));
        }
        Ok(())
    }

    /// Computes the sum of the gradients of a step's parts, and their loss.
    fn gradients(&self, stage: usize, parts: Vec<SequenceBatch>) -> (BTreeMap<String, Matrix>, f32) {
        let total: usize = parts.iter().map(|part| part.targets.len()).sum();
        let adapters = self.plan.choice.lora.is_some();
        let work = |part: SequenceBatch| {
            let leaves = self.params.leaves(|name| trains(stage, adapters, name));
            let loss = model::loss(&leaves, &self.reader.config, &part, total, self.params.device());
            // A batch without pictures has nothing to do with the connector.
            let tracked = stage == 1 || part.images > 0;
            let gradients = if tracked { leaves.gradients(&mut loss.backward()) } else { BTreeMap::default() };
            WorkerGradients { gradients, losses: floats(loss), tokens: part.real }
        };
        let (mut sums, mut loss) = (BTreeMap::new(), 0.0);
        let mut parts = parts.into_iter().peekable();
        while parts.peek().is_some() {
            let count = if self.device.gpu { 1 } else { self.workers.count() };
            let round: Vec<SequenceBatch> = parts.by_ref().take(count).collect();
            for outcome in self.device.gradients(&self.workers, round, work) {
                loss += outcome.losses.first().copied().unwrap_or(f32::NAN);
                for (name, gradient) in outcome.gradients {
                    let sum = match sums.remove(&name) {
                        Some(sum) => sum + gradient,
                        None => gradient,
                    };
                    sums.insert(name, sum);
                }
            }
        }
        (sums, loss)
    }

    fn move_to(&mut self, device: &TrainingDevice) {
        device.take(&mut self.params);
        self.device = device.clone();
    }

    fn save(&self, stage: usize, path: &Path, progress: &Progress) -> Result<()> {
        let adapters = self.plan.choice.lora.is_some();
        self.params.save(path, &note(progress), |name| trains(stage, adapters, name))?;
        progress.write_curve(&self.plan.out)
    }
}

/// Reads the entries of a step and joins them to batches of `micro` sequences.
fn step_of(data: &LlavaData, entries: &[usize], reader: &Reader, micro: usize) -> Result<Vec<SequenceBatch>> {
    let mut samples = Vec::new();
    for &entry in entries {
        samples.extend(data.sample(entry, reader)?);
    }
    let rows = reader.config.feature_rows() as usize;
    Ok(samples.chunks(micro).map(|samples| batch(samples, rows)).collect())
}
