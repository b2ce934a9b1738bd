//! Attention of one row over the cache, for the decoding step, in two dispatches. The first splits the keys of a head,
//! so that many invocations work on it; the second merges the splits.

use super::attention::{Heads, P_CAUSAL, P_HEADS, P_KV_HEADS, cost};
use super::attention_weights::{LayerScores, keep_reference, keep_total_reference, kept_scores};
use super::{CacheType, Kv, cache};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// One invocation per head and split, which keeps the running maximum, sum and output of its keys.
pub static ATTENTION_STEP: Kernel = Kernel {
    name: "attention_step",
    wgsl: concat!(
        include_str!("attention_step.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        include_str!("shared/no_scores.wgsl")
    ),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [16, 1, 1],
    grid: |p, _| [(p[P_HEADS] * p[P_SPLITS]).div_ceil(16), 1, 1],
    reference,
    cost,
    operands: Operands::F32,
    // As attention.
    tolerance: 1e-11,
};

/// The same for GPUs: a workgroup per head and split, whose invocations read keys and values together.
pub static ATTENTION_STEP_SHARED: Kernel = Kernel {
    name: "attention_step_shared",
    wgsl: concat!(
        include_str!("attention_step_shared.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        include_str!("shared/no_scores.wgsl")
    ),
    workgroup: [64, 1, 1],
    grid: |p, _| [p[P_SPLITS], p[P_HEADS], 1],
    ..ATTENTION_STEP
};

/// [`ATTENTION_STEP`], which also keeps its scores ([`LayerScores`]).
pub static ATTENTION_STEP_KEPT: Kernel = Kernel {
    name: "attention_step_kept",
    wgsl: concat!(
        include_str!("attention_step.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        kept_scores!(6)
    ),
    access: &[Read, Read, Read, ReadWrite, ReadWrite],
    ..ATTENTION_STEP
};

/// [`ATTENTION_STEP_SHARED`], which also keeps its scores.
pub static ATTENTION_STEP_SHARED_KEPT: Kernel = Kernel {
    name: "attention_step_shared_kept",
    wgsl: concat!(
        include_str!("attention_step_shared.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl"),
        kept_scores!(6)
    ),
    access: &[Read, Read, Read, ReadWrite, ReadWrite],
    ..ATTENTION_STEP_SHARED
};

/// Merges the splits: one invocation per four elements.
pub static ATTENTION_MERGE: Kernel = Kernel {
    name: "attention_merge",
    wgsl: concat!(
        include_str!("attention_merge.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/no_scores.wgsl")
    ),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [(p[P_HEADS] * p[P_SIZE] / 4).div_ceil(64), 1, 1],
    reference: merge_reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // As attention.
    tolerance: 1e-11,
};

/// The same, which also keeps the largest score and the total of each softmax.
pub static ATTENTION_MERGE_KEPT: Kernel = Kernel {
    name: "attention_merge_kept",
    wgsl: concat!(include_str!("attention_merge.wgsl"), include_str!("shared/call.wgsl"), kept_scores!(4)),
    access: &[Read, ReadWrite, ReadWrite],
    ..ATTENTION_MERGE
};

const P_SPLITS: usize = 4;
const P_SIZE: usize = 5;

/// The twin of the splits, in f64.
fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [q, k, v, out, kept @ ..] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, kv_heads, splits, d] = [P_HEADS, P_KV_HEADS, P_SPLITS, P_SIZE].map(|i| op.params[i] as usize);
    let (seen, keys) = (call.pos as usize + 1, op.constant("KEYS") as usize);
    let [k, v] = [k, v].map(|words| cache::read(op.constant("CACHE_F16"), words, seen * kv_heads * d));
    for (head, query) in q.f32().chunks_exact(d).take(heads).enumerate() {
        let row = |s: usize| (s * kv_heads + head / (heads / kv_heads)) * d;
        let dot = |s: usize| query.iter().zip(&k[row(s)..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        for split in 0..splits {
            let own: Vec<usize> = (0..seen).filter(|s| s / keys % splits == split).collect();
            let scores: Vec<f64> = own.iter().map(|s| dot(*s) / (d as f64).sqrt()).collect();
            let most = scores.iter().copied().fold(f64::from(-3.0e38f32), f64::max);
            if let [kept] = kept {
                keep_reference(op, kept, head, own.iter().copied().zip(scores.iter().copied()));
            }
            let mut sums = vec![0f64; d];
            let mut total = 0.0;
            for (s, score) in own.iter().zip(&scores) {
                let weight = (score - most).exp();
                total += weight;
                sums.iter_mut().zip(&v[row(*s)..]).for_each(|(sum, v)| *sum += weight * f64::from(*v));
            }
            let out = &mut out.f32_mut()[(head * splits + split) * (d + 4)..][..d + 4];
            sums.extend([most, total, 0.0, 0.0]);
            out.iter_mut().zip(sums).for_each(|(o, s)| *o = s as f32);
        }
    }
}

/// The twin of the merge, in f64.
fn merge_reference(op: &Op, _: &Call, buffers: &mut [Words]) {
    let [parts, out, kept @ ..] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, splits, d] = [P_HEADS, P_SPLITS, P_SIZE].map(|i| op.params[i] as usize);
    for (head, out) in out.f32_mut().chunks_exact_mut(d).take(heads).enumerate() {
        let part = |split: usize| &parts.f32()[(head * splits + split) * (d + 4)..][..d + 4];
        let most = (0..splits).map(|i| part(i)[d]).fold(f32::MIN, f32::max);
        let shares: Vec<f64> = (0..splits).map(|i| (f64::from(part(i)[d]) - f64::from(most)).exp()).collect();
        let merged = |e: usize| shares.iter().enumerate().map(|(i, w)| w * f64::from(part(i)[e])).sum::<f64>();
        let total = merged(d + 1);
        out.iter_mut().enumerate().for_each(|(e, o)| *o = (merged(e) / total) as f32);
        if let [kept] = kept {
            keep_total_reference(op, kept, head, f64::from(most), total);
        }
    }
}

/// Returns the number of words of the intermediate buffer.
pub fn part_words(heads: u32, size: u32, splits: u32) -> u64 {
    u64::from(heads) * u64::from(splits) * u64::from(size + 4)
}

/// Returns the largest head for which [`ATTENTION_STEP_SHARED`] needs at most 16 KiB of workgroup memory: 32 invocations
/// read a key together, four elements each, or eight where they are f16 and divide a head.
fn max_shared_size(stored: CacheType, size: u32) -> u32 {
    if stored == CacheType::F16 && size.is_multiple_of(8) { 256 } else { 128 }
}

/// Appends attention of `q [N, D]` at row `call.pos` over `kv [S, N_kv, D]` into `out [N, D]`. The splits, as many as
/// the pass's tuning says, go to `parts` ([`part_words`]). `kept` says where the scores are kept, if at all.
///
/// # Panics
/// When sizes contradict each other: shapes come from a checked config.
pub fn attention_step(pass: &mut Pass, q: Buf, kv: Kv, parts: Buf, out: Buf, h: Heads, kept: Option<LayerScores>) {
    assert!(h.heads.is_multiple_of(h.kv_heads) && h.size.is_multiple_of(4) && h.size <= 256, "attention_step: heads");
    let splits = pass.tuning.key_splits;
    assert!(q.words.min(out.words) >= u64::from(h.heads * h.size), "attention_step: q, out");
    assert!(parts.words >= part_words(h.heads, h.size, splits), "attention_step: parts");
    let mut params: Params = [0; 8];
    for (at, value) in
        [(P_HEADS, h.heads), (P_KV_HEADS, h.kv_heads), (P_CAUSAL, 1), (P_SPLITS, splits), (P_SIZE, h.size)]
    {
        params[at] = value;
    }
    let consts = vec![("HEAD_SIZE", h.size), ("SPLITS", splits)];
    let shared = pass.tuning.share_keys && h.size <= max_shared_size(kv.stored, h.size);
    let (kernel, keys) = match (shared, kept) {
        (true, None) => (&ATTENTION_STEP_SHARED, 64),
        (true, Some(_)) => (&ATTENTION_STEP_SHARED_KEPT, 64),
        (false, None) => (&ATTENTION_STEP, 4),
        (false, Some(_)) => (&ATTENTION_STEP_KEPT, 4),
    };
    let merge = if kept.is_some() { &ATTENTION_MERGE_KEPT } else { &ATTENTION_MERGE };
    let kept = kept.map(|scores| scores.bind(&mut params, h.heads));
    let mut first = consts.clone();
    first.extend([("CACHE_F16", kv.stored.code()), ("KEYS", keys)]);
    let buffers = [q, kv.k, kv.v, parts].into_iter().chain(kept).collect();
    pass.push(Op { kernel, consts: first, params, buffers });
    let buffers = [parts, out].into_iter().chain(kept).collect();
    pass.push(Op { kernel: merge, consts, params, buffers });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Rows;
    use crate::kernels::attention::attention;
    use crate::kernels::harness::Case;
    use crate::tuning::Tuning;

    /// Both dispatches against their twins, or against the twin of attention as a whole.
    fn check(pos: u32, heads: u32, kv_heads: u32, size: u32, stored: CacheType, key_splits: u32, share_keys: bool) {
        let h = Heads { heads, kv_heads, size, causal: true };
        let mut case =
            Case::new(format!("attention_step at {pos}, {h:?} in {stored}, {key_splits} splits, shared {share_keys}"));
        case.pass.tuning = Tuning { key_splits, share_keys, ..Tuning::SOFTWARE };
        case.call = Call::new(1, pos);
        let q = case.random(u64::from(heads * size), 2.0);
        let [k, v] = [2.0, 1.0].map(|scale| case.cache(stored, u64::from((pos + 1) * kv_heads * size), scale));
        let parts = case.output(part_words(heads, size, key_splits), None);
        let out = case.output(u64::from(heads * size), None);
        let kv = Kv { k, v, stored };
        attention_step(&mut case.pass, q, kv, parts, out, h, None);
        // As attention's: f32 scores up to about 20.
        case.check(ATTENTION_STEP.tolerance, 2e-5);
        let whole = case.output(u64::from(heads * size), None);
        attention(&mut case.pass, Rows::Fixed(1), q, kv, whole, h, None);
        let outputs = case.reference();
        let same = outputs[1].iter().zip(&outputs[2]).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()));
        assert!(same, "the twins of one row differ at {pos}");
    }

    #[test]
    fn shaders_equal_twins_and_attention_of_many_rows() {
        for (key_splits, share_keys) in [(1, false), (4, false), (64, false), (1, true), (3, true), (16, true)] {
            let check = |pos, heads, kv_heads, size, stored| {
                check(pos, heads, kv_heads, size, stored, key_splits, share_keys);
            };
            check(0, 2, 2, 8, CacheType::F32);
            check(200, 4, 2, 32, CacheType::F32);
            check(63, 2, 1, 128, CacheType::F16);
            check(65, 2, 1, 12, CacheType::F32);
            check(301, 3, 3, 48, CacheType::F16);
            check(70, 2, 1, 256, CacheType::F16);
            check(70, 2, 1, 256, CacheType::F32);
            check(130, 2, 1, 72, CacheType::F16);
            check(130, 2, 1, 20, CacheType::F16);
        }
    }
}
