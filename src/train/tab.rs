//! A training run that is stepped from outside, without clock, threads or files: what the page `learn.html` runs.
//!
//! It begins with the shipped tower and decoder. Stage 1 trains a fresh connector, stage 2 connector and decoder.
//! Several runs with the same seed may share the work of a step: each computes the gradients of other batches, all
//! apply the same mean, and so keep the same parameters.

use super::decoder;
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::model_shape::ModelShape;
use super::own_pictures::OwnPicture;
use super::params::{Matrix, Params, floats};
use super::patches::{patches, pixel_values};
use super::progress::learning_rate;
use super::{shards, whitening};
use crate::error::{Error, Kind, Result};
use crate::format::manifest::Manifest;
use crate::scenes::answers::is_right;
use crate::scenes::bpe::EOS;
use crate::scenes::dataset::{AnswerForm, Item, items, png};
use crate::scenes::questions::QuestionKind;
use crate::scenes::scene::{TRAIN_SEED, sample, scene_rng};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokenizers::Tokenizer;

/// Bits of the seeds of held-out scenes; no training seed has bit 62 set.
const HELD_OUT: u64 = TRAIN_SEED | 1 << 62;
/// Seed of the held-out scenes that are shown and asked about.
pub const HELD_OUT_SCENES: u64 = 424_242;
/// Kinds of the questions beside the caption, the preferred ones first; three of them are asked.
const SHOWN: [QuestionKind; 5] =
    [QuestionKind::Count, QuestionKind::Position, QuestionKind::Colour, QuestionKind::Shape, QuestionKind::Existence];
/// Longest answer, tokens.
const LONGEST: usize = 60;
/// Share of a person's pictures in a batch; the others are scenes.
const OWN_SHARE: f32 = 0.3;
/// Weight decay, as in the recipe of `train run`.
const DECAY: f32 = 0.05;

/// The files of a model, as its host has them.
pub struct ModelFiles {
    /// `manifest.json`.
    pub manifest: Manifest,
    /// `config.json`.
    pub config: Vec<u8>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// The shards, in the manifest's order.
    pub shards: Vec<Vec<u8>>,
}

/// A stage of the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TabStage {
    /// The connector alone learns, from captions.
    Connector,
    /// Connector and decoder learn, from conversations.
    Instructions,
    /// Connector and decoder learn, from a person's pictures among scenes that were learned before.
    OwnPictures,
}

impl TabStage {
    fn trains(self, name: &str) -> bool {
        name.starts_with("multi_modal_projector") || (self != Self::Connector && name.starts_with("language_model"))
    }
}

/// The gradients of one batch.
pub struct BatchGradients {
    /// Mean cross-entropy of the batch.
    pub loss: f32,
    /// Rows that the decoder computed.
    pub tokens: usize,
    /// Gradients of the trainable parameters, one after the other by name.
    pub values: Vec<f32>,
}

/// A question about the picture that is shown, and the model's present answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The question.
    pub question: String,
    /// The short form of the right answer, or the whole caption.
    pub expected: String,
    /// The answer.
    pub given: String,
    /// Whether it is right.
    pub right: bool,
}

/// The held-out picture that is shown, and its questions with the tokens of their last answers.
#[derive(Default)]
struct Shown {
    picture: Vec<u8>,
    questions: Vec<(Item, Vec<i32>)>,
}

/// A training run.
pub struct TabRun {
    shown: Shown,
    own: Vec<OwnPicture>,
    manifest: Manifest,
    shape: ModelShape,
    params: Params,
    tokenizer: Arc<Tokenizer>,
    stage: TabStage,
    seed: u64,
    /// Pictures per batch.
    pub images: usize,
}

impl TabRun {
    /// Reads the model; with `fresh`, its connector is replaced by one that is drawn from `seed`.
    ///
    /// # Errors
    /// Those of the files, and [`Kind::Tensor`] for a model of another shape than the shipped one.
    pub fn open(files: ModelFiles, fresh: bool, seed: u64, images: usize) -> Result<Self> {
        let (mut params, shape) = shards::import(&files.manifest, &files.config, &files.shards, Device::flex())?;
        let tokenizer = Tokenizer::from_bytes(&files.tokenizer)
            .map_err(|e| Error::new(Kind::Tokenizer, "tokenizer.json", e.to_string()))?;
        if fresh {
            decoder::init_connector(&mut params, &shape, &mut scene_rng(TRAIN_SEED | seed, u64::MAX));
        }
        let manifest = files.manifest;
        let (tokenizer, stage) = (Arc::new(tokenizer), TabStage::Connector);
        let (shown, own) = (Shown::default(), Vec::new());
        let mut run = Self { shown, own, manifest, shape, params, tokenizer, stage, seed, images };
        if fresh {
            let sampler = run.sampler(TrainingStage::CaptionAnswers, TRAIN_SEED | seed);
            whitening::fit(&mut run.params, &run.shape, &sampler, false)?;
        }
        Ok(run)
    }

