//! `weights[s, layer] = mean_h softmax_s(q[h] · k[s, h'] / √D)`: where the row of a step looks, by position and layer.
//!
//! Each layer of a step appends its scores, one dispatch; at the end of the step, two more make the weights of all
//! layers. A step without them, which is the usual one, pays nothing. The weights of a layer sum to 1.

use super::attention::Heads;
use super::{Kv, cache};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// Scores of one layer: one invocation per head and key.
pub static ATTENTION_SCORES: Kernel = Kernel {
    name: "attention_scores",
    wgsl: concat!(
        include_str!("attention_scores.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl")
    ),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [(call.pos + 1).div_ceil(64), p[P_HEADS], 1],
    reference: scores_reference,
    cost,
    operands: Operands::F32,
    // f32 sums of `D` products.
    tolerance: 1e-12,
};

/// Powers and total of each softmax: one workgroup per layer and head.
pub static ATTENTION_TOTALS: Kernel = Kernel {
    name: "attention_totals",
    wgsl: concat!(include_str!("attention_totals.wgsl"), include_str!("shared/call.wgsl")),
    access: &[ReadWrite, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[P_SOFTMAXES], 1, 1],
    reference: totals_reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // The exponential of f32 scores: their rounding of 1e-6 becomes the same relative error.
    tolerance: 1e-11,
};

/// Weights of all layers: one invocation per position and layer.
pub static ATTENTION_WEIGHTS: Kernel = Kernel {
    name: "attention_weights",
    wgsl: concat!(include_str!("attention_weights.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [(call.pos + 1).div_ceil(64), p[P_LAYERS], 1],
    reference: weights_reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // As the totals.
    tolerance: 1e-11,
};

// Words of `Params`. Kernels have different words at the same place.
pub(crate) const P_SOFTMAXES: usize = 0;
pub(crate) const P_LAYERS: usize = 0;
pub(crate) const P_HEADS: usize = 1;
pub(crate) const P_KV_HEADS: usize = 2;
pub(crate) const P_LAYER: usize = 3;
pub(crate) const P_STRIDE: usize = 4;

/// Counts the keys, once.
fn cost(op: &Op, call: &Call) -> Cost {
    let [heads, kv_heads, d] = [op.params[P_HEADS], op.params[P_KV_HEADS], op.constant("HEAD_SIZE")].map(u64::from);
    let seen = u64::from(call.pos) + 1;
    let value_bytes = if op.constant("CACHE_F16") == 1 { 2 } else { 4 };
    Cost { bytes: seen * (kv_heads * d * value_bytes + 4 * heads), flops: 2 * seen * heads * d }
}

/// The twin of the scores, in f64.
fn scores_reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [q, k, _, out] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, kv_heads, layer, stride] = [P_HEADS, P_KV_HEADS, P_LAYER, P_STRIDE].map(|i| op.params[i] as usize);
    let (d, seen) = (op.constant("HEAD_SIZE") as usize, call.pos as usize + 1);
    let k = cache::read(op.constant("CACHE_F16"), k, seen * kv_heads * d);
    for (head, query) in q.f32().chunks_exact(d).take(heads).enumerate() {
        let out = &mut out.f32_mut()[(layer * heads + head) * stride..][..seen];
        for (s, out) in out.iter_mut().enumerate() {
            let key = &k[(s * kv_heads + head / (heads / kv_heads)) * d..][..d];
            let dot: f64 = query.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            *out = (dot / (d as f64).sqrt()) as f32;
        }
    }
}

/// The twin of the totals, in f64.
fn totals_reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [scores, out] = buffers else { unreachable!("checked by Pass::push") };
    let [softmaxes, stride] = [P_SOFTMAXES, P_STRIDE].map(|i| op.params[i] as usize);
    let rows = scores.f32_mut().chunks_mut(stride);
    for (row, out) in rows.zip(out.f32_mut()).take(softmaxes) {
        let row = &mut row[..=call.pos as usize];
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row.iter().map(|score| (f64::from(*score) - f64::from(most)).exp()).collect();
        row.iter_mut().zip(&powers).for_each(|(score, power)| *score = *power as f32);
        *out = (1.0 / powers.iter().sum::<f64>()) as f32;
    }
}

/// The twin of the weights, in f64.
fn weights_reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [powers, inverse, out] = buffers else { unreachable!("checked by Pass::push") };
    let [layers, heads, stride] = [P_LAYERS, P_HEADS, P_STRIDE].map(|i| op.params[i] as usize);
    for layer in 0..layers {
        for s in 0..=call.pos as usize {
            let weight =
                |softmax: usize| f64::from(powers.f32()[softmax * stride + s]) * f64::from(inverse.f32()[softmax]);
            let sum: f64 = (layer * heads..(layer + 1) * heads).map(weight).sum();
            out.f32_mut()[s * layers + layer] = (sum / heads as f64) as f32;
        }
    }
}

/// The buffers of a step's attention weights.
#[derive(Debug, Clone, Copy)]
pub struct WeightBuffers {
    /// `[L, N, stride]`: scores, then their powers.
    pub scores: Buf,
    /// `[L, N]`: one over the total of each softmax.
    pub totals: Buf,
    /// `[stride, L]`.
    pub weights: Buf,
    /// `L`, number of layers.
    pub layers: u32,
    /// Largest number of positions.
    pub stride: u32,
}

impl WeightBuffers {
    /// Returns the words of `scores`, `totals` and `weights`.
    pub fn words(layers: u32, heads: u32, stride: u32) -> [u64; 3] {
        let [layers, heads, stride] = [layers, heads, stride].map(u64::from);
        [layers * heads * stride, layers * heads, layers * stride]
    }
}

