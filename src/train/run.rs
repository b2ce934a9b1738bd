//! The training recipe: tokenizer, contrastive tower, text decoder, stage 1, stage 2, all parts jointly. Every stage can
//! be resumed.

use super::data_parallel::{GradientWorkers, WorkerGradients, prefetch};
use super::device::{DeviceChoice, TrainingDevice, choose};
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::model_shape::ModelShape;
use super::params::{Leaves, Params, floats};
use super::progress::{Budget, Progress};
use super::{decoder, tower, tower_batches, whitening};
use crate::error::{Error, Kind, Result};
use crate::scenes::bpe;
use crate::scenes::drawn::training_scene;
use crate::scenes::questions::QuestionKind;
use crate::scenes::scene::{TRAIN_SEED, scene_rng};
use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

/// Bits of the seeds of validation scenes. No training seed has bit 62 set.
pub const VALIDATION_SEED: u64 = TRAIN_SEED | 1 << 62;

/// The parameters of `train run`.
pub struct TrainingPlan {
    /// Folder of checkpoints, tokenizer and curves.
    pub out: PathBuf,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of gradient workers.
    pub workers: usize,
    /// Stages to run; earlier ones are read from `out`.
    pub stages: Vec<String>,
    /// Length of the stages: tower, text, stage 1, stage 2, joint.
    pub budgets: [Budget; 5],
    /// Pictures per worker and step: in the tower stage, and in the others.
    pub batches: [usize; 2],
    /// Factor of the peak learning rates.
    pub rate_scale: f64,
    /// The device of all stages. A checkpoint does not depend on it.
    pub device: DeviceChoice,
    /// Number of threads that make batches in advance.
    pub data_threads: usize,
}

/// Name, peak learning rate and trainable parameters of a stage.
pub(super) struct StageRecipe {
    pub name: &'static str,
    rate: f64,
    /// Factor of the rate for the tower's parameters.
    tower_share: f64,
    pub trainable: fn(&str) -> bool,
}

/// The stage that trains tower, connector and decoder.
const JOINT: &str = "joint";

fn is_tower(name: &str) -> bool {
    name.starts_with("vision_tower")
}

fn is_decoder(name: &str) -> bool {
    name.starts_with("language_model")
}
fn is_connector(name: &str) -> bool {
    name.starts_with("multi_modal_projector")
}

/// The stages in their order.
pub(super) const RECIPES: [StageRecipe; 5] = [
    StageRecipe { name: "tower", rate: 1.5e-3, tower_share: 1.0, trainable: |n| is_tower(n) || n.starts_with("clip_") },
    StageRecipe { name: "text", rate: 1.5e-3, tower_share: 1.0, trainable: is_decoder },
    StageRecipe { name: "stage1", rate: 2e-3, tower_share: 1.0, trainable: is_connector },
    StageRecipe { name: "stage2", rate: 1.8e-3, tower_share: 1.0, trainable: |n| is_connector(n) || is_decoder(n) },
    StageRecipe {
        name: JOINT,
        rate: 6e-4,
        tower_share: 0.5,
        trainable: |n| is_tower(n) || is_connector(n) || is_decoder(n),
    },
];

/// A training run: plan, tokenizer, parameters and gradient workers.
pub struct TrainingRun {
    /// The parameters of the run.
    pub plan: TrainingPlan,
    /// Sizes of the model.
    pub shape: ModelShape,
    /// The trained tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// All parameters.
    pub params: Params,
    /// The device that holds the parameters.
    pub device: TrainingDevice,
    /// Gradient workers.
    workers: GradientWorkers,
}

/// Returns a converter of I/O errors at `path`.
pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let place = path.display().to_string();
    move |e| Error::new(Kind::Io, place.clone(), e.to_string())
}

/// The forward pass of one part: loss, its parts, and the number of tokens or pictures.
type Forward<B> = fn(&Leaves, &ModelShape, &B, &Device) -> (Tensor<1>, Vec<Tensor<1>>, usize);

