//! The trained model answering through Burn: the independent float implementation.

use super::decoder;
use super::dialogue_batches::{Source, Stage};
use super::eval::Answerer;
use super::params::{Leaves, floats};
use super::pixels::patches_of;
use super::questions::Turn;
use super::run::Session;
use super::vocabulary::{EOS, IMAGE};
use crate::error::{Error, Kind, Result};
use crate::preprocess::{PreprocessConfig, preprocess};
use burn::tensor::Device;
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

/// Longest answer, tokens.
const LONGEST: usize = 100;

/// A trained session that answers.
pub struct BurnAnswerer {
    source: Source,
    leaves: Leaves,
    device: Device,
}

impl BurnAnswerer {
    /// Takes the session's parameters as they stand.
    pub fn new(session: &Session) -> Self {
        let source = session.source(Stage::Instructions, 0);
        Self { source, leaves: session.params.leaves(|_| false), device: session.params.device().clone() }
    }

    /// Pixel values `[3, S, S]` of a picture file, as the engine makes them.
    fn pixels(&self, image: &[u8]) -> Result<Vec<f32>> {
        Ok(preprocess(image, &PreprocessConfig::llava(self.source.shape.image_size as u32))?.data)
    }

    /// Greedy ids that follow the picture, the earlier turns and `question`.
    fn continue_from(&self, pixels: &[f32], earlier: &[Turn], question: &str) -> Result<String> {
        let mut batch = self.source.open(patches_of(pixels, &self.source.shape), earlier, question)?;
        let start = batch.ids.len();
        while batch.ids.len() < start + LONGEST {
            batch.length = batch.ids.len();
            batch.rows = vec![batch.length as i32 - 1];
            let logits = floats(decoder::logits(&self.leaves, &self.source.shape, &batch, &self.device));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
            if best == EOS as usize {
                break;
            }
            batch.ids.push(best as i32);
        }
        let ids: Vec<u32> = batch.ids[start..].iter().map(|&id| id as u32).collect();
        let text = self.source.tokenizer.decode(&ids, true);
        text.map(|t| t.trim().to_owned()).map_err(|e| Error::new(Kind::Tokenizer, "answer", e.to_string()))
    }

    /// Writes pixel values, ids and logits of one question, for another implementation to compare:
    /// `pixel_values` `[1, 3, S, S]`, `input_ids` `[T]`, `logits` `[L, V]` of the last `L` ids.
    ///
    /// # Errors
    /// When the picture cannot be read or the file not written.
    pub fn write_check(&self, image: &[u8], question: &str, path: &Path) -> Result<()> {
        let shape = &self.source.shape;
        let pixels = self.pixels(image)?;
        let mut batch = self.source.open(patches_of(&pixels, shape), &[], question)?;
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

impl Answerer for BurnAnswerer {
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String> {
        let pixels = self.pixels(image)?;
        let mut turns = Vec::new();
        for question in earlier {
            let answer = self.continue_from(&pixels, &turns, question)?;
            turns.push(Turn { question: question.clone(), answer });
        }
        self.continue_from(&pixels, &turns, question)
    }
}
