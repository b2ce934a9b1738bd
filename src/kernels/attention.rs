//! `out[t, h] = Σ_s softmax_s(q[t, h] · k[s, h'] / √D) v[s, h']`: attention of many rows, without a score matrix.
//!
//! Bidirectional (`S = T`, CLIP) or causal over a cache (`S = pos + t + 1`, the decoder's prefill). Query head `h`
//! reads key and value head `h' = h / (N / N_kv)` (grouped-query attention).

use super::attention_weights::{LayerScores, keep_reference, keep_total_reference, kept_scores};
use super::{Kv, Rows, cache, row_count};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// One invocation per head and four rows, which keeps the running maxima, sums and outputs of their softmax.
pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    wgsl: concat!(
        include_str!("attention.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        include_str!("shared/no_scores.wgsl")
    ),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [16, 1, 1],
    grid: |p, call| [row_count(p[P_ROWS], call).div_ceil(64), p[P_HEADS], 1],
    reference,
    cost,
    operands: Operands::F32,
    // f32 sums of `D` products and of up to `S` weighted values.
    tolerance: 1e-11,
};

/// The same for one row, whose scores it keeps ([`LayerScores`]).
pub static ATTENTION_KEPT: Kernel = Kernel {
    name: "attention_kept",
    wgsl: concat!(
        include_str!("attention.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        kept_scores!(6)
    ),
    access: &[Read, Read, Read, ReadWrite, ReadWrite],
    ..ATTENTION
};

/// Query rows per workgroup of [`ATTENTION_TILED`].
const TILE_ROWS: u32 = 64;

/// The same for GPUs: 64 rows of a head share keys and values in workgroup memory. An invocation computes 4 × 4
/// elements of every product of tiles.
pub static ATTENTION_TILED: Kernel = Kernel {
    name: "attention_tiled",
    wgsl: concat!(
        include_str!("attention_tiled.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl")
    ),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [128, 1, 1],
    grid: |p, call| [row_count(p[P_ROWS], call).div_ceil(TILE_ROWS), p[P_HEADS], 1],
    reference,
    cost,
    operands: Operands::F32,
    // As ATTENTION.
    tolerance: 1e-11,
};

// Words of `Params`: rows, heads of queries, heads of keys and values, whether a row sees only earlier rows.
pub(crate) const P_ROWS: usize = 0;
pub(crate) const P_HEADS: usize = 1;
pub(crate) const P_KV_HEADS: usize = 2;
pub(crate) const P_CAUSAL: usize = 3;

/// Counts queries and outputs once, and keys and values once, as far as a row sees them.
pub(super) fn cost(op: &Op, call: &Call) -> Cost {
    let t = u64::from(row_count(op.params[P_ROWS], call));
    let [heads, kv_heads, d] = [op.params[P_HEADS], op.params[P_KV_HEADS], op.constant("HEAD_SIZE")].map(u64::from);
    let causal = op.params[P_CAUSAL] == 1;
    let reach = if causal { u64::from(call.pos) + t } else { t };
    // Row by row, a causal triangle sees half of the square at its end.
    let seen = if causal { t * u64::from(call.pos) + t * (t + 1) / 2 } else { t * t };
    let value_bytes = if op.constant("CACHE_F16") == 1 { 2 } else { 4 };
    Cost { bytes: 8 * t * heads * d + 2 * reach * kv_heads * d * value_bytes, flops: 4 * seen * heads * d }
}

/// The heads of an attention, and the rows that a row sees.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// `N`, number of query heads.
    pub heads: u32,
    /// `N_kv`, number of key and value heads.
    pub kv_heads: u32,
    /// `D`, elements per head.
    pub size: u32,
    /// Whether row `t` sees the cache and the rows up to itself; otherwise it sees all rows of the pass.
    pub causal: bool,
}

/// The twin: two passes over the scores, in f64.
pub(super) fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [q, k, v, out, kept @ ..] = buffers else { unreachable!("checked by Pass::push") };
    let d = op.constant("HEAD_SIZE") as usize;
    let (heads, kv_heads) = (op.params[P_HEADS] as usize, op.params[P_KV_HEADS] as usize);
    let t_rows = row_count(op.params[P_ROWS], call) as usize;
    let reach = if op.params[P_CAUSAL] == 1 { call.pos as usize + t_rows } else { t_rows };
    let [k, v] = [k, v].map(|words| cache::read(op.constant("CACHE_F16"), words, reach * kv_heads * d));
    let q = q.f32();
    for t in 0..t_rows {
        let seen = if op.params[P_CAUSAL] == 1 { call.pos as usize + t + 1 } else { t_rows };
        for h in 0..heads {
            let kv = h / (heads / kv_heads);
            let query = &q[(t * heads + h) * d..][..d];
            let row = |s: usize| (s * kv_heads + kv) * d;
            let dot =
                |s: usize| query.iter().zip(&k[row(s)..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let scores: Vec<f64> = (0..seen).map(|s| dot(s) / (d as f64).sqrt()).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut sums = vec![0f64; d];
            for (s, weight) in weights.iter().enumerate() {
                sums.iter_mut().zip(&v[row(s)..]).for_each(|(sum, v)| *sum += weight * f64::from(*v));
            }
            let out = &mut out.f32_mut()[(t * heads + h) * d..][..d];
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o = (s / total) as f32);
            if let [kept] = kept {
                keep_reference(op, kept, h, scores.into_iter().enumerate());
                keep_total_reference(op, kept, h, most, total);
            }
        }
    }
}

