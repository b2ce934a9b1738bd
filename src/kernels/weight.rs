//! How kernels see a stored matrix: 16-byte blocks in group-major order, and scales.

use crate::pass::{Buf, Words};
use crate::quant::WeightType;
use half::f16;

/// One tile of a matrix `[N, K]` on a device: rows `first_row .. first_row + rows` of `N`.
///
/// `blocks` holds 16-byte blocks in the order `[K/B][rows]`, `B` values of a row each; `scales` (Q8, Q4) one
/// f16 per 32 values in the order `[K/32][rows]`, two in a word. See [`crate::quant`].
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Storage type.
    pub kind: WeightType,
    /// Row of the whole matrix where this tile begins.
    pub first_row: u32,
    /// Rows in this tile.
    pub rows: u32,
    /// `K`, values per row.
    pub cols: u32,
    /// The block plane.
    pub blocks: Buf,
    /// The scale plane; an unused buffer for F32 and F16, because bindings are fixed.
    pub scales: Buf,
}

/// The value of `const WEIGHT_TYPE` in shaders: the place in [`WeightType::ALL`].
pub(crate) fn code(kind: WeightType) -> u32 {
    kind as u32
}

/// Values per 16-byte block, by code.
pub(crate) fn block_values(code: u32) -> usize {
    WeightType::ALL[code as usize].block_values() as usize
}

/// Scale of `row` in group `group` of 32 columns: two f16 in a word, even index in the low half.
fn scale(scales: &Words, index: usize) -> f32 {
    let word = scales.0[index / 2];
    f16::from_bits((word >> (16 * (index % 2))) as u16).to_f32()
}

/// Dequantises block `kb` of `row` into `out` (as many values as a block holds). The twin of `load_block`
/// in the shaders.
pub(crate) fn load_block(
    code: u32,
    blocks: &Words,
    scales: &Words,
    rows: usize,
    kb: usize,
    row: usize,
    out: &mut [f32],
) {
    let words = &blocks.0[(kb * rows + row) * 4..][..4];
    let byte = |i: usize| (words[i / 4] >> (8 * (i % 4))) as u8;
    match code {
        0 => out.iter_mut().zip(words).for_each(|(v, w)| *v = f32::from_bits(*w)),
        1 => out.iter_mut().enumerate().for_each(|(i, v)| {
            *v = f16::from_bits((words[i / 2] >> (16 * (i % 2))) as u16).to_f32();
        }),
        2 => {
            let d = scale(scales, kb / 2 * rows + row);
            out.iter_mut().enumerate().for_each(|(i, v)| *v = d * f32::from(byte(i) as i8));
        }
        _ => {
            let d = scale(scales, kb * rows + row);
            for i in 0..16 {
                out[i] = d * (f32::from(byte(i) & 15) - 8.0);
                out[i + 16] = d * (f32::from(byte(i) >> 4) - 8.0);
            }
        }
    }
}