/// Appends the scores of `q [N, D]`, the row at `call.pos`, for the keys of `kv [S, N_kv, D]`: those of layer `layer`.
///
/// # Panics
/// When sizes contradict each other: shapes come from a checked config.
pub fn attention_scores(pass: &mut Pass, q: Buf, kv: Kv, b: WeightBuffers, layer: u32, h: Heads) {
    assert!(h.heads.is_multiple_of(h.kv_heads) && h.size.is_multiple_of(4), "attention_scores: heads");
    assert!(q.words >= u64::from(h.heads * h.size), "attention_scores: q");
    assert!(layer < b.layers && b.scores.words >= words(b, h.heads)[0], "attention_scores: out");
    let mut params: Params = [0; 8];
    for (at, value) in [(P_HEADS, h.heads), (P_KV_HEADS, h.kv_heads), (P_LAYER, layer), (P_STRIDE, b.stride)] {
        params[at] = value;
    }
    let consts = vec![("HEAD_SIZE", h.size), ("CACHE_F16", kv.stored.code())];
    pass.push(Op { kernel: &ATTENTION_SCORES, consts, params, buffers: vec![q, kv.k, kv.v, b.scores] });
}

/// Appends the weights of all layers, after their scores. `heads` is `N`.
///
/// # Panics
/// When sizes contradict each other: shapes come from a checked config.
pub fn attention_weights(pass: &mut Pass, b: WeightBuffers, heads: u32) {
    let [scores, totals, weights] = words(b, heads);
    let fits = b.scores.words >= scores && b.totals.words >= totals && b.weights.words >= weights;
    assert!(fits, "attention_weights: buffers");
    let mut params: Params = [0; 8];
    (params[P_SOFTMAXES], params[P_STRIDE]) = (b.layers * heads, b.stride);
    let buffers = vec![b.scores, b.totals];
    pass.push(Op { kernel: &ATTENTION_TOTALS, consts: vec![], params, buffers });
    (params[P_LAYERS], params[P_HEADS]) = (b.layers, heads);
    let buffers = vec![b.scores, b.totals, b.weights];
    pass.push(Op { kernel: &ATTENTION_WEIGHTS, consts: vec![], params, buffers });
}

fn words(b: WeightBuffers, heads: u32) -> [u64; 3] {
    WeightBuffers::words(b.layers, heads, b.stride)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::kernels::{CacheType, Rows, attention::attention};

    /// A row at `pos` in `layers` layers: shaders and fast versions against the twins; the twins against the twin of
    /// attention, which mixes values by the same weights.
    fn check(pos: u32, layers: u32, heads: u32, kv_heads: u32, size: u32, stored: CacheType) {
        let h = Heads { heads, kv_heads, size, causal: true };
        let mut case = Case::new(format!("attention_weights at {pos}, {layers} layers of {h:?} in {stored}"));
        case.call = Call::new(1, pos);
        let stride = pos + 5;
        let [scores, totals, weights] =
            WeightBuffers::words(layers, heads, stride).map(|words| case.output(words, None));
        let b = WeightBuffers { scores, totals, weights, layers, stride };
        let mut operands = Vec::new();
        for layer in 0..layers {
            let q = case.random(u64::from(heads * size), 2.0);
            let [k, v] = [2.0, 1.0].map(|scale| case.cache(stored, u64::from((pos + 1) * kv_heads * size), scale));
            attention_scores(&mut case.pass, q, Kv { k, v, stored }, b, layer, h);
            operands.push((q, k));
        }
        attention_weights(&mut case.pass, b, heads);
        // Scores up to about 20, in f32.
        case.check(ATTENTION_WEIGHTS.tolerance, 2e-5);
        case.check_cpu(ATTENTION_WEIGHTS.tolerance, 2e-5);
        // All values of a key are 1 for one position, else 0: attention then gives the weight of that position.
        let chosen = pos / 2;
        let mut values = vec![0.0; ((pos + 1) * kv_heads * size) as usize];
        values[(chosen * kv_heads * size) as usize..][..(kv_heads * size) as usize].fill(1.0);
        let v = match stored {
            CacheType::F32 => case.floats_of(&values),
            CacheType::F16 => {
                let halves: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
                case.bytes(&halves)
            }
        };
        let mut outs = Vec::new();
        for (q, k) in &operands {
            let out = case.output(u64::from(heads * size), None);
            attention(&mut case.pass, Rows::Fixed(1), *q, Kv { k: *k, v, stored }, out, h);
            outs.push(out);
        }
        let outputs = case.reference();
        for layer in 0..layers as usize {
            let weight = |s: u32| outputs[2][s as usize * layers as usize + layer];
            let sum: f64 = (0..=pos).map(|s| f64::from(weight(s))).sum();
            assert!((sum - 1.0).abs() < 1e-6, "layer {layer}: the weights sum to {sum}");
            let mixed = &outputs[3 + layer];
            let mean = mixed.iter().sum::<f32>() / mixed.len() as f32;
            assert!((weight(chosen) - mean).abs() < 1e-6, "layer {layer}: {} instead of {mean}", weight(chosen));
        }
    }

    #[test]
    fn shaders_and_fast_versions_equal_twins_and_sum_to_one() {
        check(0, 1, 2, 2, 8, CacheType::F32);
        check(200, 3, 4, 2, 32, CacheType::F32);
        check(63, 2, 2, 1, 128, CacheType::F16);
        check(64, 2, 3, 3, 12, CacheType::F32);
        check(301, 2, 6, 3, 48, CacheType::F16);
        check(130, 1, 2, 2, 20, CacheType::F16);
    }
}
