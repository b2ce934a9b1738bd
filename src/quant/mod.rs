//! Storage of weights: nine types, one block layout for shards, GPU and CPU.
//!
//! A matrix `W [N, K]` (rows are outputs, as Hugging Face stores them) is cut into blocks of 16 bytes, one
//! `vec4<u32>`, each holding `B` consecutive values of one row. Blocks are *group-major*: block
//! `kb · N + n` holds `W[n, kb·B .. (kb+1)·B]`, so that neighbouring threads, which own neighbouring rows,
//! read neighbouring blocks. Loading is therefore a copy.
//!
//! | type | `B` | block | value | group plane | super plane |
//! |---|---|---|---|---|---|
//! | `f32` | 4 | 4 floats | `w` | | |
//! | `f16` | 8 | 8 f16 | `w` | | |
//! | `q8` | 16 | 16 signed bytes | `w = d·q` | f16 `d` | |
//! | `q4` | 32 | nibbles | `w = d·(q − 8)` | f16 `d` | |
//! | `q4_1` | 32 | nibbles | `w = d·q + m` | f16 `d`, f16 `m` | |
//! | `q5_1` | 16 | 16 bytes 0 … 31 | `w = d·q + m` | f16 `d`, f16 `m` | |
//! | `q4_k` | 32 | nibbles | `w = d·sc·q − dmin·m` | u8 `sc`, u8 `m` | f16 `d`, f16 `dmin` |
//! | `q5_k` | 16 | 16 bytes 0 … 31 | `w = d·sc·q − dmin·m` | u8 `sc`, u8 `m` | f16 `d`, f16 `dmin` |
//! | `q6_k` | 16 | 16 signed bytes −32 … 31 | `w = d·sc·q` | i8 `sc` of values 0 … 15, of 16 … 31 | f16 `d`, 0 |
//!
//! Nibbles: byte `j` has value `j` in its low nibble, value `j + 16` in its high one.
//! The group plane `[K/32][N]` has an entry per 32 values of a row (flat index `g · N + n`), then zeros up to a
//! multiple of 4 bytes; the super plane `[K/256][N]` one per 256. Both are one buffer, the *scales*. Everything is
//! little-endian.
//!
//! The types after `q4` exist for GGUF files: only [`repack()`] makes them, without changing a value. Values of 5 and 6
//! bits are stored as bytes, which kernels read faster than they could join their bits.
//!
//! # Source
//! The values and their formulas are ggml's (see [`Encoding`]).

use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use pack::pack_group;
use serde::{Deserialize, Serialize};

pub use decode::decode;
pub use encoding::Encoding;
pub use repack::repack;
pub use tile::{WeightTile, dequantize};

mod decode;
mod encoding;
mod pack;
mod repack;
#[cfg(test)]
mod tests;
mod tile;

/// Bytes of a block: one `vec4<u32>`.
pub const BLOCK_BYTES: u64 = 16;
/// Values that share an entry of the group plane.
pub const GROUP: u32 = 32;
/// Values that share an entry of the super plane.
pub const SUPER: u32 = 256;
/// Largest storage binding that every WebGPU device has (`maxStorageBufferBindingSize`, default 128 MiB).
pub const MAX_BINDING: u64 = 128 << 20;

/// Storage type of a matrix.
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
    /// 5 bits per value: groups of 32 nibbles with f16 scale and minimum.
    Q4_1,
    /// 9 bits per value: groups of 32 bytes with f16 scale and minimum.
    Q5_1,
    /// 4.625 bits per value: nibbles, integer scales and minima under f16 ones.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 8.625 bits per value: bytes, integer scales and minima under f16 ones.
    #[serde(rename = "q5_k")]
    Q5K,
    /// 8.625 bits per value: bytes, two integer scales per group under an f16 one.
    #[serde(rename = "q6_k")]
    Q6K,
}

