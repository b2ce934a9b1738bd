//! The engine beside the story of an answer: reports, measurements, intermediate results.

use super::{Engine, Report};
use crate::error::Result;
use crate::measure::{self, BenchOptions, CheckedOperation, Clock, Line, Tier};
use crate::model::Model;
use crate::preprocess::{Rendering, preprocess};

impl Engine {
    /// Removes pictures and parked rows. Rows of pictures in the cache are found by no prompt.
    pub(super) fn forget_pictures(&mut self) {
        self.pictures.clear();
        self.parked.clear(&mut self.model.device);
    }

    /// Changes how pictures are rendered. Removes pictures.
    pub fn set_rendering(&mut self, rendering: Rendering) {
        self.forget_pictures();
        self.preprocess.rendering = rendering;
    }

    /// Reports model, device and memory.
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
            tuning: self.model.device.tuning(),
        }
    }

    /// Measures the model on its device ([`measure::bench`]). Removes pictures and cached rows.
    ///
    /// # Errors
    /// Those of [`measure::bench`].
    pub async fn bench(&mut self, options: &BenchOptions, now: Clock<'_>, on_line: &mut dyn FnMut(Line)) -> Result<()> {
        self.forget_pictures();
        self.cache.truncate(0);
        measure::bench(&mut self.model, options, now, on_line).await
    }

    /// Compares the model's operations with their twins ([`measure::check_operations`]). Removes pictures and cached rows.
    ///
    /// # Errors
    /// Those of [`measure::check_operations`].
    pub async fn check_operations(&mut self, on_checked: &mut dyn FnMut(CheckedOperation) -> Result<()>) -> Result<()> {
        self.forget_pictures();
        self.cache.truncate(0);
        measure::check_operations(&mut self.model, on_checked).await
    }

    /// Returns the ways in which this device can compute ([`measure::tiers`]); none on a CPU.
    pub fn tiers(&self) -> Vec<Tier> {
        let device = &self.model.device;
        if device.is_gpu() { measure::tiers(device.features()) } else { Vec::new() }
    }

    /// Returns the model, for measurements and comparisons.
    pub fn model(&mut self) -> &mut Model {
        self.cache.forget_logits();
        &mut self.model
    }

    /// Computes the intermediate results of a picture: (name, shape, values). The engine's pictures do not
    /// change.
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
