//! The sizes of the model that is trained.

/// Widths and counts of the tower and the decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelShape {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// `C`, width of the tower.
    pub vision_width: usize,
    /// Blocks of the tower; LLaVA reads the output of the last but one.
    pub vision_layers: usize,
    /// Heads of the tower.
    pub vision_heads: usize,
    /// MLP width of the tower.
    pub vision_mlp: usize,
    /// `H`, width of the decoder.
    pub hidden: usize,
    /// Blocks of the decoder.
    pub layers: usize,
    /// `N`, heads of the decoder.
    pub heads: usize,
    /// `F`, MLP width of the decoder.
    pub mlp: usize,
    /// `V`, tokens of the vocabulary.
    pub vocab: usize,
}

impl ModelShape {
    /// Returns the sizes of the shipped model.
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
            vocab: crate::scenes::bpe::VOCAB_SIZE,
        }
    }

    /// Returns `P`, the number of patches per picture.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }
}