impl WeightType {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::F32, Self::F16, Self::Q8, Self::Q4, Self::Q4_1, Self::Q5_1, Self::Q4K, Self::Q5K, Self::Q6K];
    /// The types that [`quantize`] makes, the widest first.
    pub const FROM_FLOATS: [Self; 4] = [Self::F32, Self::F16, Self::Q8, Self::Q4];

    /// `B`, values per block of 16 bytes.
    pub fn block_values(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F16 => 8,
            Self::Q8 | Self::Q5_1 | Self::Q5K | Self::Q6K => 16,
            Self::Q4 | Self::Q4_1 | Self::Q4K => 32,
        }
    }

    /// Bytes of an entry of the group plane; 0 for a type without groups.
    fn group_bytes(self) -> u32 {
        match self {
            Self::F32 | Self::F16 => 0,
            Self::Q4_1 | Self::Q5_1 => 4,
            Self::Q8 | Self::Q4 | Self::Q4K | Self::Q5K | Self::Q6K => 2,
        }
    }

    fn has_supers(self) -> bool {
        matches!(self, Self::Q4K | Self::Q5K | Self::Q6K)
    }

    /// Whether there is a buffer of scales.
    pub fn has_scales(self) -> bool {
        self.group_bytes() > 0
    }

    /// `K` must be a multiple of this: a whole number of blocks, and of groups and supers where there are any.
    pub fn k_multiple(self) -> u32 {
        match (self.has_supers(), self.has_scales()) {
            (true, _) => SUPER,
            (false, true) => GROUP,
            (false, false) => self.block_values(),
        }
    }

    /// The name in manifests and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
            Self::Q4_1 => "q4_1",
            Self::Q5_1 => "q5_1",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
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

/// One plane of a matrix as [`stored_bytes`] counts it: `strips` strips of `n · row_bytes` bytes, one entry per row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// Its first byte in the stored bytes.
    pub offset: u64,
    /// Strips: `K / B`, `K / 32` or `K / 256`.
    pub strips: u32,
    /// Bytes of one row in a strip.
    pub row_bytes: u32,
}

/// Lists the planes of a `[n, k]` matrix: blocks, then groups and supers where the type has them.
///
/// # Errors
/// As [`plane_bytes`].
pub fn planes(weight_type: WeightType, n: u32, k: u32) -> Result<Vec<Plane>> {
    let (blocks, scales) = plane_bytes(weight_type, n, k)?;
    let strips = k / weight_type.block_values();
    let mut planes = vec![Plane { offset: 0, strips, row_bytes: BLOCK_BYTES as u32 }];
    if weight_type.has_scales() {
        planes.push(Plane { offset: blocks, strips: k / GROUP, row_bytes: weight_type.group_bytes() });
    }
    if weight_type.has_supers() {
        let bytes = u64::from(n) * u64::from(k / SUPER) * 4;
        planes.push(Plane { offset: blocks + scales - bytes, strips: k / SUPER, row_bytes: 4 });
    }
    Ok(planes)
}

/// Returns the bytes of a `[n, k]` matrix: blocks, and scales (groups and supers together; 0 without scales).
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
    let groups = u64::from(n) * u64::from(k / GROUP) * u64::from(weight_type.group_bytes());
    let supers = if weight_type.has_supers() { u64::from(n) * u64::from(k / SUPER) * 4 } else { 0 };
    Ok((blocks, groups.next_multiple_of(4) + supers))
}

/// Returns the bytes of all planes together, as a shard stores them.
///
/// # Errors
/// As [`plane_bytes`].
pub fn stored_bytes(weight_type: WeightType, n: u32, k: u32) -> Result<u64> {
    plane_bytes(weight_type, n, k).map(|(blocks, scales)| blocks + scales)
}

/// Returns the requested type if rows of `k` values fit it, else `f16`, else `f32`: never fewer bits than requested.
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

/// Quantises row-major values to planes, blocks first.
///
/// # Shapes
/// `rows`: `[n, k]`.
///
/// # Errors
/// [`Kind::Argument`] for a type that is not in [`WeightType::FROM_FLOATS`]; [`Kind::Tensor`] for a shape that does not
/// fit, and for a value that the type cannot hold (NaN, infinity, beyond f16), naming its row and column.
pub fn quantize(weight_type: WeightType, n: u32, k: u32, rows: &[f32]) -> Result<Vec<u8>> {
    let mut planes = vec![0; stored_bytes(weight_type, n, k)? as usize];
    quantize_rows(weight_type, n, k, 0, rows, &mut planes)?;
    Ok(planes)
}

/// Writes rows `first_row ..` into the planes of a whole matrix, so that a converter holds only a few rows as floats.
/// The number of rows is `rows.len() / k`.
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
    let ours = WeightType::FROM_FLOATS.contains(&weight_type);
    ensure!(
        ours,
        Argument,
        "weight type",
        "{weight_type} holds what GGUF files hold; floats become f32, f16, q8 or q4"
    );
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
