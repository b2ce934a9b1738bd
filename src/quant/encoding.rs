//! Encodings of weights in *checkpoints*: row-major, in ggml's blocks or as floats. Shards and devices store
//! [`WeightType`]s; every encoding has one that holds all its values exactly.
//!
//! # Source
//! `ggml-common.h` and `ggml-quants.c` (blocks, dequantisation), the GGUF specification (type numbers).

use super::WeightType;
use crate::ensure;
use crate::error::Result;

/// The encodings that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// 32-bit floats.
    F32,
    /// IEEE 754 binary16 floats.
    F16,
    /// The upper 16 bits of an f32.
    Bf16,
    /// 32 values: f16 `d`, nibbles; `d · (q − 8)`.
    Q4_0,
    /// 32 values: f16 `d`, f16 `m`, nibbles; `d · q + m`.
    Q4_1,
    /// 32 values: f16 `d`, 32 fifth bits, nibbles; `d · (q − 16)`.
    Q5_0,
    /// 32 values: f16 `d`, f16 `m`, 32 fifth bits, nibbles; `d · q + m`.
    Q5_1,
    /// 32 values: f16 `d`, signed bytes; `d · q`.
    Q8_0,
    /// 256 values: f16 `d`, `dmin`, eight 6-bit scales and minima, nibbles; `d · sc · q − dmin · m`.
    Q4K,
    /// 256 values: as [`Encoding::Q4K`] with a fifth bit per value.
    Q5K,
    /// 256 values: 6 bits each, sixteen signed 8-bit scales, f16 `d`; `d · sc · (q − 32)`.
    Q6K,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Returns ggml's name.
    pub fn name(self) -> &'static str {
        ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"][self as usize]
    }

    /// Returns the storage type that holds all of its values exactly. `Q5_*`, `Q6_K` and `BF16` take more bits there
    /// than in the file.
    pub fn exact(self) -> WeightType {
        match self {
            Self::F32 | Self::Bf16 => WeightType::F32,
            Self::F16 => WeightType::F16,
            Self::Q4_0 => WeightType::Q4,
            Self::Q4_1 => WeightType::Q4_1,
            Self::Q5_1 => WeightType::Q5_1,
            Self::Q5_0 | Self::Q8_0 => WeightType::Q8,
            Self::Q4K => WeightType::Q4K,
            Self::Q5K => WeightType::Q5K,
            Self::Q6K => WeightType::Q6K,
        }
    }

    /// Values and bytes of a block.
    pub fn block(self) -> (u32, u32) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// Bytes of a row of `k` values.
    ///
    /// # Errors
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) if `k` is no whole number of blocks.
    pub fn row_bytes(self, k: u64) -> Result<u64> {
        let (values, bytes) = self.block();
        let whole = k > 0 && k.is_multiple_of(u64::from(values)) && k < 1 << 40;
        ensure!(whole, Tensor, "tensor", "rows of {k} values are no whole number of {} blocks", self.name());
        Ok(k / u64::from(values) * u64::from(bytes))
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
