//! How weights are stored: four types, one block layout for shards, GPU and CPU alike.
//!
//! A matrix `W [N, K]` (rows are outputs, as Hugging Face stores them) is cut into blocks of 16 bytes, one
//! `vec4<u32>`, each holding `B` consecutive values of one row. Blocks are *group-major*: block
//! `kb · N + n` holds `W[n, kb·B .. (kb+1)·B]`, so that neighbouring threads, which own neighbouring rows,
//! read neighbouring blocks. Loading is therefore a copy.
//!
//! | type | `B` | block | value |
//! |---|---|---|---|
//! | `f32` | 4 | 4 floats | `w` |
//! | `f16` | 8 | 8 halves | `w` |
//! | `q8` | 16 | 16 signed bytes | `w = d·q` |
//! | `q4` | 32 | byte `j`: value `j` in the low nibble, value `j + 16` in the high one | `w = d·(q − 8)` |
//!
//! `q8` and `q4` have a second plane: the scales `d`, one f16 per group of 32 values, `[K/32][N]` (flat index
//! `g · N + n`, two per `u32`), padded with zeros to a multiple of 4 bytes. Everything is little-endian.
//!
//! # Source
//! The `q4` block is ggml's `Q4_0` without its scale: the same values in the same order, so repacking is a
//! copy of nibbles.

use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use half::f16;
use pack::pack_group;
use serde::{Deserialize, Serialize};

pub use encoding::Encoding;

mod encoding;
mod pack;
#[cfg(test)]
mod tests;

/// Bytes of a block: one `vec4<u32>`.
pub const BLOCK_BYTES: u64 = 16;
/// Values that share a scale in `q8` and `q4`.
pub const GROUP: u32 = 32;
/// Largest storage binding that every WebGPU device has (`maxStorageBufferBindingSize`, default 128 MiB).
pub const MAX_BINDING: u64 = 128 << 20;

/// How a matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 32 bits per value.
    F32,
    /// 16 bits per value.
    F16,
    /// 8.5 bits per value: groups of 32 bytes with an f16 scale.
    Q8,
    /// 4.5 bits per value: groups of 32 nibbles with an f16 scale.
    Q4,
}

impl WeightType {
    /// All of them, the widest first.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8, Self::Q4];

    /// `B`, values per block of 16 bytes.
    pub fn block_values(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F16 => 8,
            Self::Q8 => 16,
            Self::Q4 => 32,
        }
    }

    /// Whether there is a plane of scales.
    pub fn has_scales(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }

    /// `K` must be a multiple of this: a whole number of blocks, and of groups where there are scales.
    pub fn k_multiple(self) -> u32 {
        if self.has_scales() { GROUP } else { self.block_values() }
    }

    /// The name in manifests and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

impl std::fmt::Display for WeightType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for WeightType {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|t| t.name() == name) {
            Some(weight_type) => Ok(weight_type),
            None => fail!(Argument, "weight type", "`{name}` is unknown (f32, f16, q8, q4)"),
        }
    }
}

/// Bytes of the two planes of a `[n, k]` matrix: blocks, scales (0 without scales).
///
/// # Errors
/// [`Kind::Tensor`] if a side is zero or `k` is no multiple of [`WeightType::k_multiple`].
pub fn plane_bytes(weight_type: WeightType, n: u32, k: u32) -> Result<(u64, u64)> {
    let multiple = weight_type.k_multiple();
    ensure!(n > 0 && k > 0, Tensor, "matrix", "[{n}, {k}] is empty");
    ensure!(
        k.is_multiple_of(multiple),
        Tensor,
        "matrix",
        "[{n}, {k}] as {weight_type}: {k} is not a multiple of {multiple}"
    );
    // Two u32 and a factor of 16 can exceed u64 only in u128.
    let bytes = u128::from(n) * u128::from(k / weight_type.block_values()) * u128::from(BLOCK_BYTES);
    let blocks = match u64::try_from(bytes) {
        Ok(blocks) => blocks,
        Err(_) => fail!(Tensor, "matrix", "[{n}, {k}] is larger than any memory"),
    };
    let scales =
        if weight_type.has_scales() { (u64::from(n) * u64::from(k / GROUP) * 2).next_multiple_of(4) } else { 0 };
    Ok((blocks, scales))
}

/// Bytes of both planes together, as a shard stores them.
///
/// # Errors
/// As [`plane_bytes`].
pub fn stored_bytes(weight_type: WeightType, n: u32, k: u32) -> Result<u64> {
    plane_bytes(weight_type, n, k).map(|(blocks, scales)| blocks + scales)
}

/// The requested type if rows of `k` values fit it, else `f16`, else `f32`: never fewer bits than asked for.
///
/// # Errors
/// [`Kind::Tensor`] if `k` is no multiple of 4: then nothing fits.
pub fn widest_fitting(weight_type: WeightType, k: u32) -> Result<WeightType> {
    let mut choices = [weight_type, WeightType::F16, WeightType::F32].into_iter();
    match choices.find(|t| k > 0 && k.is_multiple_of(t.k_multiple())) {
        Some(found) => Ok(found),
        None => fail!(Tensor, "matrix", "rows of {k} values: not a multiple of 4"),
    }
}

/// Cuts `n` rows into ranges whose block planes each fit one binding ([`MAX_BINDING`]), at multiples of 32
/// rows, as equal as that allows.
///
/// # Errors
/// As [`plane_bytes`].
pub fn row_tiles(weight_type: WeightType, n: u32, k: u32) -> Result<Vec<[u32; 2]>> {
    row_tiles_within(weight_type, n, k, MAX_BINDING)
}

