//! The engine beside the story of an answer: editing the conversation, reports, measurements.

use super::{Engine, Report, RestoredTurn};
use crate::error::Result;
use crate::measure::{self, BenchOptions, Clock, Line};
use crate::model::Model;
use crate::preprocess::{Rendering, preprocess};

impl Engine {
    /// Keeps the first `turns` turns. The pictures of the first removed turn are attached to the next question, so that
    /// `truncate(turns − 1)` and the same question regenerate an answer.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) when there are fewer turns.
    pub fn truncate(&mut self, turns: usize) -> Result<()> {
        self.conversation.truncate(turns)
    }

    /// Appends turns of an earlier conversation, whose pictures have been encoded in order. Their rows are prefilled
    /// with the next picture or question.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) when pictures are missing or a token is outside the vocabulary;
    /// [`Kind::Prompt`](crate::error::Kind::Prompt) for a text that cannot be tokenised. Nothing has changed then.
    pub fn restore(&mut self, turns: &[RestoredTurn]) -> Result<()> {
        self.conversation.restore(&self.format, turns)
    }

    /// Begins a new conversation. A prompt that begins like the cached rows still reuses them.
    pub fn reset(&mut self) {
        self.conversation.reset();
    }

    /// Removes pictures, the kept conversation and parked rows. Rows of pictures in the cache are found by no prompt.
    pub(super) fn forget_pictures(&mut self) {
        self.conversation.reset();
        self.pictures.clear();
        self.parked.clear(&mut self.model.device);
    }

    /// Changes how pictures are rendered. Removes pictures and conversation.
    pub fn set_rendering(&mut self, rendering: Rendering) {
        self.forget_pictures();
        self.preprocess.rendering = rendering;
    }

    /// Reports model, device, memory and conversation.
    pub fn report(&self) -> Report {
        Report {
            model: self.info.name.clone(),
            parameters: self.info.parameters,
            notes: self.info.notes.clone(),
            backend: self.model.device.backend().into(),
            adapter: self.model.device.adapter(),
            device_bytes: self.model.device.allocated(),
            cache_type: self.model.cache_stored(),
            context: self.model.context,
            cached: self.cache.len() as u32,
            turns: self.conversation.turns() as u32,
            tuning: self.model.device.tuning(),
        }
    }

    /// Measures the model on its device ([`measure::bench`]). Removes pictures and conversation.
    ///
    /// # Errors
    /// Those of [`measure::bench`].
    pub async fn bench(&mut self, options: &BenchOptions, now: Clock<'_>, on_line: &mut dyn FnMut(Line)) -> Result<()> {
        self.forget_pictures();
        self.cache.truncate(0);
        measure::bench(&mut self.model, options, now, on_line).await
    }

    /// Returns the model, for measurements and comparisons.
    pub fn model(&mut self) -> &mut Model {
        self.cache.forget_logits();
        &mut self.model
    }

    /// Computes the intermediate results of a picture: (name, shape, values). The conversation does not change.
    ///
    /// # Shapes
    /// Of a picture that is one tile: `pixel_values` `[3, S, S]`, `image_features` `[P, C]`, `image_embeds` `[P, H]`.
    /// The first dimension is as many times larger as there are tiles.
    ///
    /// # Errors
    /// [`Kind::Image`](crate::error::Kind::Image); [`Kind::Gpu`](crate::error::Kind::Gpu).
    pub async fn vision_outputs(&mut self, image: &[u8]) -> Result<Vec<(&'static str, Vec<u32>, Vec<f32>)>> {
        let pixels = preprocess(image, &self.preprocess)?;
        let config = &self.model.config;
        let (side, c, h) = (config.vision.image_size, config.vision.hidden_size, config.text.hidden_size);
        let (mut features, mut embeds) = (Vec::new(), Vec::new());
        for tile in pixels.data.chunks_exact((3 * side * side) as usize) {
            let (tile_features, tile_embeds) = self.model.vision_outputs(tile).await?;
            features.extend(tile_features);
            embeds.extend(tile_embeds);
        }
        let result = |name, values: Vec<f32>, inner: &[u32]| {
            let rows = values.len() as u32 / inner.iter().product::<u32>();
            (name, [&[rows], inner].concat(), values)
        };
        Ok(vec![
            result("pixel_values", pixels.data, &[side, side]),
            result("image_features", features, &[c]),
            result("image_embeds", embeds, &[h]),
        ])
    }
}
