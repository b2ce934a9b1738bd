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
use serde::{Deserialize, Serialize};

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
    ensure!(k % multiple == 0, Tensor, "matrix", "[{n}, {k}] as {weight_type}: {k} is not a multiple of {multiple}");
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
    match choices.find(|t| k > 0 && k % t.k_multiple() == 0) {
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
        rows.len() % k == 0 && first_row + here <= n && planes.len() as u64 == block_bytes + scale_bytes,
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

/// One group (a block of f32 or f16, 32 values of q8 or q4) → its bytes in `packed`, and its scale.
fn pack_group(weight_type: WeightType, group: &[f32], packed: &mut [u8; 32]) -> std::result::Result<f16, String> {
    if let Some(j) = group.iter().position(|w| !w.is_finite()) {
        return Err(format!("value {j} of these is {}", group[j]));
    }
    match weight_type {
        WeightType::F32 => {
            for (b, w) in packed.chunks_exact_mut(4).zip(group) {
                b.copy_from_slice(&w.to_le_bytes());
            }
            Ok(f16::ZERO)
        }
        WeightType::F16 => {
            for (b, &w) in packed.chunks_exact_mut(2).zip(group) {
                b.copy_from_slice(&finite_half(w)?.to_le_bytes());
            }
            Ok(f16::ZERO)
        }
        WeightType::Q8 => pack_q8(group, packed),
        WeightType::Q4 => pack_q4(group, packed),
    }
}

/// Rounds to f16, refusing what would become infinite.
fn finite_half(w: f32) -> std::result::Result<f16, String> {
    let half = f16::from_f32(w);
    if half.is_finite() { Ok(half) } else { Err(format!("{w} is beyond the largest f16 (65504); store it as f32")) }
}

/// `d = max|w| / 127`, rounded to f16 first and then used to quantise, so that the rounding of `d` costs nothing
/// where it can be absorbed.
fn pack_q8(group: &[f32], packed: &mut [u8; 32]) -> std::result::Result<f16, String> {
    let amax = group.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let scale = finite_half(amax / 127.0)?;
    let d = scale.to_f32();
    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
    for (b, w) in packed.iter_mut().zip(group) {
        *b = (w * inverse).round().clamp(-127.0, 127.0) as i8 as u8;
    }
    Ok(scale)
}

/// Tries a few scales, each rounded to f16, and keeps the one of least squared error.
///
/// The first is ggml's (the value of largest magnitude becomes −8), the second spreads least and greatest
/// over −8 … 7; both are exact where the weights already are `d·(−8 … 7)`. The others trade the clipping of
/// one end for a finer grid. The best is then refined by least squares: `d = Σ w·q / Σ q²`.
fn pack_q4(group: &[f32], packed: &mut [u8; 32]) -> std::result::Result<f16, String> {
    let signed_max = group.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let (min, max) = group.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &w| (lo.min(w), hi.max(w)));
    let first = finite_half(signed_max / -8.0)?;
    let mut best = (squared_error(group, first.to_f32()), first);
    // Halved before they are subtracted: the range of two finite floats need not be finite.
    let range = (max / 2.0 - min / 2.0) / 7.5;
    for candidate in [range, -range, signed_max / -7.5, signed_max / -7.0] {
        try_scale(group, candidate, &mut best);
    }
    if best.0 > 0.0 {
        let (mut wq, mut qq) = (0.0f64, 0.0f64);
        for &w in group {
            let q = f64::from(nibble(w, best.1.to_f32())) - 8.0;
            wq += f64::from(w) * q;
            qq += q * q;
        }
        if qq > 0.0 {
            try_scale(group, (wq / qq) as f32, &mut best);
        }
    }
    let d = best.1.to_f32();
    for (j, b) in packed.iter_mut().take(16).enumerate() {
        *b = nibble(group[j], d) | nibble(group[j + 16], d) << 4;
    }
    Ok(best.1)
}

fn try_scale(group: &[f32], d: f32, best: &mut (f64, f16)) {
    let half = f16::from_f32(d);
    if best.0 > 0.0 && half.is_finite() {
        let error = squared_error(group, half.to_f32());
        if error < best.0 {
            *best = (error, half);
        }
    }
}

