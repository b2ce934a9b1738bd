//! The rows of `x` in the layout of a mat-mul: groups of 32 bytes with a common scale, or steps of 8 floats.
//!
//! `x = d · q` with `d = max |x| / 127` and `q` the nearest integer, as in ggml's `Q8_0`, which its products with 4-bit
//! weights use; here `d` is f32. The order is `[K / step][M][step]`: a block of weights meets the same step of all
//! rows.
#![allow(unsafe_code)] // SIMD; see `simd`

use super::Workspace;
use super::panel::as_bytes;
use super::simd::{Job, Simd};
use super::thread_pool::Shared;
use crate::quant::WeightType;
use std::ops::Range;

/// Integers per step: the values with a common scale.
pub(super) const GROUP: usize = 32;
/// Floats per step.
pub(super) const FLOATS_PER_STEP: usize = 8;

/// What quantising a value takes, in the time of a multiply-add.
const WORK_PER_VALUE: usize = 16;

/// The prepared rows `[M, K]`. Every mat-mul reuses their memory.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// The steps of all rows: integers in the order of the products, or floats.
    pub words: Vec<i32>,
    /// `[K/32][M]`: the scales `d`.
    pub scales: Vec<f32>,
    /// `[K/32][M]`: the sums of the first and of the last 16 integers of a group.
    pub sums: Vec<[i32; 2]>,
}

impl Activations {
    /// Quantises `x [m, k]` to be multiplied by weights of type `kind`; `k` is a multiple of 32.
    pub fn integers(&mut self, workspace: &Workspace, kind: WeightType, x: &[f32], m: usize, k: usize) {
        assert!(x.len() == m * k && k.is_multiple_of(GROUP), "[{m}, {k}] of {}", x.len());
        let groups = m * k / GROUP;
        self.words.resize(groups * 16, 0);
        self.scales.resize(groups, 0.0);
        self.sums.resize(groups, [0; 2]);
        let to = To {
            words: Shared::new(&mut self.words),
            scales: Shared::new(&mut self.scales),
            sums: Shared::new(&mut self.sums),
        };
        let level = workspace.level;
        workspace.ranges(m, k * WORK_PER_VALUE, &|rows| {
            // SAFETY: `to` has room for `m` rows; parts have disjoint rows.
            unsafe { level.run(Quantize { to, kind: kind as u32, x, m, k, rows }) };
        });
    }

    /// Copies `x [m, k]`, with zeros up to a whole step.
    pub fn floats(&mut self, workspace: &Workspace, x: &[f32], m: usize, k: usize) {
        self.words.resize(k.div_ceil(FLOATS_PER_STEP) * m * FLOATS_PER_STEP, 0);
        let words = Shared::new(&mut self.words);
        workspace.ranges(m, k, &|rows| {
            for row in rows {
                for (step, x) in x[row * k..][..k].chunks(FLOATS_PER_STEP).enumerate() {
                    let mut values = [0; FLOATS_PER_STEP];
                    values.iter_mut().zip(x).for_each(|(to, x)| *to = x.to_bits() as i32);
                    // SAFETY: `words` has this step of each of `m` rows; parts have disjoint rows.
                    unsafe { *words.pointer().add((step * m + row) * FLOATS_PER_STEP).cast() = values };
                }
            }
        });
    }
}

/// The memory of [`Activations`], of which each part of a job writes rows of its own.
#[derive(Clone, Copy)]
struct To {
    words: Shared<i32>,
    scales: Shared,
    sums: Shared<[i32; 2]>,
}

struct Quantize<'a> {
    to: To,
    kind: u32,
    x: &'a [f32],
    m: usize,
    k: usize,
    rows: Range<usize>,
}

impl Job for Quantize<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let bytes = as_bytes::<S>(self.kind);
        let per_group = words_of_group(bytes);
        for (row, x) in self.rows.clone().zip(self.x[self.rows.start * self.k..].chunks_exact(self.k)) {
            for (g, x) in x.chunks_exact(GROUP).enumerate() {
                let at = g * self.m + row;
                let mut q = [0i32; GROUP];
                // Absolute values order as their bits, with infinity and NaN after all numbers.
                let mut most = 0;
                for x in x {
                    most = most.max(x.to_bits() & (u32::MAX >> 1));
                }
                let most = f32::from_bits(most);
                let scale = if most.is_finite() { most / 127.0 } else { f32::NAN };
                if scale >= f32::MIN_POSITIVE {
                    let inverse = 127.0 / most;
                    for (q, x) in q.chunks_exact_mut(S::W).zip(x.chunks_exact(S::W)) {
                        let scaled = unsafe { S::mul(S::load(x.as_ptr()), S::splat(inverse)) };
                        unsafe { S::store_i(q.as_mut_ptr(), S::nearest(scaled)) };
                    }
                }
                unsafe {
                    *self.to.scales.pointer().add(at) = scale;
                    *self.to.sums.pointer().add(at) = [q[..16].iter().sum(), q[16..].iter().sum()];
                    pack(
                        bytes,
                        &q,
                        std::slice::from_raw_parts_mut(self.to.words.pointer().add(at * per_group), per_group),
                    );
                }
            }
        }
    }
}

/// Returns the number of words of a group of 32 integers: bytes, or pairs of i16.
pub(super) const fn words_of_group(bytes: bool) -> usize {
    if bytes { 8 } else { 16 }
}

/// Packs four values as the bytes of a word, or as the pairs (0, 2) and (1, 3) in two words: the order in which the
/// bytes of weights are unpacked.
#[inline(always)]
fn pack(bytes: bool, q: &[i32; GROUP], words: &mut [i32]) {
    if bytes {
        for (word, q) in words.iter_mut().zip(q.chunks_exact(4)) {
            *word = q[0] & 255 | (q[1] & 255) << 8 | (q[2] & 255) << 16 | q[3] << 24;
        }
    } else {
        for (words, q) in words.chunks_exact_mut(2).zip(q.chunks_exact(4)) {
            words[0] = q[0] & 0xffff | q[2] << 16;
            words[1] = q[1] & 0xffff | q[3] << 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Level;
    use crate::cpu::thread_pool::SingleThread;

    #[test]
    fn values_that_are_not_finite_stay_so_and_disturb_no_other_row() {
        for (level, kind) in Level::available().into_iter().flat_map(|l| [(l, WeightType::Q4), (l, WeightType::Q8)]) {
            let mut x = [1.0, -127.0].repeat(64);
            (x[32 + 3], x[64 + 31], x[96]) = (f32::NAN, f32::NEG_INFINITY, 2.0);
            x[97..].fill(1e-40);
            let (mut to, workspace) = (Activations::default(), Workspace::new(level, Box::new(SingleThread)));
            to.integers(&workspace, kind, &x, 4, GROUP);
            assert_eq!((to.scales[0], to.sums[0]), (1.0, [8 * (1 - 127); 2]), "{level:?}");
            assert!(to.scales[1].is_nan() && to.scales[2].is_nan(), "{level:?}");
            assert_eq!([to.sums[1], to.sums[2]], [[0; 2]; 2], "{level:?}");
            assert_eq!(to.sums[3], [127, 0], "{level:?}");
            to.integers(&workspace, kind, &[1e-40; GROUP], 1, GROUP);
            assert_eq!(to.sums[0], [0; 2], "{level:?}");
        }
    }
}
