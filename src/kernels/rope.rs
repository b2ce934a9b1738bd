//! Rotary position embedding, with the append to the cache that follows it.
//!
//! `(a, b) ← (a cos − b sin, b cos + a sin)` for element `i` and `i + D/2` of every head of `q` and `k` (the
//! rotate-half form of Hugging Face), angle `(pos + t) · θ^(−2i/D)`; then `k` and `v` go to row `pos + t` of the
//! cache, as f32 or f16. Source: arXiv 2104.09864. Sines come from a table: WGSL promises `sin` only to 2⁻¹¹.

use super::cache::put;
use super::{Kv, Rows, row_count};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// One invocation per two neighbouring pairs of elements: `q` in place, `k` and `v` into the cache.
pub static ROPE: Kernel = Kernel {
    name: "rope",
    wgsl: concat!(include_str!("rope.wgsl"), include_str!("shared/call.wgsl"), include_str!("shared/cache_write.wgsl")),
    access: &[ReadWrite, Read, Read, Read, ReadWrite, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [((p[1] + 2 * p[2]) * p[3] / 4).div_ceil(64), row_count(p[0], call), 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // Two f32 products and one sum.
    tolerance: 1e-13,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [q, k, v, table, k_cache, v_cache] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, kv_heads, d] = [1, 2, 3].map(|i| op.params[i] as usize);
    let stored = op.constant("CACHE_F16");
    for t in 0..row_count(op.params[0], call) as usize {
        let position = call.pos as usize + t;
        let table = &table.f32()[position * d..][..d];
        for head in q.f32_mut()[t * heads * d..][..heads * d].chunks_exact_mut(d) {
            head.copy_from_slice(&rotated(head, table));
        }
        for h in 0..kv_heads {
            let (from, to) = ((t * kv_heads + h) * d, (position * kv_heads + h) * d);
            let (key, value) = (&k.f32()[from..][..d], &v.f32()[from..][..d]);
            put_rotated(stored, k_cache, to, key, table);
            for (i, value) in value.iter().enumerate() {
                put(stored, v_cache, to + i, *value);
            }
        }
    }
}

/// Returns a head rotated by a row of the table.
pub(crate) fn rotated(head: &[f32], angles: &[f32]) -> Vec<f32> {
    let half = head.len() / 2;
    let mut out = vec![0.0; head.len()];
    for i in 0..half {
        let (a, b) = (f64::from(head[i]), f64::from(head[i + half]));
        let (cos, sin) = (f64::from(angles[2 * i]), f64::from(angles[2 * i + 1]));
        (out[i], out[i + half]) = ((a * cos - b * sin) as f32, (b * cos + a * sin) as f32);
    }
    out
}

/// Stores a rotated head of keys from element `to` of the cache on.
pub(crate) fn put_rotated(stored: u32, k_cache: &mut Words, to: usize, key: &[f32], angles: &[f32]) {
    rotated(key, angles).iter().enumerate().for_each(|(i, k)| put(stored, k_cache, to + i, *k));
}

/// Returns the table of cosines and sines that [`rope`] reads: `[positions, D/2, 2]`.
pub fn table(positions: u32, head_size: u32, theta: f32) -> Vec<f32> {
    let half = head_size / 2;
    let frequency = |i: u32| f64::from(theta).powf(-2.0 * f64::from(i) / f64::from(head_size));
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| f64::from(p) * f));
    angles.flat_map(|a| [a.cos() as f32, a.sin() as f32]).collect()
}

/// The buffers of one layer's rotation.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// `[T, N, D]`, rotated in place.
    pub q: Buf,
    /// `[T, N_kv, D]`, before rotation.
    pub k: Buf,
    /// `[T, N_kv, D]`.
    pub v: Buf,
    /// The [`table`] of cosines and sines.
    pub table: Buf,
    /// The cache that the rotated `k` and `v` are appended to.
    pub cache: Kv,
}

/// Appends the rotation of `q` and `k`, and the append of `k` and `v` to the cache.
pub fn rope(pass: &mut Pass, m: Rows, r: Rotation, heads: u32, kv_heads: u32, head_size: u32) {
    assert!(head_size.is_multiple_of(4) && r.table.words >= u64::from(head_size), "rope");
    let params = [m.param(), heads, kv_heads, head_size, 0, 0, 0, 0];
    let buffers = vec![r.q, r.k, r.v, r.table, r.cache.k, r.cache.v];
    pass.push(Op { kernel: &ROPE, consts: vec![("CACHE_F16", r.cache.stored.code())], params, buffers });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::CacheType;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_equals_twin() {
        for stored in [CacheType::F32, CacheType::F16] {
            check(stored);
        }
    }

    fn check(stored: CacheType) {
        for (t, pos, heads, kv_heads, d) in
            [(1, 0, 2, 2, 4), (1, 17, 4, 2, 32), (9, 5, 4, 1, 12), (3, 100, 2, 2, 128), (70, 3, 9, 3, 64)]
        {
            let mut case = Case::new(format!("rope {t} rows at {pos}, {heads}/{kv_heads}x{d}, {stored}"));
            case.call = Call::new(t, pos);
            let words = |rows: u32, heads: u32| u64::from(rows * heads * d);
            let q = case.output(words(t, heads), Some(1.0));
            let (k, v) = (case.random(words(t, kv_heads), 1.0), case.random(words(t, kv_heads), 1.0));
            let table = case.floats_of(&table(pos + t, d, 10000.0));
            // The cache before `pos` keeps what it holds: it is compared too.
            let [k_cache, v_cache] = [(); 2].map(|()| case.cache_output(stored, words(pos + t, kv_heads), 1.0));
            let cache = Kv { k: k_cache, v: v_cache, stored };
            rope(&mut case.pass, Rows::Fixed(t), Rotation { q, k, v, table, cache }, heads, kv_heads, d);
            // The cache's f16 values are rounded to the nearest from f32 in place of f64.
            case.check_cpu(1e-7, 1e-3);
            match stored {
                CacheType::F32 => case.check(ROPE.tolerance, 1e-6),
                // WGSL lets a conversion to f16 round either way: a step of 2⁻¹⁰.
                CacheType::F16 => case.check(1e-7, 1e-3),
            }
        }
    }

    #[test]
    fn table_is_cos_and_sin() {
        let table = table(3, 4, 100.0);
        let expected = [1.0, 0.0, 1.0, 0.0, 1f64.cos(), 1f64.sin(), 0.1f64.cos(), 0.1f64.sin()];
        assert!(table.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-7), "{table:?}");
    }
}
