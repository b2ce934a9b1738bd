//! `weights[s, layer] = mean_h softmax_s(q[h] · k[s, h'] / √D)`: where the row of a step looks, by position and layer.
//!
//! The attention of such a step keeps its scores and the total of each softmax ([`LayerScores`]); at the end of the step
//! one dispatch makes the weights of all layers. The usual step has kernels without this, and pays nothing. The weights
//! of a layer sum to 1.

use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// Weights of all layers: one invocation per position and layer.
pub static ATTENTION_WEIGHTS: Kernel = Kernel {
    name: "attention_weights",
    wgsl: concat!(include_str!("attention_weights.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [(call.pos + 1).div_ceil(64), p[P_LAYERS], 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // The exponential of f32 scores: their rounding of 1e-6 becomes the same relative error.
    tolerance: 1e-11,
};

/// The declaration of kept scores at a binding, and the functions that keep them.
macro_rules! kept_scores {
    ($binding:literal) => {
        concat!(
            "@group(0) @binding(",
            $binding,
            ") var<storage, read_write> kept: array<f32>;\n",
            include_str!("shared/kept_scores.wgsl")
        )
    };
}
pub(super) use kept_scores;

// Words of `Params`; the last two are those of every kernel that keeps scores.
pub(crate) const P_LAYERS: usize = 0;
pub(crate) const P_HEADS: usize = 1;
pub(crate) const P_FIRST: usize = 6;
pub(crate) const P_STRIDE: usize = 7;

/// The twin, in f64.
fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [kept, out] = buffers else { unreachable!("checked by Pass::push") };
    let [layers, heads, stride] = [P_LAYERS, P_HEADS, P_STRIDE].map(|i| op.params[i] as usize);
    for layer in 0..layers {
        let rows = || kept.f32().chunks_exact(stride).skip(layer * heads).take(heads);
        for s in 0..=call.pos as usize {
            let weight =
                |row: &[f32]| (f64::from(row[s]) - f64::from(row[stride - 2])).exp() * f64::from(row[stride - 1]);
            out.f32_mut()[s * layers + layer] = (rows().map(weight).sum::<f64>() / heads as f64) as f32;
        }
    }
}

/// Keeps the scores of some keys of one softmax, as `kept_scores.wgsl` does: (key, score).
pub(super) fn keep_reference(op: &Op, kept: &mut Words, head: usize, scores: impl Iterator<Item = (usize, f64)>) {
    let [first, stride] = [P_FIRST, P_STRIDE].map(|i| op.params[i] as usize);
    let row = &mut kept.f32_mut()[(first + head) * stride..][..stride];
    scores.for_each(|(key, score)| row[key] = score as f32);
}

/// Keeps the largest score and the total of one softmax, as `kept_scores.wgsl` does.
pub(super) fn keep_total_reference(op: &Op, kept: &mut Words, head: usize, most: f64, total: f64) {
    let [first, stride] = [P_FIRST, P_STRIDE].map(|i| op.params[i] as usize);
    let end = (first + head + 1) * stride;
    kept.f32_mut()[end - 2..end].copy_from_slice(&[most as f32, (1.0 / total) as f32]);
}

/// The buffers of a step's attention weights.
#[derive(Debug, Clone, Copy)]
pub struct ScoreBuffers {
    /// `[L, N, stride]`: the scores of each head, then the largest and one over the total.
    pub kept: Buf,
    /// `[positions, L]`.
    pub weights: Buf,
    /// `L`, number of layers.
    pub layers: u32,
    /// Largest number of positions.
    pub positions: u32,
}

impl ScoreBuffers {
    /// Returns the words of `kept` and `weights`.
    pub fn words(layers: u32, heads: u32, positions: u32) -> [u64; 2] {
        let [layers, heads, positions] = [layers, heads, positions].map(u64::from);
        [layers * heads * (positions + 2), layers * positions]
    }

    /// Returns where the scores of a layer with `heads` heads go.
    pub fn layer(&self, layer: u32, heads: u32) -> LayerScores {
        LayerScores { kept: self.kept, first: layer * heads, stride: self.positions + 2 }
    }
}

/// Where the attention of one row keeps its scores.
#[derive(Debug, Clone, Copy)]
pub struct LayerScores {
    kept: Buf,
    /// The layer's first head among those of all layers.
    first: u32,
    stride: u32,
}

impl LayerScores {
    /// Writes its words to the parameters of an attention, and returns the buffer.
    ///
    /// # Panics
    /// When the buffer is too small: shapes come from a checked config.
    pub(super) fn bind(self, params: &mut Params, heads: u32) -> Buf {
        assert!(self.kept.words >= u64::from(self.first + heads) * u64::from(self.stride), "attention: scores");
        (params[P_FIRST], params[P_STRIDE]) = (self.first, self.stride);
        self.kept
    }
}

/// Appends the weights of all layers, after their scores. `heads` is `N`.
///
/// # Panics
/// When sizes contradict each other: shapes come from a checked config.
pub fn attention_weights(pass: &mut Pass, b: ScoreBuffers, heads: u32) {
    let [kept, weights] = ScoreBuffers::words(b.layers, heads, b.positions);
    assert!(b.kept.words >= kept && b.weights.words >= weights, "attention_weights: buffers");
    let mut params: Params = [0; 8];
    (params[P_LAYERS], params[P_HEADS], params[P_STRIDE]) = (b.layers, heads, b.positions + 2);
    pass.push(Op { kernel: &ATTENTION_WEIGHTS, consts: vec![], params, buffers: vec![b.kept, b.weights] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::{Heads, attention};
    use crate::kernels::attention_step::{attention_step, part_words};
    use crate::kernels::harness::Case;
    use crate::kernels::{CacheType, Kv, Rows};
    use crate::tuning::Tuning;

    /// How the scores of a row are made.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum By {
        /// [`attention`]: on the CPU, and where a step's projections are cut.
        Attention,
        /// [`attention_step`], with this tuning.
        Step(Tuning),
    }

    /// A row at `pos` in `layers` layers: shaders and fast versions against the twins; and the twins' weights against
    /// what the twin of attention mixes by them.
    fn check(by: By, pos: u32, layers: u32, h: Heads, stored: CacheType) {
        let Heads { heads, kv_heads, size, .. } = h;
        let mut case = Case::new(format!("attention_weights at {pos}, {layers} layers of {h:?} in {stored}, {by:?}"));
        case.call = Call::new(1, pos);
        let positions = pos + 3;
        let [kept, weights] = ScoreBuffers::words(layers, heads, positions).map(|words| case.output(words, None));
        let b = ScoreBuffers { kept, weights, layers, positions };
        let (mut operands, mut mixed) = (Vec::new(), Vec::new());
        for layer in 0..layers {
            let q = case.random(u64::from(heads * size), 2.0);
            let [k, v] = [2.0, 1.0].map(|scale| case.cache(stored, u64::from((pos + 1) * kv_heads * size), scale));
            let out = case.output(u64::from(heads * size), None);
            let (kv, scores) = (Kv { k, v, stored }, Some(b.layer(layer, heads)));
            match by {
                By::Attention => attention(&mut case.pass, Rows::Fixed(1), q, kv, out, h, scores),
                By::Step(tuning) => {
                    case.pass.tuning = tuning;
                    let parts = case.output(part_words(heads, size, tuning.key_splits), None);
                    attention_step(&mut case.pass, q, kv, parts, out, h, scores);
                }
            }
            operands.push((q, kv));
            mixed.push(out);
        }
        attention_weights(&mut case.pass, b, heads);
        // Scores up to about 20, in f32.
        case.check(ATTENTION_WEIGHTS.tolerance, 2e-5);
        if by == By::Attention {
            case.check_cpu(ATTENTION_WEIGHTS.tolerance, 2e-5);
        }
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
        let first = case.reference().len();
        for (q, kv) in &operands {
            let out = case.output(u64::from(heads * size), None);
            attention(&mut case.pass, Rows::Fixed(1), *q, Kv { v, ..*kv }, out, h, None);
        }
        let outputs = case.reference();
        for layer in 0..layers as usize {
            let weight = |s: u32| outputs[1][s as usize * layers as usize + layer];
            let sum: f64 = (0..=pos).map(|s| f64::from(weight(s))).sum();
            assert!((sum - 1.0).abs() < 1e-6, "layer {layer}: the weights sum to {sum}");
            let mixed = &outputs[first + layer];
            let mean = mixed.iter().sum::<f32>() / mixed.len() as f32;
            assert!((weight(chosen) - mean).abs() < 1e-6, "layer {layer}: {} instead of {mean}", weight(chosen));
        }
    }

    #[test]
    fn shaders_and_fast_versions_equal_twins_and_sum_to_one() {
        let shared = Tuning { key_splits: 3, share_keys: true, ..Tuning::SOFTWARE };
        for by in [By::Attention, By::Step(Tuning::SOFTWARE), By::Step(shared)] {
            let check = |pos, layers, heads, kv_heads, size, stored| {
                check(by, pos, layers, Heads { heads, kv_heads, size, causal: true }, stored);
            };
            check(0, 1, 2, 2, 8, CacheType::F32);
            check(200, 3, 8, 2, 32, CacheType::F32);
            check(63, 2, 2, 1, 128, CacheType::F16);
            check(64, 2, 3, 3, 12, CacheType::F32);
            check(301, 2, 6, 3, 48, CacheType::F16);
            check(130, 1, 2, 2, 20, CacheType::F16);
        }
    }
}
