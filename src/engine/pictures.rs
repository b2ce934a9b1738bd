//! The size of pictures that are cut into tiles: the offered ones with their cost, and the chosen one.

use super::{Engine, Loader};
use crate::config::PictureLayout;
use crate::error::Result;
use crate::format::names::{Component, Role};
use crate::preprocess::PreprocessConfig;
use crate::prompt::{PictureTiles, picture_rows};
use serde::Serialize;

/// Width and height of the picture whose tiles and rows are stated, pixels: a photograph of 4:3.
const TYPICAL: [u32; 2] = [4000, 3000];

/// A length of a picture's longest edge that a model offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PictureSize {
    /// Length of the longer side before it is cut, pixels.
    pub longest_edge: u32,
    /// Tiles of a picture of 4:3.
    pub tiles: u32,
    /// Its rows in a prompt.
    pub rows: u32,
}

/// What a picture of 4:3 takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PictureCost {
    /// Tiles through the tower.
    pub tiles: u32,
    /// Rows in a prompt.
    pub rows: u32,
}

impl Loader {
    /// Chooses the longest edge of pictures: one of the plan's `picture_sizes`, or another multiple of a tile's side.
    ///
    /// # Errors
    /// What [`PreprocessConfig::set_longest_edge`] reports.
    pub fn set_longest_edge(&mut self, longest_edge: u32) -> Result<()> {
        self.preprocess.set_longest_edge(longest_edge)
    }

    /// Returns the offered sizes, the smallest first; none for a model that does not cut pictures by their edge.
    pub(super) fn picture_sizes(&self) -> Result<Vec<PictureSize>> {
        let size = |longest_edge| {
            let mut preprocess = self.preprocess.clone();
            preprocess.set_longest_edge(longest_edge)?;
            let PictureCost { tiles, rows } = self.cost(&preprocess)?;
            Ok(PictureSize { longest_edge, tiles, rows })
        };
        self.preprocess.longest_edges().into_iter().map(size).collect()
    }

    /// Returns what a picture of 4:3 takes as the settings are.
    pub(super) fn picture_cost(&self) -> Result<PictureCost> {
        self.cost(&self.preprocess)
    }

    fn cost(&self, preprocess: &PreprocessConfig) -> Result<PictureCost> {
        let (tiles, grid) = preprocess.tiles_of(TYPICAL[0], TYPICAL[1]);
        let picture = PictureTiles { tiles, grid, size: TYPICAL };
        let rows = picture_rows(&self.inner.blueprint().config, &self.tokenizer, &picture)?.len() as u32;
        Ok(PictureCost { tiles, rows })
    }

    /// Returns the multiply-adds of a tile in tower and connector, as a multiple of those of a row in the decoder and
    /// its head.
    pub(super) fn rows_per_tile(&self) -> f64 {
        let blueprint = self.inner.blueprint();
        let (vision, features) = (&blueprint.config.vision, f64::from(blueprint.config.feature_rows()));
        let sum = |components: &[Component]| -> f64 {
            let matrices = blueprint.tensors.iter().map(|t| &t.expected).filter(|e| e.role == Role::Matrix);
            matrices.filter(|e| components.contains(&e.component)).map(|e| e.parameters() as f64).sum()
        };
        // Two products of every row with every row, per block.
        let attention = 2.0 * features * f64::from(vision.hidden_size) * f64::from(blueprint.config.vision_blocks);
        let tower = features * (sum(&[Component::VisionTower]) + attention);
        let connector = f64::from(blueprint.config.tile_rows()) * sum(&[Component::Connector]);
        (tower + connector) / sum(&[Component::Decoder, Component::Head]).max(1.0)
    }
}

impl Engine {
    /// Changes the longest edge of pictures. Removes pictures.
    ///
    /// # Errors
    /// As [`Loader::set_longest_edge`]; nothing has changed then.
    pub fn set_longest_edge(&mut self, longest_edge: u32) -> Result<()> {
        self.preprocess.set_longest_edge(longest_edge)?;
        self.forget_pictures();
        Ok(())
    }
}

/// Whether models of this layout were trained with several pictures in a conversation.
pub(super) fn several_pictures(layout: &PictureLayout) -> bool {
    *layout == PictureLayout::Marked
}