fn row_tiles_within(weight_type: WeightType, n: u32, k: u32, limit: u64) -> Result<Vec<[u32; 2]>> {
    let (blocks, _) = plane_bytes(weight_type, n, k)?;
    if blocks <= limit {
        return Ok(vec![[0, n]]);
    }
    let most = (limit / (blocks / u64::from(n))) as u32 / 32 * 32;
    ensure!(most > 0, Tensor, "matrix", "32 rows of {k} values as {weight_type} exceed a binding of {limit} bytes");
    let rows = n.div_ceil(n.div_ceil(most)).next_multiple_of(32);
    Ok((0..n.div_ceil(rows)).map(|i| [i * rows, ((i + 1) * rows).min(n)]).collect())
}

/// Row-major values → both planes, blocks first.
///
/// # Shapes
/// `rows`: `[n, k]`.
///
/// # Errors
/// [`Kind::Tensor`] for a shape that does not fit, and for a value that the type cannot hold (NaN, infinity,
/// beyond f16), naming its row and column.
pub fn quantize(weight_type: WeightType, n: u32, k: u32, rows: &[f32]) -> Result<Vec<u8>> {
    let mut planes = vec![0; stored_bytes(weight_type, n, k)? as usize];
    quantize_rows(weight_type, n, k, 0, rows, &mut planes)?;
    Ok(planes)
}

/// Writes rows `first_row ..` into the planes of a whole matrix, so that a converter never holds more than a
/// few rows as floats. How many rows follows from `rows.len() / k`.
///
/// # Errors
/// As [`quantize`].
pub fn quantize_rows(
    weight_type: WeightType,
    n: u32,
    k: u32,
    first_row: u32,
    rows: &[f32],
    planes: &mut [u8],
) -> Result<()> {
    let (block_bytes, scale_bytes) = plane_bytes(weight_type, n, k)?;
    let (n, k, first_row) = (n as usize, k as usize, first_row as usize);
    let here = rows.len() / k;
    ensure!(
        rows.len().is_multiple_of(k) && first_row + here <= n && planes.len() as u64 == block_bytes + scale_bytes,
        Tensor,
        "matrix",
        "{} values from row {first_row} on, for planes of {} bytes, do not fit [{n}, {k}]",
        rows.len(),
        planes.len()
    );
    let (blocks, scales) = planes.split_at_mut(block_bytes as usize);
    let per_block = weight_type.block_values() as usize;
    let blocks_per_group = weight_type.k_multiple() as usize / per_block;
    for (i, row) in rows.chunks_exact(k).enumerate() {
        let row_index = first_row + i;
        for (g, group) in row.chunks_exact(weight_type.k_multiple() as usize).enumerate() {
            let mut packed = [0; 2 * BLOCK_BYTES as usize];
            let scale = pack_group(weight_type, group, &mut packed).map_err(|what| {
                Error::new(Kind::Tensor, format!("row {row_index}, columns {}..", g * group.len()), what)
            })?;
            for (b, block) in packed.chunks_exact(BLOCK_BYTES as usize).take(blocks_per_group).enumerate() {
                let index = (g * blocks_per_group + b) * n + row_index;
                blocks[index * BLOCK_BYTES as usize..][..BLOCK_BYTES as usize].copy_from_slice(block);
            }
            if weight_type.has_scales() {
                scales[(g * n + row_index) * 2..][..2].copy_from_slice(&scale.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// Both planes → row-major values.
///
/// # Shapes
/// Returns `[n, k]`.
///
/// # Errors
/// [`Kind::Tensor`] if `planes` is not as long as the shape says.
pub fn dequantize(weight_type: WeightType, n: u32, k: u32, planes: &[u8]) -> Result<Vec<f32>> {
    let (block_bytes, scale_bytes) = plane_bytes(weight_type, n, k)?;
    ensure!(
        planes.len() as u64 == block_bytes + scale_bytes,
        Tensor,
        "matrix",
        "{} bytes for [{n}, {k}] as {weight_type}, which has {}",
        planes.len(),
        block_bytes + scale_bytes
    );
    let (blocks, scales) = planes.split_at(block_bytes as usize);
    let (n, k, per_block) = (n as usize, k as usize, weight_type.block_values() as usize);
    let mut rows = vec![0.0; n * k];
    for (index, block) in blocks.chunks_exact(BLOCK_BYTES as usize).enumerate() {
        let (kb, row) = (index / n, index % n);
        let out = &mut rows[row * k + kb * per_block..][..per_block];
        let scale = || {
            let at = (kb * per_block / GROUP as usize * n + row) * 2;
            f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32()
        };
        match weight_type {
            WeightType::F32 => {
                for (w, b) in out.iter_mut().zip(block.chunks_exact(4)) {
                    *w = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            WeightType::F16 => {
                for (w, b) in out.iter_mut().zip(block.chunks_exact(2)) {
                    *w = f16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            WeightType::Q8 => {
                let d = scale();
                for (w, &b) in out.iter_mut().zip(block) {
                    *w = d * f32::from(b as i8);
                }
            }
            WeightType::Q4 => {
                let d = scale();
                for (j, &b) in block.iter().enumerate() {
                    out[j] = d * (f32::from(b & 15) - 8.0);
                    out[j + 16] = d * (f32::from(b >> 4) - 8.0);
                }
            }
        }
    }
    Ok(rows)
}
