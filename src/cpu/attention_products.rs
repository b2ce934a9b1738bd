//! Products of queries with the keys of a block, and of weights with its values, in f32.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `matmul`

use super::simd::{Simd, load_part};

/// Keys per block.
pub(super) const BLOCK_KEYS: usize = 64;

/// The f32 keys and values of a block, `stride` apart.
pub(super) struct BlockRows {
    pub keys: *const f32,
    pub values: *const f32,
    pub stride: usize,
}

/// Computes `q · k / √D` of `N` queries for all keys of a transposed block.
#[inline(always)]
pub(super) unsafe fn scores_of_many<S: Simd, const N: usize>(queries: [&[f32]; N], keys: *const f32, scores: *mut f32) {
    unsafe {
        let scale = S::splat(scale(queries[0]));
        for s in (0..BLOCK_KEYS).step_by(4 * S::W) {
            let mut acc = [[S::splat(0.0); 4]; N];
            for i in 0..queries[0].len() {
                let keys = keys.add(i * BLOCK_KEYS + s);
                for j in 0..4 {
                    let keys = S::load(keys.add(j * S::W));
                    for n in 0..N {
                        acc[n][j] = S::mul_add(S::splat(*queries[n].get_unchecked(i)), keys, acc[n][j]);
                    }
                }
            }
            for n in 0..N {
                for j in 0..4 {
                    S::store(scores.add(n * BLOCK_KEYS + s + j * S::W), S::mul(acc[n][j], scale));
                }
            }
        }
    }
}

/// Returns the factor of the scores of a query.
#[inline(always)]
fn scale(query: &[f32]) -> f32 {
    1.0 / (query.len() as f32).sqrt()
}

/// Computes `q · k / √D` key by key. Keys are padded to whole vectors.
#[inline(always)]
pub(super) unsafe fn scores_of_few<S: Simd>(query: &[f32], rows: &BlockRows, scores: &mut [f32]) {
    unsafe {
        let mut s = 0;
        while s + 4 <= scores.len() {
            dots::<S, 4>(query, rows.keys.add(s * rows.stride), rows.stride, &mut scores[s..]);
            s += 4;
        }
        while s < scores.len() {
            dots::<S, 1>(query, rows.keys.add(s * rows.stride), rows.stride, &mut scores[s..]);
            s += 1;
        }
    }
}

/// Computes `q · k / √D` for `N` keys, `stride` apart.
#[inline(always)]
unsafe fn dots<S: Simd, const N: usize>(query: &[f32], keys: *const f32, stride: usize, out: &mut [f32]) {
    unsafe {
        let mut sums = [S::splat(0.0); N];
        let mut i = 0;
        while i < query.len() {
            let q = if i + S::W <= query.len() { S::load(query.as_ptr().add(i)) } else { load_part::<S>(&query[i..]) };
            for j in 0..N {
                sums[j] = S::mul_add(q, S::load(keys.add(j * stride + i)), sums[j]);
            }
            i += S::W;
        }
        for j in 0..N {
            out[j] = S::sum(sums[j]) * scale(query);
        }
    }
}

/// Computes `sums ← shrink · sums + Σ_s weights[s] · values[s]` for `N` vectors. Rows of values are `width` apart.
#[inline(always)]
pub(super) unsafe fn weigh<S: Simd, const N: usize>(
    weights: &[f32],
    values: *const f32,
    width: usize,
    shrink: f32,
    sums: *mut f32,
) {
    unsafe {
        let mut acc = [S::splat(0.0); N];
        for j in 0..N {
            acc[j] = S::mul(S::load(sums.add(j * S::W)), S::splat(shrink));
        }
        for (s, weight) in weights.iter().enumerate() {
            let (weight, values) = (S::splat(*weight), values.add(s * width));
            for j in 0..N {
                acc[j] = S::mul_add(weight, S::load(values.add(j * S::W)), acc[j]);
            }
        }
        for j in 0..N {
            S::store(sums.add(j * S::W), acc[j]);
        }
    }
}
