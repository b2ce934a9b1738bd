//! What the headers of weight files have in common: which tensor of which type lies where.

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
    /// First byte in the file. Files of 5 GB and more are read where `usize` has 32 bits.
    pub offset: u64,
}

/// Bytes of a tensor, or `None` where no file could hold it.
pub(super) fn bytes_of(dtype: Dtype, shape: &[u64]) -> Option<u64> {
    let values = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
    let bits = values.checked_mul(dtype.bitsize() as u64)?;
    bits.is_multiple_of(8).then_some(bits / 8)
}
