//! Attention weights of one row, in f32: scores of a layer, totals of its softmaxes, and their mean over the heads.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `matmul`

use super::Workspace;
use super::simd::{Job, MAX_LANES, Simd, exp, load_part};
use super::thread_pool::Shared;
use crate::kernels::attention_weights::{P_HEADS, P_KV_HEADS, P_LAYER, P_LAYERS, P_SOFTMAXES, P_STRIDE};
use crate::pass::{Call, Op, Words};

/// Keys whose products are summed side by side.
const KEYS: usize = 4;

/// `q · k / √D`; see [`ATTENTION_SCORES`](crate::kernels::attention_weights::ATTENTION_SCORES). Heads of keys are divided
/// among the threads.
pub(super) fn scores(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [q, k, _, out] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, kv_heads, layer, stride] = [P_HEADS, P_KV_HEADS, P_LAYER, P_STRIDE].map(|i| op.params[i] as usize);
    let (d, seen) = (op.constant("HEAD_SIZE") as usize, call.pos as usize + 1);
    let cache_is_f16 = op.constant("CACHE_F16") == 1;
    let values = seen * kv_heads * d;
    let (q, k) = (&q.f32()[..heads * d], &k.0[..if cache_is_f16 { values.div_ceil(2) } else { values }]);
    let out = &mut out.f32_mut()[layer * heads * stride..][..heads * stride];
    assert!(seen <= stride, "out of attention scores");
    let (out, level) = (Shared::new(out), workspace.level);
    let parts = workspace.parts(seen * heads * d).min(kv_heads);
    workspace.pool.run(parts, &|part| {
        for kv_head in (part..kv_heads).step_by(parts) {
            for head in kv_head * (heads / kv_heads)..(kv_head + 1) * (heads / kv_heads) {
                // SAFETY: every head has its own row of `out`, of which `seen` elements are written.
                let out = unsafe { std::slice::from_raw_parts_mut(out.pointer().add(head * stride), seen) };
                let (q, first, key_stride) = (&q[head * d..][..d], kv_head * d, kv_heads * d);
                let scores = Scores { q, k, first, key_stride, out };
                // SAFETY: `k` has the keys of `seen` positions.
                unsafe {
                    match cache_is_f16 {
                        true => level.run(TypedScores::<true>(scores)),
                        false => level.run(TypedScores::<false>(scores)),
                    }
                }
            }
        }
    });
}

/// The scores of one head.
struct Scores<'a> {
    q: &'a [f32],
    k: &'a [u32],
    /// First value of the first key.
    first: usize,
    /// Values from a key to the next.
    key_stride: usize,
    out: &'a mut [f32],
}

/// Scores whose type of keys is a constant.
struct TypedScores<'a, const F16: bool>(Scores<'a>);

impl<const F16: bool> Job for TypedScores<'_, F16> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Scores { q, k, first, key_stride, out } = self.0;
        let scale = 1.0 / (q.len() as f32).sqrt();
        let mut s = 0;
        while s < out.len() {
            let at = first + s * key_stride;
            if s + KEYS <= out.len() {
                let sums = unsafe { dots::<S, F16, KEYS>(q, k, at, key_stride) };
                out[s..s + KEYS].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * scale);
                s += KEYS;
            } else {
                let [sum] = unsafe { dots::<S, F16, 1>(q, k, at, key_stride) };
                out[s] = sum * scale;
                s += 1;
            }
        }
    }
}

/// Computes `q · k` for `N` keys, `stride` values apart, the first at value `at`.
#[inline(always)]
unsafe fn dots<S: Simd, const F16: bool, const N: usize>(q: &[f32], k: &[u32], at: usize, stride: usize) -> [f32; N] {
    unsafe {
        let mut lanes = [S::splat(0.0); N];
        let mut i = 0;
        while i + S::W <= q.len() {
            let x = S::load(q.as_ptr().add(i));
            for j in 0..N {
                let from = at + j * stride + i;
                let key = match F16 {
                    true => S::load_f16(k.as_ptr().cast::<u16>().add(from)),
                    false => S::load(k.as_ptr().cast::<f32>().add(from)),
                };
                lanes[j] = S::mul_add(x, key, lanes[j]);
            }
            i += S::W;
        }
        let mut sums = [0.0; N];
        for j in 0..N {
            sums[j] = S::sum(lanes[j]);
            // Heads whose size is no multiple of the lanes.
            for i in i..q.len() {
                let from = at + j * stride + i;
                let key = match F16 {
                    true => bytemuck::cast_slice::<u32, half::f16>(k)[from].to_f32(),
                    false => f32::from_bits(k[from]),
                };
                sums[j] += q[i] * key;
            }
        }
        sums
    }
}

