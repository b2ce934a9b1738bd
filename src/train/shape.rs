//! The sizes of the model that is trained.

use serde::{Deserialize, Serialize};

/// All sizes; `shape.json` beside the checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// `C`.
    pub vision_width: usize,
    /// Blocks of the tower; LLaVA reads the last but one.
    pub vision_layers: usize,
    /// Heads of the tower.
    pub vision_heads: usize,
    /// MLP width of the tower.
    pub vision_mlp: usize,
    /// `H`.
    pub hidden: usize,
    /// Blocks of the decoder.
    pub layers: usize,
    /// `N`.
    pub heads: usize,
    /// `F`.
    pub mlp: usize,
    /// `V`.
    pub vocab: usize,
}

impl ModelShape {
    /// The shipped model's sizes.
    pub fn shipped() -> Self {
        Self {
            image_size: 128,
            patch_size: 16,
            vision_width: 128,
            vision_layers: 6,
            vision_heads: 4,
            vision_mlp: 384,
            hidden: 192,
            layers: 4,
            heads: 4,
            mlp: 512,
            vocab: super::vocabulary::SIZE,
        }
    }
    /// `P`.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }
}
