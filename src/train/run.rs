//! The recipe, stage by stage.

use super::params::{Params, floats};
use super::progress::{Budget, Progress};
use super::shape::ModelShape;
use super::workers::{Outcome, Workers, ahead};
use super::{tower, tower_batches, vocabulary};
use super::scenes::{TRAIN_SEED, scene_rng};
use crate::error::{Error, Kind, Result};
use burn::tensor::Device;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

/// What `train run` was asked for.
pub struct Plan {
    /// Checkpoints, logs, tokenizer.
    pub out: PathBuf,
    /// Everything random follows from it.
    pub seed: u64,
    /// Gradient workers.
    pub workers: usize,
    /// Pictures per worker and step in the contrastive stage.
    pub tower_batch: usize,
    /// The contrastive stage's length.
    pub tower: Budget,
}

/// Everything a stage needs.
pub struct Session {
    /// What was asked for.
    pub plan: Plan,
    /// Sizes.
    pub shape: ModelShape,
    /// The trained tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// All parameters.
    pub params: Params,
    /// Gradient threads.
    pub workers: Workers,
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let place = path.display().to_string();
    move |e| Error::new(Kind::Io, place.clone(), e.to_string())
}

impl Session {
    /// Trains or reads the tokenizer and makes the parameters.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn open(plan: Plan) -> Result<Self> {
        std::fs::create_dir_all(&plan.out).map_err(io(&plan.out))?;
        let path = plan.out.join("tokenizer.json");
        let fail = |e: tokenizers::Error| Error::new(Kind::Tokenizer, "tokenizer.json", e.to_string());
        let tokenizer = if path.exists() {
            Tokenizer::from_file(&path).map_err(fail)?
        } else {
            let tokenizer = vocabulary::train(plan.seed, 6000)?;
            tokenizer.save(&path, true).map_err(fail)?;
            tokenizer
        };
        let shape = ModelShape::shipped();
        let mut params = Params::new(Device::flex());
        let mut rng = scene_rng(TRAIN_SEED | plan.seed, u64::MAX);
        tower::init(&mut params, &shape, &mut rng);
        println!("tokens {} tower {} parameters", tokenizer.get_vocab_size(true), params.count("vision_tower"));
        let workers = Workers::new(plan.workers)?;
        Ok(Self { plan, shape, tokenizer: Arc::new(tokenizer), params, workers })
    }

    /// The contrastive stage.
    ///
    /// # Errors
    /// When a checkpoint cannot be written.
    pub fn train_tower(&mut self) -> Result<()> {
        let path = self.plan.out.join("tower.safetensors");
        let (mut step, mut before) = (0, 0.0);
        if path.exists() {
            let note = self.params.load(&path)?;
            (step, before) = parse_note(&note);
            println!("tower: resumed at step {step}");
        }
        let mut progress = Progress::new("tower", self.plan.tower, 1.5e-3, step, before);
        let (shape, tokenizer) = (self.shape.clone(), self.tokenizer.clone());
        let (seed, workers, images) = (TRAIN_SEED | self.plan.seed, self.workers.count(), self.plan.tower_batch);
        let batches = ahead(step, move |step| {
            (0..workers as u64)
                .map(|w| {
                    let index = (step * workers as u64 + w) * images as u64;
                    tower_batches::batch(&shape, &tokenizer, seed, index, images)
                })
                .collect::<Result<Vec<_>>>()
        });
        let device = self.params.device().clone();
        while progress.fraction() < 1.0 {
            let parts = batches.recv().map_err(|e| Error::new(Kind::State, "tower", e.to_string()))??;
            let (params, shape) = (&self.params, &self.shape);
            let outcomes = self.workers.run(parts, |batch| {
                let leaves = params.leaves(|name| name.starts_with("vision_tower") || name.starts_with("clip"));
                let (loss, parts) = tower::loss(&leaves, shape, &batch, &device);
                let mut gradients = loss.backward();
                let losses = std::iter::once(loss).chain(parts).map(|l| floats(l)[0]).collect();
                Outcome { gradients: leaves.gradients(&mut gradients), losses, tokens: batch.images }
            });
            let losses: Vec<f32> = (0..outcomes[0].losses.len())
                .map(|i| outcomes.iter().map(|o| o.losses[i]).sum::<f32>() / outcomes.len() as f32)
                .collect();
            let tokens = outcomes.iter().map(|o| o.tokens).sum();
            let rate = progress.learning_rate();
            let norm = self.params.step(outcomes.into_iter().map(|o| o.gradients).collect(), rate, 0.05);
            progress.tick(losses[0], norm, tokens, 25, &format!("{:.2?}", &losses[1..]));
            if progress.step % 200 == 0 {
                self.params.save(&path, &note(&progress))?;
            }
        }
        self.params.save(&path, &note(&progress))
    }
}

fn note(progress: &Progress) -> String {
    format!("{} {}", progress.step, progress.seconds())
}

fn parse_note(note: &str) -> (u64, f64) {
    let mut parts = note.split(' ');
    let step = parts.next().and_then(|s| s.parse().ok()).unwrap_or(0);
    (step, parts.next().and_then(|s| s.parse().ok()).unwrap_or(0.0))
}
