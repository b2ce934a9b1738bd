//! `out[t, h] = Σ_s softmax_s(q[t, h] · k[s, h'] / √D) v[s, h']`, 64 keys at a time, in f32.
//!
//! A block of keys and values of one head is unpacked once for all rows and all query heads that read it. Every row
//! keeps the largest score, the sum and the weighted values of its softmax so far; a block with a larger score scales
//! them down.
//!
//! # Source
//! arXiv 2205.14135.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `matmul`

use super::attention_products::{BLOCK_KEYS, BlockRows, scores_of_few, scores_of_many, weigh};
use super::simd::{Job, Simd, exp, load_part, store_part};
use super::thread_pool::Shared;
use super::{SCRATCH, Workspace};
use crate::kernels::attention::{P_CAUSAL, P_HEADS, P_KV_HEADS, P_ROWS};
use crate::kernels::attention_weights::{P_FIRST, P_STRIDE};
use crate::kernels::row_count;
use crate::pass::{Call, Op, Words};
use std::cell::RefCell;
use std::ops::Range;

/// Minimum softmaxes per key and value head for which transposing a block of keys pays.
const MIN_TRANSPOSED_SOFTMAXES: usize = 4;
/// Minimum rows of a head's part where its rows are divided: each part unpacks the keys and values again.
const MIN_PART_ROWS: usize = 16;
/// Softmaxes whose scores of a transposed block are computed together: each vector of keys is loaded once for them.
const QUERIES: usize = 2;

/// Computes attention. Key and value heads are divided among the threads, and rows where there are few heads. A fifth
/// buffer keeps the scores of one row.
pub(super) fn attention(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [q, k, v, out, kept @ ..] = buffers else { unreachable!("checked by Pass::push") };
    let (t, d) = (row_count(op.params[P_ROWS], call) as usize, op.constant("HEAD_SIZE") as usize);
    let [heads, kv_heads] = [P_HEADS, P_KV_HEADS].map(|i| op.params[i] as usize);
    let first = (op.params[P_CAUSAL] == 1).then_some(call.pos as usize);
    let cache_is_f16 = op.constant("CACHE_F16") == 1;
    let keys = first.map_or(t, |pos| pos + t);
    let values = keys * kv_heads * d;
    let words = if cache_is_f16 { values.div_ceil(2) } else { values };
    let (q, k, v) = (&q.f32()[..t * heads * d], &k.0[..words], &v.0[..words]);
    assert!(out.0.len() >= q.len(), "out of attention");
    let (out, level) = (Shared::new(out.f32_mut()), workspace.level);
    let kept = kept.first_mut().map(|kept| {
        let [first, stride] = [P_FIRST, P_STRIDE].map(|i| op.params[i] as usize);
        assert!(t == 1 && values / (kv_heads * d) + 2 <= stride, "scores of attention");
        (Shared::new(&mut kept.f32_mut()[first * stride..][..heads * stride]), stride)
    });
    let wanted = workspace.parts(2 * values * t * heads / kv_heads);
    let splits = wanted.div_ceil(kv_heads).min(t / MIN_PART_ROWS).max(1);
    let jobs = kv_heads * splits;
    let parts = if splits > 1 { jobs } else { wanted.min(jobs) };
    workspace.pool.run(parts, &|part| {
        SCRATCH.with(|memory| {
            for job in (part..jobs).step_by(parts) {
                // The last rows see the most keys: they come first.
                let (kv_head, split) = (job % kv_heads, splits - 1 - job / kv_heads);
                let row = t * split / splits;
                let (t, first) = (t * (split + 1) / splits - row, first.map(|pos| pos + row));
                let head = Head { q, k, v, out, kept, row, t, keys, d, heads, kv_heads, kv_head, first, memory };
                // SAFETY: the slices are as long as the sizes say; every head has its own part of `out` and `kept`, and so
                // has every row.
                unsafe {
                    match cache_is_f16 {
                        true => level.run(TypedHead::<true>(head)),
                        false => level.run(TypedHead::<false>(head)),
                    }
                }
            }
        });
    });
}

/// A head, or some of its rows.
struct Head<'a> {
    q: &'a [f32],
    k: &'a [u32],
    v: &'a [u32],
    out: Shared,
    /// Where the only row's scores are kept: the rows of the heads, and their length.
    kept: Option<(Shared, usize)>,
    /// The first row.
    row: usize,
    /// Number of rows.
    t: usize,
    /// Number of keys that all rows together see.
    keys: usize,
    d: usize,
    heads: usize,
    kv_heads: usize,
    kv_head: usize,
    /// Position of the first row where rows see only the rows up to themselves; else `None`.
    first: Option<usize>,
    memory: &'a RefCell<Vec<f32>>,
}

/// A head whose type of keys and values is a constant.
struct TypedHead<'a, const F16: bool>(Head<'a>);