/// Appends attention of `q [T, N, D]` over `kv [S, N_kv, D]` into `out [T, N, D]`, with the kernel of the pass's
/// tuning.
///
/// A GPU's decoding step runs [`attention_step`](super::attention_step), which spreads a head over many invocations.
/// Where `m` is one row, `kept` says where its scores are kept, if at all.
///
/// # Panics
/// When sizes contradict each other: shapes come from a checked config.
pub fn attention(pass: &mut Pass, m: Rows, q: Buf, kv: Kv, out: Buf, h: Heads, kept: Option<LayerScores>) {
    assert!(h.heads.is_multiple_of(h.kv_heads) && h.size.is_multiple_of(4) && h.size <= 256, "attention: heads");
    let fixed = if let Rows::Fixed(n) = m { n } else { 1 };
    assert!(q.words.min(out.words) >= u64::from(fixed * h.heads * h.size), "attention: q, out");
    let row = kv.stored.words(u64::from(h.kv_heads * h.size));
    assert!(kv.k.words.min(kv.v.words) >= row, "attention: k, v");
    let mut params: Params = [0; 8];
    params[P_ROWS] = m.param();
    params[P_HEADS] = h.heads;
    params[P_KV_HEADS] = h.kv_heads;
    params[P_CAUSAL] = u32::from(h.causal);
    let consts = vec![("HEAD_SIZE", h.size), ("CACHE_F16", kv.stored.code())];
    let mut buffers = vec![q, kv.k, kv.v, out];
    let kernel = match kept {
        Some(scores) => {
            assert!(matches!(m, Rows::Fixed(1)), "attention: scores of many rows");
            buffers.push(scores.bind(&mut params, h.heads));
            &ATTENTION_KEPT
        }
        None if pass.tuning.share_keys => &ATTENTION_TILED,
        None => &ATTENTION,
    };
    pass.push(Op { kernel, consts, params, buffers });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::CacheType;
    use crate::kernels::harness::Case;
    use crate::tuning::Tuning;

    fn check(t: u32, pos: u32, heads: u32, kv_heads: u32, size: u32, causal: bool) {
        check_stored(CacheType::F32, t, pos, Heads { heads, kv_heads, size, causal });
        if causal {
            check_stored(CacheType::F16, t, pos, Heads { heads, kv_heads, size, causal });
        }
    }

    fn check_stored(stored: CacheType, t: u32, pos: u32, h: Heads) {
        let Heads { heads, kv_heads, size, .. } = h;
        let mut case = Case::new(format!("attention {t} rows at {pos}, {h:?} in {stored}"));
        case.call = Call::new(t, pos);
        let s = pos + t;
        let q = case.random(u64::from(t * heads * size), 2.0);
        let [k, v] = [2.0, 1.0].map(|scale| case.cache(stored, u64::from(s * kv_heads * size), scale));
        let out = case.output(u64::from(t * heads * size), None);
        attention(&mut case.pass, Rows::Fixed(t), q, Kv { k, v, stored }, out, h, None);
        // Both read the same stored values. f32 scores up to about 20: exp turns their rounding of 1e-6 into the same
        // relative error.
        case.check(ATTENTION.tolerance, 2e-5);
        case.check_cpu(ATTENTION.tolerance, 2e-5);
        case.pass.ops.clear();
        case.pass.tuning = Tuning::HARDWARE;
        attention(&mut case.pass, Rows::Fixed(t), q, Kv { k, v, stored }, out, h, None);
        assert!(std::ptr::eq(case.pass.ops[0].kernel, &ATTENTION_TILED));
        case.check(ATTENTION.tolerance, 2e-5);
    }

    #[test]
    fn shaders_and_fast_version_equal_twin() {
        check(1, 0, 2, 2, 8, true);
        check(1, 200, 4, 2, 32, true);
        check(1, 63, 2, 1, 128, true);
        check(1, 64, 2, 1, 12, true);
        check(5, 0, 4, 4, 16, false);
        check(70, 0, 3, 3, 72, false);
        check(70, 3, 3, 1, 72, true);
        check(67, 0, 2, 2, 64, false);
        check(66, 30, 4, 2, 24, true);
        check(3, 500, 2, 2, 128, true);
        check(130, 5, 2, 1, 252, true);
    }
}
