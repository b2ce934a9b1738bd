//! Planes → values: the CPU reference for every weight type.

use super::{BLOCK_BYTES, GROUP, SUPER, WeightType, plane_bytes};
use crate::ensure;
use crate::error::Result;
use half::f16;

/// The planes of a matrix `[n, k]`.
#[derive(Debug, Clone, Copy)]
pub struct WeightTile<'a> {
    /// Storage type.
    pub weight_type: WeightType,
    /// Rows.
    pub n: usize,
    /// Values per row.
    pub k: usize,
    /// The block plane.
    pub blocks: &'a [u8],
    /// Groups, then supers; empty where the type has none.
    pub scales: &'a [u8],
}

impl WeightTile<'_> {
    /// Dequantises block `kb` of `row` into `out`, which has [`WeightType::block_values`] values.
    ///
    /// # Numerics
    /// f32, in ggml's order of operations, so that the values are bit-equal to [`decode`](super::decode())'s.
    pub fn load(&self, kb: usize, row: usize, out: &mut [f32]) {
        let block = &self.blocks[(kb * self.n + row) * BLOCK_BYTES as usize..][..BLOCK_BYTES as usize];
        match self.weight_type {
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
                let d = self.f16((kb / 2 * self.n + row) * 2);
                signed(block, out, |q| d * q);
            }
            WeightType::Q4 => {
                let d = self.f16((kb * self.n + row) * 2);
                nibbles(block, out, |q| d * (q - 8.0));
            }
            WeightType::Q4_1 => {
                let (d, m) = self.f16_pair((kb * self.n + row) * 4);
                nibbles(block, out, |q| d * q + m);
            }
            WeightType::Q5_1 => {
                let (d, m) = self.f16_pair((kb / 2 * self.n + row) * 4);
                unsigned(block, out, |q| d * q + m);
            }
            WeightType::Q4K => {
                let (d, m) = self.scale_and_minimum(kb, row);
                nibbles(block, out, |q| d * q - m);
            }
            WeightType::Q5K => {
                let (d, m) = self.scale_and_minimum(kb / 2, row);
                unsigned(block, out, |q| d * q - m);
            }
            WeightType::Q6K => {
                let group = kb / 2;
                let scale = self.scales[(group * self.n + row) * 2 + kb % 2] as i8;
                let d = self.super_pair(group, row).0 * f32::from(scale);
                signed(block, out, |q| d * q);
            }
        }
    }

    /// The f16 at byte `at` of the scales.
    fn f16(&self, at: usize) -> f32 {
        f16::from_le_bytes([self.scales[at], self.scales[at + 1]]).to_f32()
    }

    /// The two f16 from byte `at` of the scales on.
    fn f16_pair(&self, at: usize) -> (f32, f32) {
        (self.f16(at), self.f16(at + 2))
    }

    /// `d`, `dmin` of the 256 values around `group`. (256 values make eight groups: no padding before them.)
    fn super_pair(&self, group: usize, row: usize) -> (f32, f32) {
        let supers = self.k / GROUP as usize * self.n * 2;
        self.f16_pair(supers + (group / (SUPER / GROUP) as usize * self.n + row) * 4)
    }

    /// `d · sc`, `dmin · m` of a group of `q4_k` or `q5_k`.
    fn scale_and_minimum(&self, group: usize, row: usize) -> (f32, f32) {
        let at = (group * self.n + row) * 2;
        let (d, dmin) = self.super_pair(group, row);
        (d * f32::from(self.scales[at]), dmin * f32::from(self.scales[at + 1]))
    }
}

/// Converts nibbles: byte `j` holds values `j` (low nibble) and `j + 16`.
fn nibbles(block: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &b) in low.iter_mut().zip(high).zip(block) {
        *low = value(f32::from(b & 15));
        *high = value(f32::from(b >> 4));
    }
}

fn unsigned(block: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    out.iter_mut().zip(block).for_each(|(w, &b)| *w = value(f32::from(b)));
}

fn signed(block: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    out.iter_mut().zip(block).for_each(|(w, &b)| *w = value(f32::from(b as i8)));
}

/// Dequantises all planes to row-major values.
///
/// # Shapes
/// Returns `[n, k]`.
///
/// # Errors
/// [`Kind::Tensor`](crate::error::Kind::Tensor) if `planes` is not as long as the shape says.
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
    let tile = WeightTile { weight_type, n: n as usize, k: k as usize, blocks, scales };
    let per_block = weight_type.block_values() as usize;
    let mut rows = vec![0.0; tile.n * tile.k];
    for (row, values) in rows.chunks_exact_mut(tile.k).enumerate() {
        for (kb, values) in values.chunks_exact_mut(per_block).enumerate() {
            tile.load(kb, row, values);
        }
    }
    Ok(rows)
}
