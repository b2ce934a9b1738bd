//! Evaluation of the trained model with Burn, the float implementation that is independent of the engine.

use super::decoder;
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::params::{Leaves, floats};
use super::patches::{patches, pixel_values};
use super::run::TrainingRun;
use crate::error::{Error, Kind, Result};
use crate::scenes::bpe::{EOS, IMAGE};
use crate::scenes::eval::VqaModel;
use crate::scenes::questions::Turn;
use burn::tensor::Device;
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

/// Maximum length of an answer, tokens.
const MAX_NEW_TOKENS: usize = 100;

/// The model of a training run, answering questions with greedy decoding in f32.
pub struct BurnVqa {
    sampler: DialogueSampler,
    leaves: Leaves,
    device: Device,
}

impl BurnVqa {
    /// Copies the present parameters of a training run.
    pub fn new(run: &TrainingRun) -> Self {
        let sampler = run.sampler(TrainingStage::Instructions, 0);
        Self { sampler, leaves: run.params.leaves(|_| false), device: run.params.device().clone() }
    }

    /// Decodes the answer to `question` about the picture, after the turns `earlier`.
    fn decode_answer(&self, pixels: &[f32], earlier: &[Turn], question: &str) -> Result<String> {
        let shape = &self.sampler.shape;
        let mut batch = self.sampler.prompt(patches(pixels, shape), earlier, question)?;
        let start = batch.ids.len();
        while batch.ids.len() < start + MAX_NEW_TOKENS {
            batch.length = batch.ids.len();
            batch.rows = vec![batch.length as i32 - 1];
            let logits = floats(decoder::logits(&self.leaves, shape, &batch, &self.device));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
            if best == EOS as usize {
                break;
            }
            batch.ids.push(best as i32);
        }
        let ids: Vec<u32> = batch.ids[start..].iter().map(|&id| id as u32).collect();
        let text = self.sampler.tokenizer.decode(&ids, true);
        text.map(|t| t.trim().to_owned()).map_err(|e| Error::new(Kind::Tokenizer, "answer", e.to_string()))
    }

    /// Writes pixel values, ids and logits of one question, which another implementation can be compared with:
    /// `pixel_values` `[1, 3, S, S]`, `input_ids` `[T]`, `logits` `[L, V]` of the last `L` ids.
    ///
    /// # Errors
    /// When the picture cannot be read or the file cannot be written.
    pub fn write_check(&self, image: &[u8], question: &str, path: &Path) -> Result<()> {
        let shape = &self.sampler.shape;
        let pixels = pixel_values(image, shape)?;
        let mut batch = self.sampler.prompt(patches(&pixels, shape), &[], question)?;
        batch.rows = (0..batch.ids.len() as i32).collect();
        let logits = floats(decoder::logits(&self.leaves, shape, &batch, &self.device));
        let mut ids = batch.lead.clone();
        ids.extend(vec![IMAGE as i32; shape.patches()]);
        ids.extend(&batch.ids);
        let side = shape.image_size;
        let tensors: [(&str, Dtype, Vec<usize>, &[u8]); 3] = [
            ("pixel_values", Dtype::F32, vec![1, 3, side, side], bytemuck::cast_slice(&pixels)),
            ("input_ids", Dtype::I32, vec![ids.len()], bytemuck::cast_slice(&ids)),
            ("logits", Dtype::F32, vec![batch.ids.len(), shape.vocab], bytemuck::cast_slice(&logits)),
        ];
        let fail = |e: safetensors::SafeTensorError| Error::new(Kind::Io, path.display().to_string(), e.to_string());
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in tensors {
            views.push((name, TensorView::new(dtype, shape, bytes).map_err(fail)?));
        }
        safetensors::serialize_to_file(views, None, path).map_err(fail)
    }
}

impl VqaModel for BurnVqa {
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String> {
        let pixels = pixel_values(image, &self.sampler.shape)?;
        let mut turns = Vec::new();
        for question in earlier {
            let answer = self.decode_answer(&pixels, &turns, question)?;
            turns.push(Turn { question: question.clone(), answer });
        }
        self.decode_answer(&pixels, &turns, question)
    }
}