/// Powers and total of each softmax; see [`ATTENTION_TOTALS`](crate::kernels::attention_weights::ATTENTION_TOTALS).
pub(super) fn totals(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [scores, out] = buffers else { unreachable!("checked by Pass::push") };
    let [softmaxes, stride] = [P_SOFTMAXES, P_STRIDE].map(|i| op.params[i] as usize);
    for (row, out) in scores.f32_mut().chunks_mut(stride).zip(out.f32_mut()).take(softmaxes) {
        let row = &mut row[..=call.pos as usize];
        let most = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        let mut total = 0.0;
        // SAFETY: the level is one of this machine.
        unsafe { workspace.level.run(Powers { row, most, total: &mut total }) };
        *out = 1.0 / total;
    }
}

/// `row[s] ← e^(row[s] − most)`, and the sum.
struct Powers<'a> {
    row: &'a mut [f32],
    most: f32,
    total: &'a mut f32,
}

impl Job for Powers<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        unsafe {
            let (most, mut sum) = (S::splat(self.most), S::splat(0.0));
            let whole = self.row.len() / S::W * S::W;
            for s in (0..whole).step_by(S::W) {
                let at = self.row.as_mut_ptr().add(s);
                let power = exp::<S>(S::sub(S::load(at), most));
                S::store(at, power);
                sum = S::add(sum, power);
            }
            let rest = &mut self.row[whole..];
            rest.iter_mut().for_each(|score| *score = (*score - self.most).exp());
            *self.total = S::sum(sum) + rest.iter().sum::<f32>();
        }
    }
}

/// Weights of all layers; see [`ATTENTION_WEIGHTS`](crate::kernels::attention_weights::ATTENTION_WEIGHTS).
pub(super) fn weights(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [powers, inverse, out] = buffers else { unreachable!("checked by Pass::push") };
    let [layers, heads, stride] = [P_LAYERS, P_HEADS, P_STRIDE].map(|i| op.params[i] as usize);
    let (seen, level) = (call.pos as usize + 1, workspace.level);
    assert!(seen <= stride, "attention weights");
    for layer in 0..layers {
        let powers = &powers.f32()[layer * heads * stride..][..heads * stride];
        let inverse = &inverse.f32()[layer * heads..][..heads];
        let out = &mut out.f32_mut()[..seen * layers];
        // SAFETY: the level is one of this machine, and the slices are as long as the sizes say.
        unsafe { level.run(Means { powers, inverse, stride, seen, out, layer, layers }) };
    }
}

/// The mean of a layer's softmaxes.
struct Means<'a> {
    powers: &'a [f32],
    inverse: &'a [f32],
    stride: usize,
    seen: usize,
    out: &'a mut [f32],
    layer: usize,
    layers: usize,
}

impl Job for Means<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let share = 1.0 / self.inverse.len() as f32;
        let mut s = 0;
        while s < self.seen {
            let count = S::W.min(self.seen - s);
            let mut lanes = [0f32; MAX_LANES];
            unsafe {
                let mut sum = S::splat(0.0);
                for head in 0..self.inverse.len() {
                    let row = &self.powers[head * self.stride + s..][..count];
                    let power = if count == S::W { S::load(row.as_ptr()) } else { load_part::<S>(row) };
                    sum = S::mul_add(power, S::splat(self.inverse[head]), sum);
                }
                S::store(lanes.as_mut_ptr(), sum);
            }
            for (i, lane) in lanes[..count].iter().enumerate() {
                self.out[(s + i) * self.layers + self.layer] = lane * share;
            }
            s += count;
        }
    }
}
