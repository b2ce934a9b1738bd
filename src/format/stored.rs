//! Places of tensors in weight files: as one file's header states them, and as the plan of a model uses them.

use crate::format::names::{Expected, Found, without_unit_sides};
use crate::quant::Encoding;
use safetensors::Dtype;

/// A tensor as its file's header describes it: row-major, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its key, as written.
    pub key: String,
    /// Type of its values.
    pub dtype: Dtype,
    /// Sides; none for a single value.
    pub shape: Vec<u64>,
    /// First byte in the file. It has 64 bits: files of 5 GB and more are read where `usize` has 32.
    pub offset: u64,
}

/// A tensor's place in the files of a model, whatever the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedTensor {
    /// Canonical name.
    pub name: String,
    /// Index of its file.
    pub file: usize,
    /// First byte there.
    pub offset: u64,
    /// How its values are stored.
    pub encoding: Encoding,
    /// Shape as the checkpoint states it, row-major.
    pub shape: Vec<u32>,
    /// Heads whose rows are interleaved: within each head, row `2i` holds what is row `i` here, row `2i + 1` what is
    /// row `D/2 + i`. llama.cpp rotates neighbours where Hugging Face rotates halves.
    pub rope_heads: Option<u32>,
}

impl LocatedTensor {
    /// Length in the file, bytes. Zero for a shape that is no whole number of blocks, which no header describes.
    pub fn bytes(&self) -> u64 {
        let values = self.shape.iter().map(|&side| u64::from(side)).product();
        self.encoding.row_bytes(values).unwrap_or(0)
    }
}

impl Found for LocatedTensor {
    fn shape(&self, expected: &Expected) -> Vec<u32> {
        without_unit_sides(&self.shape, &expected.checkpoint_shape)
    }
}

/// Returns the bytes of a tensor, or `None` where no file could hold it.
pub(super) fn bytes_of(dtype: Dtype, shape: &[u64]) -> Option<u64> {
    let values = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
    let bits = values.checked_mul(dtype.bitsize() as u64)?;
    bits.is_multiple_of(8).then_some(bits / 8)
}