impl TrainingRun {
    /// Reads or trains the tokenizer and initializes the parameters.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn open(plan: TrainingPlan) -> Result<Self> {
        std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
        let path = plan.out.join("tokenizer.json");
        let fail = |e: tokenizers::Error| Error::new(Kind::Tokenizer, "tokenizer.json", e.to_string());
        let tokenizer = if path.exists() {
            Tokenizer::from_file(&path).map_err(fail)?
        } else {
            let tokenizer = bpe::train(plan.seed, 6000)?;
            tokenizer.save(&path, true).map_err(fail)?;
            tokenizer
        };
        let shape = ModelShape::shipped();
        let device = plan.device.open()?;
        let mut params = device.params();
        let mut rng = scene_rng(TRAIN_SEED | plan.seed, u64::MAX);
        tower::init(&mut params, &shape, &mut rng);
        decoder::init(&mut params, &shape, &mut rng);
        let workers = GradientWorkers::new(plan.workers)?;
        let run = Self { plan, shape, tokenizer: Arc::new(tokenizer), params, device, workers };
        let [tower, connector, decoder] =
            ["vision_tower", "multi_modal_projector", "language_model"].map(|p| run.params.count(p));
        println!("parameters: tower {tower}, connector {connector}, decoder {decoder}");
        Ok(run)
    }

    /// Runs the planned stages, each from the step where an earlier run stopped.
    ///
    /// # Errors
    /// When a checkpoint cannot be read or written.
    pub fn train(&mut self) -> Result<()> {
        for (i, recipe) in RECIPES.iter().enumerate() {
            let path = self.plan.out.join(format!("{}.safetensors", recipe.name));
            let (mut step, mut before) = (0, 0.0);
            if path.exists() {
                (step, before) = parse_note(&self.params.load(&path)?);
                println!("{}: resumed at step {step}, {before:.0} s", recipe.name);
            } else {
                self.params.reset_optimizer();
            }
            let progress =
                Progress::new(recipe.name, self.plan.budgets[i], recipe.rate * self.plan.rate_scale, step, before);
            if progress.fraction() >= 1.0 || !self.plan.stages.iter().any(|s| s == recipe.name) {
                continue;
            }
            match i {
                0 => self.tower(recipe, &path, progress)?,
                1 => self.dialogue(recipe, TrainingStage::Text, &path, progress)?,
                2 => {
                    if step == 0 {
                        let sampler = self.sampler(TrainingStage::Captions, TRAIN_SEED | self.plan.seed);
                        // A connector that was trained before keeps its function.
                        whitening::fit(&mut self.params, &self.shape, &sampler, path.exists())?;
                    }
                    self.dialogue(recipe, TrainingStage::Captions, &path, progress)?;
                }
                _ => self.dialogue(recipe, TrainingStage::Instructions, &path, progress)?,
            }
        }
        Ok(())
    }

    /// Trains the contrastive tower.
    fn tower(&mut self, recipe: &StageRecipe, path: &Path, progress: Progress) -> Result<()> {
        let (shape, tokenizer) = (self.shape.clone(), self.tokenizer.clone());
        let (seed, images) = (TRAIN_SEED | self.plan.seed, self.plan.batches[0]);
        let make = move |i| tower_batches::batch(&shape, &tokenizer, seed, i * images as u64, images);
        self.stage(recipe, path, progress, make, |leaves, shape, batch, device| {
            let (loss, parts) = tower::loss(leaves, shape, batch, device);
            (loss, parts, batch.images)
        })
    }

    /// Trains a stage of the decoder.
    fn dialogue(&mut self, recipe: &StageRecipe, stage: TrainingStage, path: &Path, progress: Progress) -> Result<()> {
        let sampler = self.sampler(stage, TRAIN_SEED | self.plan.seed);
        self.stage(
            recipe,
            path,
            progress,
            move |i| sampler.batch(i),
            |leaves, shape, batch, device| {
                let tokens = batch.ids.len() + batch.images * shape.patches();
                (decoder::loss(leaves, shape, batch, device), Vec::new(), tokens)
            },
        )
    }

    /// Returns a sampler of batches for `stage` from the scenes of `seed`.
    pub fn sampler(&self, stage: TrainingStage, seed: u64) -> DialogueSampler {
        let (shape, tokenizer) = (self.shape.clone(), self.tokenizer.clone());
        DialogueSampler { shape, tokenizer, seed, stage, images: self.plan.batches[1], scenes: training_scene }
    }

    /// Computes the gradients of all parts of a step.
    fn gradients<B: Send>(&self, recipe: &StageRecipe, parts: Vec<B>, forward: Forward<B>) -> Vec<WorkerGradients> {
        let (params, shape, device) = (&self.params, &self.shape, self.params.device());
        let work = |batch: B| {
            let leaves = params.leaves(recipe.trainable);
            let (loss, parts, tokens) = forward(&leaves, shape, &batch, device);
            let mut gradients = loss.backward();
            let values = Tensor::cat(std::iter::once(loss).chain(parts).map(Tensor::inner).collect(), 0);
            WorkerGradients { gradients: leaves.gradients(&mut gradients), losses: floats(values), tokens }
        };
        self.device.gradients(&self.workers, parts, work)
    }

    /// Moves the parameters to `device`.
    fn move_to(&mut self, device: &TrainingDevice) {
        device.take(&mut self.params);
        self.device = device.clone();
    }

    /// Runs the training loop that all stages share.
    fn stage<B: Send + Clone + 'static>(
        &mut self,
        recipe: &StageRecipe,
        path: &Path,
        mut progress: Progress,
        make: impl Fn(u64) -> Result<B> + Send + Sync + 'static,
        forward: Forward<B>,
    ) -> Result<()> {
        let workers = self.workers.count() as u64;
        let mut batches = prefetch(progress.step, self.plan.data_threads, move |step| {
            (0..workers).map(|w| make(step * workers + w)).collect::<Result<Vec<_>>>()
        });
        let mut first = Some(batches.receive()?);
        if let (DeviceChoice::Auto, Some(parts)) = (self.plan.device, &first) {
            // Without an update.
            let step = |run: &Self| drop(run.gradients(recipe, parts.clone(), forward));
            choose(recipe.name, self, Self::move_to, step)?;
            progress.restart_clock();
        }
        println!("{}: on {}", recipe.name, self.device.name);
        let mut saved = progress.seconds();
        while progress.fraction() < 1.0 {
            let parts = match first.take() {
                Some(parts) => parts,
                None => batches.receive()?,
            };
            let outcomes = self.gradients(recipe, parts, forward);
            let Some(first) = outcomes.first() else {
                return Err(Error::new(Kind::State, recipe.name, "the gradient workers died"));
            };
            let mean = |i: usize| outcomes.iter().filter_map(|o| o.losses.get(i)).sum::<f32>() / outcomes.len() as f32;
            let losses: Vec<f32> = (0..first.losses.len()).map(mean).collect();
            let tokens = outcomes.iter().map(|o| o.tokens).sum();
            let gradients = outcomes.into_iter().map(|o| o.gradients).collect();
            let rate = progress.learning_rate();
            let share = |name: &str| if is_tower(name) { recipe.tower_share } else { 1.0 };
            let norm = self.params.step(gradients, 0.05, |name| rate * share(name));
            progress.tick(losses[0], norm, tokens, 25, &format!("{:.2?}", &losses[1..]))?;
            if progress.seconds() - saved > 240.0 {
                saved = progress.seconds();
                self.save(recipe, path, &progress)?;
                self.report(recipe.name, &progress)?;
            }
        }
        self.save(recipe, path, &progress)?;
        self.report(recipe.name, &progress)
    }

    /// Writes the checkpoint of a stage: its trainable parameters, and mean and basis of the whitening.
    fn save(&self, recipe: &StageRecipe, path: &Path, progress: &Progress) -> Result<()> {
        let part = |name: &str| (recipe.trainable)(name) || name == whitening::MEAN || name == whitening::BASIS;
        self.params.save(path, &note(progress), part)
    }

    /// Writes the curve. Prints the validation scores of the text stage, stage 2 and the joint stage.
    fn report(&self, name: &str, progress: &Progress) -> Result<()> {
        progress.write_curve(&self.plan.out)?;
        let stage = match name {
            "text" => TrainingStage::Text,
            "stage2" | JOINT => TrainingStage::Instructions,
            _ => return Ok(()),
        };
        let scores = self.validate(stage, 24)?;
        let line: Vec<String> = scores
            .iter()
            .map(|(kind, (right, all))| format!("{} {:.1}", kind.name(), *right as f64 * 100.0 / *all as f64))
            .collect();
        println!("{name} step {} validation: {}", progress.step, line.join(", "));
        Ok(())
    }

    /// Counts right answers and all answers by question kind, on validation scenes. An answer is right when greedy
    /// decoding yields it: every token of the expected answer is the likeliest after those before it.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn validate(&self, stage: TrainingStage, batches: u64) -> Result<BTreeMap<QuestionKind, (usize, usize)>> {
        // The same scenes whatever the batch of the run.
        let sampler = DialogueSampler { images: 5, ..self.sampler(stage, VALIDATION_SEED | self.plan.seed) };
        let leaves = self.params.leaves(|_| false);
        let mut scores = BTreeMap::new();
        for i in 0..batches {
            let batch = sampler.batch(i)?;
            let logits = floats(decoder::logits(&leaves, &self.shape, &batch, self.params.device()));
            let best: Vec<bool> = logits
                .chunks(self.shape.vocab)
                .zip(&batch.targets)
                .map(|(row, &target)| row.iter().all(|&x| x <= row[target as usize]))
                .collect();
            for answer in batch.answers.iter().filter(|a| a.last) {
                let score: &mut (usize, usize) = scores.entry(answer.kind).or_default();
                score.0 += usize::from(best[answer.span.clone()].iter().all(|&b| b));
                score.1 += 1;
            }
        }
        Ok(scores)
    }
}

/// Formats step and seconds for a checkpoint.
pub(super) fn note(progress: &Progress) -> String {
    format!("{} {}", progress.step, progress.seconds())
}

/// Parses step and seconds of a checkpoint; 0 where missing.
pub(super) fn parse_note(note: &str) -> (u64, f64) {
    let mut parts = note.split(' ');
    let step = parts.next().and_then(|s| s.parse().ok()).unwrap_or(0);
    (step, parts.next().and_then(|s| s.parse().ok()).unwrap_or(0.0))
}