/// The unpacked block, and the softmaxes so far.
struct Memory<'a> {
    /// `[BLOCK_KEYS][padded D]`.
    keys: &'a mut [f32],
    /// `[BLOCK_KEYS][padded D]`.
    values: &'a mut [f32],
    /// `[D][BLOCK_KEYS]`.
    transposed: &'a mut [f32],
    /// `[QUERIES][BLOCK_KEYS]`.
    scores: &'a mut [f32],
    /// `[rows · group][padded D]`.
    sums: &'a mut [f32],
    /// `[rows · group]`: the largest score and the sum of weights.
    state: &'a mut [f32],
}

impl<const F16: bool> Job for TypedHead<'_, F16> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let h = &self.0;
        let (group, padded) = (h.heads / h.kv_heads, h.d.next_multiple_of(S::W));
        let softmaxes = h.t * group;
        // All other memory is written before it is read.
        let mut memory = h.memory.borrow_mut();
        let length = 2 * BLOCK_KEYS * padded + BLOCK_KEYS * (h.d + QUERIES) + softmaxes * (padded + 2);
        if memory.len() < length {
            memory.resize(length, 0.0);
        }
        let (keys, rest) = memory.split_at_mut(BLOCK_KEYS * padded);
        let (values, rest) = rest.split_at_mut(BLOCK_KEYS * padded);
        let (transposed, rest) = rest.split_at_mut(BLOCK_KEYS * h.d);
        let (scores, rest) = rest.split_at_mut(QUERIES * BLOCK_KEYS);
        let (sums, rest) = rest.split_at_mut(softmaxes * padded);
        let state = &mut rest[..2 * softmaxes];
        sums.fill(0.0);
        state.chunks_exact_mut(2).for_each(|state| state.copy_from_slice(&[f32::NEG_INFINITY, 0.0]));
        let mut m = Memory { keys, values, transposed, scores, sums, state };
        let reach = h.first.map_or(h.keys, |pos| pos + h.t);
        let many = softmaxes >= MIN_TRANSPOSED_SOFTMAXES;
        for start in (0..reach).step_by(BLOCK_KEYS) {
            let count = BLOCK_KEYS.min(reach - start);
            let rows = if !F16 && !many && padded == h.d {
                // A few rows read keys and values in place.
                let at = (start * h.kv_heads + h.kv_head) * h.d;
                let [keys, values] = [h.k, h.v].map(|plane| plane[at..].as_ptr().cast::<f32>());
                BlockRows { keys, values, stride: h.kv_heads * h.d }
            } else {
                unsafe {
                    h.unpack::<S, F16>(h.k, start, count, m.keys);
                    h.unpack::<S, F16>(h.v, start, count, m.values);
                }
                BlockRows { keys: m.keys.as_ptr(), values: m.values.as_ptr(), stride: padded }
            };
            if many {
                for (s, key) in m.keys.chunks_exact(padded).take(count).enumerate() {
                    for (i, k) in key[..h.d].iter().enumerate() {
                        m.transposed[i * BLOCK_KEYS + s] = *k;
                    }
                }
            }
            // The first row that sees the block's first key.
            let row = h.first.map_or(0, |pos| start.saturating_sub(pos));
            for pair in (row * group..softmaxes).step_by(QUERIES) {
                let pair = pair..(pair + QUERIES).min(softmaxes);
                unsafe {
                    if many {
                        h.scores_of_many::<S>(&mut m, pair.clone());
                    }
                    for (slot, softmax) in pair.enumerate() {
                        let seen = h.first.map_or(h.keys, |pos| pos + softmax / group + 1);
                        let at = slot * BLOCK_KEYS..slot * BLOCK_KEYS + count.min(seen - start);
                        if !many {
                            scores_of_few::<S>(h.query_values(softmax), &rows, &mut m.scores[at.clone()]);
                        }
                        if let Some((kept, _)) = h.kept_row(softmax) {
                            let scores = &m.scores[at.clone()];
                            std::ptr::copy_nonoverlapping(scores.as_ptr(), kept.add(start), scores.len());
                        }
                        h.block::<S>(&mut m, &rows, softmax, at);
                    }
                }
            }
        }
        for softmax in 0..softmaxes {
            unsafe { h.finish::<S>(&m, softmax) };
        }
    }
}

