//! The rows of `x` as a mat-mul reads them: 32 values as bytes with a common scale, or 8 floats.
//!
//! `x = d · q`, `d = max |x| / 127`, `q` the nearest integer: ggml's `Q8_0`, which its own products with 4-bit weights
//! use, with `d` in f32. Order `[K / step][M][step]`, so that a block of weights meets the same step of all rows.
#![allow(unsafe_code)] // SIMD; see `simd`

use super::panel::as_bytes;
use super::simd::{Job, Level, Simd};
use crate::quant::WeightType;

/// Values per step of integers.
pub(super) const GROUP: usize = 32;
/// Values per step of floats.
pub(super) const FLOATS: usize = 8;

/// `[M, K]`, prepared. Memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// Words of a step of a row: integers in the order that products take, or floats.
    pub words: Vec<i32>,
    /// `[K/32][M]`: `d`.
    pub scales: Vec<f32>,
    /// `[K/32][M]`: sums of the integers of both halves of the group.
    pub sums: Vec<[i32; 2]>,
}

impl Activations {
    /// Quantises `x [m, k]` to be multiplied by weights of type `kind`; `k` is a multiple of 32.
    pub fn integers(&mut self, level: Level, kind: WeightType, x: &[f32], m: usize, k: usize) {
        assert!(x.len() == m * k && k.is_multiple_of(GROUP), "[{m}, {k}] of {}", x.len());
        let groups = m * k / GROUP;
        self.words.resize(groups * 16, 0);
        self.scales.resize(groups, 0.0);
        self.sums.resize(groups, [0; 2]);
        // SAFETY: the job checks every index.
        unsafe { level.run(Quantize { to: self, kind: kind as u32, x, m, k }) };
    }

    /// Takes `x [m, k]` as it is, with zeros up to a whole step.
    pub fn floats(&mut self, x: &[f32], m: usize, k: usize) {
        self.words.resize(k.div_ceil(FLOATS) * m * FLOATS, 0);
        for (row, x) in x.chunks_exact(k).take(m).enumerate() {
            for (step, x) in x.chunks(FLOATS).enumerate() {
                let to = &mut self.words[(step * m + row) * FLOATS..][..FLOATS];
                to.fill(0);
                to.iter_mut().zip(x).for_each(|(to, x)| *to = x.to_bits() as i32);
            }
        }
    }
}

struct Quantize<'a> {
    to: &'a mut Activations,
    kind: u32,
    x: &'a [f32],
    m: usize,
    k: usize,
}

impl Job for Quantize<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let bytes = as_bytes::<S>(self.kind);
        let per_group = words_of_group(bytes);
        for (row, x) in self.x.chunks_exact(self.k).enumerate() {
            for (g, x) in x.chunks_exact(GROUP).enumerate() {
                let at = g * self.m + row;
                let mut q = [0i32; GROUP];
                // Absolute values are in the order of their bits, infinity and what is not a number after them all.
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
                self.to.scales[at] = scale;
                self.to.sums[at] = [q[..16].iter().sum(), q[16..].iter().sum()];
                pack(bytes, &q, &mut self.to.words[at * per_group..][..per_group]);
            }
        }
    }
}

/// Words of a group of 32 integers: bytes, or pairs.
pub(super) const fn words_of_group(bytes: bool) -> usize {
    if bytes { 8 } else { 16 }
}

/// Four values are four bytes of a word, or the pairs (0, 2) and (1, 3) in two words: the bytes of weights are taken
/// apart that way.
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

    #[test]
    fn what_is_not_finite_stays_so_and_disturbs_no_other_row() {
        for (level, kind) in Level::available().into_iter().flat_map(|l| [(l, WeightType::Q4), (l, WeightType::Q8)]) {
            let mut x = [1.0, -127.0].repeat(64);
            (x[32 + 3], x[64 + 31], x[96]) = (f32::NAN, f32::NEG_INFINITY, 2.0);
            x[97..].fill(1e-40);
            let mut to = Activations::default();
            to.integers(level, kind, &x, 4, GROUP);
            assert_eq!((to.scales[0], to.sums[0]), (1.0, [8 * (1 - 127); 2]), "{level:?}");
            assert!(to.scales[1].is_nan() && to.scales[2].is_nan(), "{level:?}");
            assert_eq!([to.sums[1], to.sums[2]], [[0; 2]; 2], "{level:?}");
            assert_eq!(to.sums[3], [127, 0], "{level:?}");
            to.integers(level, kind, &[1e-40; GROUP], 1, GROUP);
            assert_eq!(to.sums[0], [0; 2], "{level:?}");
        }
    }
}
