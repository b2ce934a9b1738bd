//! The trained model answering through Burn: the independent float implementation.

use super::decoder;
use super::dialogue_batches::{Source, Stage};
use super::draw::Picture;
use super::eval::Answerer;
use super::params::{Leaves, floats};
use super::pixels::{push_patches, square};
use super::questions::Turn;
use super::run::Session;
use super::vocabulary::EOS;
use crate::error::{Error, Kind, Result};
use burn::tensor::Device;

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

    /// Pixel values by patch of an encoded picture.
    ///
    /// # Errors
    /// [`Kind::Image`] when it cannot be decoded.
    pub fn patches(&self, image: &[u8]) -> Result<Vec<f32>> {
        let picture = image::load_from_memory(image).map_err(|e| Error::new(Kind::Image, "picture", e.to_string()))?;
        let rgb = picture.to_rgb8();
        let picture = Picture { width: rgb.width(), height: rgb.height(), rgb: rgb.into_raw() };
        let mut patches = Vec::new();
        push_patches(&square(&picture, self.source.shape.image_size), &self.source.shape, &mut patches);
        Ok(patches)
    }

    /// Ids after the picture and the logits `[L, V]` at each of them.
    ///
    /// # Errors
    /// When the text cannot be tokenised.
    pub fn logits(&self, patches: Vec<f32>, question: &str) -> Result<(Vec<i32>, Vec<f32>)> {
        let mut batch = self.source.open(patches, &[], question)?;
        batch.rows = (0..batch.ids.len() as i32).collect();
        let logits = decoder::logits(&self.leaves, &self.source.shape, &batch, &self.device);
        Ok((batch.ids, floats(logits)))
    }
}

impl Answerer for BurnAnswerer {
    fn answer(&mut self, image: &[u8], history: &[Turn], question: &str) -> Result<String> {
        let mut batch = self.source.open(self.patches(image)?, history, question)?;
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
}