impl Head<'_> {
    /// Returns the index of the first value of a softmax's query.
    #[inline(always)]
    fn query(&self, softmax: usize) -> usize {
        let group = self.heads / self.kv_heads;
        ((self.row + softmax / group) * self.heads + self.kv_head * group + softmax % group) * self.d
    }

    /// Rows `start ..` of keys or values as f32, with zeros up to a whole vector.
    #[inline(always)]
    unsafe fn unpack<S: Simd, const F16: bool>(&self, from: &[u32], start: usize, count: usize, to: &mut [f32]) {
        let padded = self.d.next_multiple_of(S::W);
        for (s, to) in to.chunks_exact_mut(padded).take(count).enumerate() {
            let at = ((start + s) * self.kv_heads + self.kv_head) * self.d;
            let mut i = 0;
            while i < self.d {
                // Whole vectors while they lie inside the buffer, then the rest.
                unsafe {
                    let x = if i + S::W > self.d {
                        let mut rest = [0f32; super::simd::MAX_LANES];
                        for j in i..self.d {
                            rest[j - i] = if F16 {
                                let values: &[half::f16] = bytemuck::cast_slice(from);
                                values[at + j].to_f32()
                            } else {
                                f32::from_bits(from[at + j])
                            };
                        }
                        load_part::<S>(&rest[..S::W])
                    } else if F16 {
                        S::load_f16(from.as_ptr().cast::<u16>().add(at + i))
                    } else {
                        S::load(from.as_ptr().cast::<f32>().add(at + i))
                    };
                    S::store(to.as_mut_ptr().add(i), x);
                }
                i += S::W;
            }
        }
    }

    /// Returns where the scores of a softmax of the only row are kept, and the words there.
    #[inline(always)]
    fn kept_row(&self, softmax: usize) -> Option<(*mut f32, usize)> {
        let (rows, stride) = self.kept?;
        let head = self.kv_head * (self.heads / self.kv_heads) + softmax;
        Some((rows.pointer().wrapping_add(head * stride), stride))
    }

    /// Returns the values of a softmax's query.
    #[inline(always)]
    fn query_values(&self, softmax: usize) -> &[f32] {
        &self.q[self.query(softmax)..][..self.d]
    }

    /// Computes the scores of all keys of a transposed block, for up to [`QUERIES`] softmaxes.
    #[inline(always)]
    unsafe fn scores_of_many<S: Simd>(&self, m: &mut Memory, softmaxes: Range<usize>) {
        let (keys, scores) = (m.transposed.as_ptr(), m.scores.as_mut_ptr());
        let queries = [softmaxes.start, softmaxes.end - 1].map(|softmax| self.query_values(softmax));
        unsafe {
            match softmaxes.len() {
                QUERIES => scores_of_many::<S, QUERIES>(queries, keys, scores),
                _ => scores_of_many::<S, 1>([queries[0]], keys, scores),
            }
        }
    }

    /// Adds the block's first keys to one softmax: those whose scores are at `at`.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, m: &mut Memory, rows: &BlockRows, softmax: usize, at: Range<usize>) {
        let padded = self.d.next_multiple_of(S::W);
        let (count, scores) = (at.len(), &mut m.scores[at.start..][..BLOCK_KEYS]);
        unsafe {
            scores[count..].fill(f32::NEG_INFINITY);
            let [most, total] = &mut m.state[2 * softmax..][..2] else { unreachable!("two of them") };
            let mut largest = S::load(scores.as_ptr());
            for i in (S::W..BLOCK_KEYS).step_by(S::W) {
                largest = S::max(largest, S::load(scores.as_ptr().add(i)));
            }
            let mut lanes = [f32::NEG_INFINITY; super::simd::MAX_LANES];
            S::store(lanes.as_mut_ptr(), largest);
            let now = lanes.iter().fold(*most, |a, b| if *b > a { *b } else { a });
            let shrink = (*most - now).exp();
            *most = now;
            let mut sum = S::splat(0.0);
            for i in (0..BLOCK_KEYS).step_by(S::W) {
                let at = scores.as_mut_ptr().add(i);
                let weight = exp::<S>(S::sub(S::load(at), S::splat(now)));
                S::store(at, weight);
                sum = S::add(sum, weight);
            }
            // Keys beyond `count` have weights of 1e-38.
            *total = *total * shrink + S::sum(sum);
            let sums = m.sums.as_mut_ptr().add(softmax * padded);
            let mut i = 0;
            while i + 8 * S::W <= padded {
                weigh::<S, 8>(&scores[..count], rows.values.add(i), rows.stride, shrink, sums.add(i));
                i += 8 * S::W;
            }
            while i < padded {
                weigh::<S, 1>(&scores[..count], rows.values.add(i), rows.stride, shrink, sums.add(i));
                i += S::W;
            }
        }
    }

    /// Writes the weighted values, divided by the sum of weights, to `out`.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, m: &Memory, softmax: usize) {
        let padded = self.d.next_multiple_of(S::W);
        unsafe {
            let [most, total] = m.state[2 * softmax..][..2] else { unreachable!("two of them") };
            if let Some((kept, stride)) = self.kept_row(softmax) {
                kept.add(stride - 2).write(most);
                kept.add(stride - 1).write(1.0 / total);
            }
            let inverse = S::splat(1.0 / total);
            let out = self.out.pointer().add(self.query(softmax));
            for i in (0..self.d).step_by(S::W) {
                let x = S::mul(S::load(m.sums.as_ptr().add(softmax * padded + i)), inverse);
                if i + S::W <= self.d {
                    S::store(out.add(i), x);
                } else {
                    store_part::<S>(std::slice::from_raw_parts_mut(out.add(i), self.d - i), x);
                }
            }
        }
    }
}