    /// Begins a stage: the optimizer forgets its moments.
    pub fn begin(&mut self, stage: TabStage) {
        self.stage = stage;
        self.params.reset_optimizer();
    }

    /// Takes the pictures of a person, which [`TabStage::OwnPictures`] trains with.
    ///
    /// # Errors
    /// When a picture cannot be decoded.
    pub fn set_own(&mut self, pictures: &[(Vec<u8>, String)]) -> Result<()> {
        let read = |(file, word): &(Vec<u8>, String)| OwnPicture::read(file, word, &self.shape);
        self.own = pictures.iter().map(read).collect::<Result<_>>()?;
        Ok(())
    }

    fn sampler(&self, stage: TrainingStage, seed: u64) -> DialogueSampler {
        let (shape, tokenizer) = (self.shape.clone(), self.tokenizer.clone());
        DialogueSampler { shape, tokenizer, seed, stage, images: self.images, scenes: sample }
    }

    /// Computes the loss of training batch `index` and its gradients.
    ///
    /// # Errors
    /// When the batch cannot be made.
    pub fn gradients(&self, index: u64) -> Result<BatchGradients> {
        let sampler = |stage| self.sampler(stage, TRAIN_SEED | self.seed);
        let batch = match self.stage {
            TabStage::Connector => sampler(TrainingStage::CaptionAnswers).batch(index)?,
            TabStage::Instructions => sampler(TrainingStage::Instructions).batch(index)?,
            TabStage::OwnPictures => {
                let count = (self.images as f32 * OWN_SHARE).ceil() as usize;
                sampler(TrainingStage::Instructions).mixed(&self.own, count, index)?
            }
        };
        let leaves = self.params.leaves(|name| self.stage.trains(name));
        let loss = decoder::loss(&leaves, &self.shape, &batch, self.params.device());
        let mut gradients = loss.backward();
        let values = leaves.gradients(&mut gradients).into_values().flat_map(floats).collect();
        let tokens = batch.ids.len() + batch.images * self.shape.patches();
        Ok(BatchGradients { loss: floats(loss)[0], tokens, values })
    }

    /// Applies one AdamW step to the mean of gradients of the same length; `peak` is the peak learning rate and
    /// `fraction` the completed part of the stage. Returns the norm of the mean.
    ///
    /// # Errors
    /// [`Kind::Argument`] when gradients do not have the length of the trainable parameters.
    pub fn apply(&mut self, gradients: &[Vec<f32>], peak: f64, fraction: f64) -> Result<f32> {
        let named = gradients.iter().map(|values| self.named(values)).collect::<Result<Vec<_>>>()?;
        Ok(self.params.step(named, DECAY, |_| learning_rate(peak, fraction)))
    }

    /// Splits gradients that lie one after the other.
    fn named(&self, values: &[f32]) -> Result<BTreeMap<String, Matrix>> {
        let mut rest = values;
        let mut named = BTreeMap::new();
        for (name, dims) in self.params.shapes().filter(|(name, _)| self.stage.trains(name)) {
            let Some((own, after)) = rest.split_at_checked(dims[0] * dims[1]) else { break };
            let tensor = Tensor::from_data(TensorData::new(own.to_vec(), dims), self.params.device());
            named.insert(name.to_owned(), tensor);
            rest = after;
        }
        let wanted = self.params.shapes().filter(|(name, _)| self.stage.trains(name)).count();
        match rest.is_empty() && named.len() == wanted {
            true => Ok(named),
            false => Err(Error::new(Kind::Argument, "gradients", "are not as long as the trainable parameters")),
        }
    }

