//! Scores of an imported model on a data file in LLaVA's format: loss, share of likeliest tokens, whole answers.

use super::super::params::floats;
use super::batches::{SequenceBatch, batch};
use super::data::{LlavaData, Reader};
use super::import::Parts;
use super::model;
use crate::error::Result;
use crate::prompt::Template;
use std::path::Path;
use std::sync::Arc;

/// The figures of one evaluation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Answers.
    pub answers: usize,
    /// Answers that greedy decoding yields as they are: every token is the likeliest after those before it.
    pub whole: usize,
    /// Tokens of answers.
    pub tokens: usize,
    /// Tokens that are the likeliest.
    pub right: usize,
    /// Mean cross-entropy, nats per token.
    pub loss: f64,
}

/// Counts right tokens and answers on the first `limit` entries of `data`. `blank`: every picture is grey.
///
/// # Errors
/// When the data cannot be read.
pub fn score(parts: Parts, data: &Path, images: &Path, stage: usize, limit: usize, blank: bool) -> Result<Score> {
    let Parts { config, tokenizer, template, params, .. } = parts;
    let template = if stage == 0 { Template::Plain } else { template };
    let reader = Reader { config: Arc::new(config), tokenizer: Arc::new(tokenizer), template, length: 2048 };
    let data = LlavaData::open(data, images)?;
    let (leaves, rows) = (params.leaves(|_| false), reader.config.feature_rows() as usize);
    let (mut score, mut sum) = (Score::default(), 0.0);
    for index in (0..data.len().min(limit)).collect::<Vec<_>>().chunks(4) {
        let mut samples = Vec::new();
        for &entry in index {
            samples.extend(data.sample(entry, &reader)?);
        }
        if blank {
            // Zero is the mean colour.
            samples.iter_mut().for_each(|(_, patches)| patches.fill(0.0));
        }
        if samples.is_empty() {
            continue;
        }
        let batch = batch(&samples, rows);
        let logits = floats(model::logits(&leaves, &reader.config, &batch, params.device()));
        count(&batch, &logits, reader.config.text.vocab_size as usize, &mut score, &mut sum);
    }
    score.loss = sum / score.tokens.max(1) as f64;
    Ok(score)
}

fn count(batch: &SequenceBatch, logits: &[f32], vocabulary: usize, score: &mut Score, sum: &mut f64) {
    let right: Vec<bool> = logits
        .chunks(vocabulary)
        .zip(&batch.targets)
        .map(|(row, &target)| {
            let peak = row.iter().copied().fold(f32::MIN, f32::max);
            let total: f64 = row.iter().map(|&x| f64::from(x - peak).exp()).sum();
            *sum += total.ln() - f64::from(row[target as usize] - peak);
            row[target as usize] >= peak
        })
        .collect();
    score.tokens += right.len();
    score.right += right.iter().filter(|&&right| right).count();
    for answer in batch.answers.iter().flatten() {
        score.answers += 1;
        score.whole += usize::from(right[answer.clone()].iter().all(|&right| right));
    }
}