fn nibble(w: f32, d: f32) -> u8 {
    // A zero scale makes every value 0, which is nibble 8.
    if d == 0.0 { 8 } else { ((w / d).round() + 8.0).clamp(0.0, 15.0) as u8 }
}

fn squared_error(group: &[f32], d: f32) -> f64 {
    let one = |&w: &f32| f64::from(w) - f64::from(d) * (f64::from(nibble(w, d)) - 8.0);
    group.iter().map(|w| one(w) * one(w)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Deterministic values in −1 … 1 without a generator crate.
    fn noise(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn planes_have_the_documented_sizes() {
        assert_eq!(plane_bytes(WeightType::F32, 3, 8).unwrap(), (96, 0));
        assert_eq!(plane_bytes(WeightType::F16, 3, 8).unwrap(), (48, 0));
        assert_eq!(plane_bytes(WeightType::Q8, 3, 64).unwrap(), (192, 12));
        assert_eq!(plane_bytes(WeightType::Q4, 3, 32).unwrap(), (48, 8), "three scales are padded to four");
        assert!(plane_bytes(WeightType::Q4, 3, 48).is_err());
        assert!(plane_bytes(WeightType::F32, 0, 4).is_err());
        assert!(plane_bytes(WeightType::F32, u32::MAX, u32::MAX - 3).is_err(), "more than u64");
    }

    #[test]
    fn blocks_are_group_major_and_nibbles_in_ggml_order() {
        // Row n, column k holds n·64 + k in f32: block kb·N + n starts with W[n, 4·kb].
        let rows: Vec<f32> = (0..3 * 8).map(|i| i as f32).collect();
        let planes = quantize(WeightType::F32, 3, 8, &rows).unwrap();
        let first_of_block: Vec<f32> =
            planes.chunks(16).map(|b| f32::from_le_bytes(b[..4].try_into().unwrap())).collect();
        assert_eq!(first_of_block, [0.0, 8.0, 16.0, 4.0, 12.0, 20.0]);
        // q − 8 = −8 … 7 twice: byte j holds values j and j + 16, which here are equal; d is 0.5.
        let row: Vec<f32> = (0..32).map(|j| (j % 16 - 8) as f32 * 0.5).collect();
        let planes = quantize(WeightType::Q4, 1, 32, &row).unwrap();
        let expected: Vec<u8> = (0..16).map(|j| j * 17).collect();
        assert_eq!(planes[..16], expected);
        assert_eq!(planes[16..], [0x00, 0x38, 0, 0], "0.5 in f16, then padding");
    }

    #[test]
    fn a_row_at_a_time_is_the_same_as_all_at_once() {
        let rows = noise(5 * 64);
        for weight_type in WeightType::ALL {
            let whole = quantize(weight_type, 5, 64, &rows).unwrap();
            let mut pieces = vec![0; whole.len()];
            for (i, row) in rows.chunks(64).enumerate().rev() {
                quantize_rows(weight_type, 5, 64, i as u32, row, &mut pieces).unwrap();
            }
            assert!(whole == pieces, "{weight_type}");
            assert!(quantize_rows(weight_type, 5, 64, 5, &rows[..64], &mut pieces).is_err(), "past the end");
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_its_place() {
        for (weight_type, bad) in [
            (WeightType::F32, f32::NAN),
            (WeightType::F16, 7e4),
            (WeightType::Q8, f32::INFINITY),
            (WeightType::Q8, 1e8),
            (WeightType::Q4, f32::NEG_INFINITY),
            (WeightType::Q4, f32::MAX),
        ] {
            let mut rows = noise(3 * 64);
            rows[64 + 33] = bad;
            let error = quantize(weight_type, 3, 64, &rows).unwrap_err();
            assert!(error.kind == Kind::Tensor && error.place.starts_with("row 1, columns 32"), "{error}");
        }
    }

    #[test]
    fn zeros_and_tiny_values_survive() {
        for weight_type in WeightType::ALL {
            let planes = quantize(weight_type, 2, 32, &[0.0; 64]).unwrap();
            assert_eq!(dequantize(weight_type, 2, 32, &planes).unwrap(), [0.0; 64]);
            let planes = quantize(weight_type, 1, 32, &[1e-9; 32]).unwrap();
            assert!(dequantize(weight_type, 1, 32, &planes).unwrap().iter().all(|w| (w - 1e-9).abs() <= 1e-9));
        }
    }

    #[test]
    fn widest_fitting_never_gives_fewer_bits() {
        use WeightType::{F16, F32, Q4, Q8};
        let fits = |t, k| widest_fitting(t, k).unwrap();
        assert_eq!([fits(Q4, 64), fits(Q4, 40), fits(Q8, 36), fits(F32, 64), fits(F16, 4)], [Q4, F16, F32, F32, F32]);
        assert!(widest_fitting(Q4, 6).is_err());
    }

    #[test]
    fn tiles_cover_the_rows_at_multiples_of_32() {
        assert_eq!(row_tiles(WeightType::F16, 32064, 4096).unwrap(), [[0, 16032], [16032, 32064]]);
        assert_eq!(row_tiles(WeightType::Q8, 32064, 4096).unwrap(), [[0, 32064]]);
        for (n, limit) in [(1000, 4096), (1000, 1024), (33, 1024), (65, 2048)] {
            let tiles = row_tiles_within(WeightType::Q4, n, 64, limit).unwrap();
            assert_eq!((tiles[0][0], tiles.last().unwrap()[1]), (0, n));
            assert!(tiles.windows(2).all(|w| w[0][1] == w[1][0] && w[0][1] % 32 == 0));
            assert!(tiles.iter().all(|t| t[0] < t[1] && u64::from(t[1] - t[0]) * 32 <= limit), "{tiles:?}");
        }
        assert!(row_tiles_within(WeightType::F32, 64, 64, 256).is_err(), "not even 32 rows fit");
    }

    proptest! {
        /// Weights of the form `d·(−8 … 7)` with both ends present come back exactly, whatever the sign of d.
        #[test]
        fn exact_nibbles_come_back_exactly(
            mut q in prop::collection::vec(-8i8..8, 32),
            exponent in -12i32..4,
            mantissa in 1024u32..2048,
            ends in (0usize..32, 0usize..31),
            negative: bool,
        ) {
            let d = mantissa as f32 / 1024.0 * 2f32.powi(exponent) * if negative { -1.0 } else { 1.0 };
            q[ends.0] = -8;
            q[(ends.0 + 1 + ends.1) % 32] = 7;
            let row: Vec<f32> = q.iter().map(|&q| d * f32::from(q)).collect();
            let planes = quantize(WeightType::Q4, 1, 32, &row).unwrap();
            prop_assert_eq!(dequantize(WeightType::Q4, 1, 32, &planes).unwrap(), row);
        }

        /// Every value is within half a step of its own, the ends of q4 within one (one end is clipped), plus
        /// what rounding the scale to f16 costs; and quantising what came back changes nothing more than that.
        #[test]
        fn error_is_bounded_by_the_step(row in prop::collection::vec(-4.0f32..4.0, 32)) {
            let amax = row.iter().fold(0f32, |m, w| m.max(w.abs()));
            for (weight_type, step) in [(WeightType::Q8, amax / 127.0), (WeightType::Q4, 2.0 * amax / 7.0)] {
                let planes = quantize(weight_type, 1, 32, &row).unwrap();
                let back = dequantize(weight_type, 1, 32, &planes).unwrap();
                let slack = amax * 1e-3 + 1e-6;
                for (a, b) in row.iter().zip(&back) {
                    prop_assert!((a - b).abs() <= step / 2.0 * 1.01 + slack, "{weight_type}: {a} became {b}");
                }
            }
        }

        /// The search is never worse than ggml's single candidate.
        #[test]
        fn the_search_beats_its_first_candidate(row in prop::collection::vec(-4.0f32..4.0, 32)) {
            let signed_max = row.iter().fold(0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
            let ggml = squared_error(&row, f16::from_f32(signed_max / -8.0).to_f32());
            let back = dequantize(WeightType::Q4, 1, 32, &quantize(WeightType::Q4, 1, 32, &row).unwrap()).unwrap();
            let ours: f64 = row.iter().zip(&back).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            prop_assert!(ours <= ggml + 1e-12, "{ours} > {ggml}");
        }
    }
}