    /// Counts the right answers and all answers of held-out batches: captions in stage 1, then answers to questions of
    /// every kind. An answer is right when each of its tokens is the likeliest after those before it.
    ///
    /// # Errors
    /// When a batch cannot be made.
    pub fn examine(&self, batches: std::ops::Range<u64>) -> Result<(usize, usize)> {
        let stage = match self.stage {
            TabStage::Connector => TrainingStage::CaptionAnswers,
            TabStage::Instructions | TabStage::OwnPictures => TrainingStage::Instructions,
        };
        let sampler = self.sampler(stage, HELD_OUT);
        let leaves = self.params.leaves(|_| false);
        let (mut right, mut all) = (0, 0);
        for index in batches {
            let batch = sampler.batch(index)?;
            let logits = floats(decoder::logits(&leaves, &self.shape, &batch, self.params.device()));
            let best: Vec<bool> = logits
                .chunks(self.shape.vocab)
                .zip(&batch.targets)
                .map(|(row, &t)| likeliest(row) == t as usize)
                .collect();
            let scored: Vec<_> = batch.answers.iter().filter(|a| a.last).collect();
            right += scored.iter().filter(|a| best[a.span.clone()].iter().all(|&b| b)).count();
            all += scored.len();
        }
        Ok((right, all))
    }

    /// Shows held-out scene `index`: [`TabRun::answers`] is about it from now on.
    ///
    /// # Errors
    /// When the picture cannot be encoded.
    pub fn show(&mut self, index: u64) -> Result<()> {
        let (picture, all) = items(HELD_OUT_SCENES, index);
        let of = |kind: &QuestionKind| all.iter().find(|item| item.kind == *kind).cloned();
        let questions = of(&QuestionKind::Caption).into_iter().chain(SHOWN.iter().filter_map(of).take(3));
        let questions = questions.map(|item| (item, Vec::new())).collect();
        self.shown = Shown { picture: png(&picture)?, questions };
        Ok(())
    }

    /// Returns the picture that is shown, a PNG file.
    pub fn picture(&self) -> &[u8] {
        &self.shown.picture
    }

    /// Answers the questions about the picture that is shown: a caption and three more.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn answers(&mut self) -> Result<Vec<Answered>> {
        let mut questions = std::mem::take(&mut self.shown.questions);
        let mut answered = Vec::new();
        for (item, guess) in &mut questions {
            let (given, tokens) = self.answer(&self.shown.picture, &item.question, guess)?;
            let right = is_right(item.kind, item.form == AnswerForm::Short, &item.answer, &given);
            *guess = tokens;
            let (question, expected) = (item.question.clone(), item.answer.clone());
            answered.push(Answered { question, expected, given, right });
        }
        self.shown.questions = questions;
        Ok(answered)
    }

    /// Answers `question` about a picture file with greedy decoding; returns the text and its tokens. `guess` may hold
    /// the tokens of an earlier answer: those that greedy decoding still yields take one forward pass together.
    ///
    /// # Errors
    /// When the picture cannot be decoded.
    pub fn answer(&self, picture: &[u8], question: &str, guess: &[i32]) -> Result<(String, Vec<i32>)> {
        let sampler = self.sampler(TrainingStage::Instructions, 0);
        let mut batch = sampler.prompt(patches(&pixel_values(picture, &self.shape)?, &self.shape), &[], question)?;
        let (leaves, start) = (self.params.leaves(|_| false), batch.ids.len());
        let (mut known, mut guess): (Vec<i32>, _) = (Vec::new(), guess.to_vec());
        let mut ended = false;
        while !ended && known.len() < LONGEST {
            batch.ids.truncate(start);
            batch.ids.extend(known.iter().chain(&guess));
            batch.length = batch.ids.len();
            batch.rows = (start + known.len() - 1..batch.length).map(|row| row as i32).collect();
            let logits = floats(decoder::logits(&leaves, &self.shape, &batch, self.params.device()));
            for (i, row) in logits.chunks(self.shape.vocab).enumerate() {
                let token = likeliest(row) as i32;
                ended = token == EOS as i32;
                if !ended {
                    known.push(token);
                }
                // What follows a token that was guessed wrong says nothing.
                if ended || guess.get(i) != Some(&token) {
                    break;
                }
            }
            guess.clear();
        }
        let ids: Vec<u32> = known.iter().map(|&id| id as u32).collect();
        let text = self.tokenizer.decode(&ids, true);
        let text = text.map_err(|e| Error::new(Kind::Tokenizer, "answer", e.to_string()))?;
        Ok((text.trim().to_owned(), known))
    }

    /// Writes the trained model in the layout of the shipped one; returns its manifest. `emit(file name, bytes)`
    /// receives the shards.
    ///
    /// # Errors
    /// When a value does not fit its type; those of `emit`.
    pub fn write(&self, name: &str, emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<Manifest> {
        shards::write(&self.params, &self.manifest, name, emit)
    }
}

/// Returns the index of the largest of `logits`.
fn likeliest(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
