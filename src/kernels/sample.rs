//! The next token from the logits, on the device: argmax, or temperature, top-k and top-p, and a seed.
//!
//! Sampling draws from `softmax(logits / temperature)` restricted first to the `top_k` most likely tokens, then
//! to the fewest of those whose probabilities (renormalised) reach `top_p`, then to those at least `min_p` times as
//! likely as the first, as transformers does. Thresholds are found bit by bit on order-preserving integer keys (a radix
//! select): nothing is sorted. All ties at a threshold are kept; transformers keeps some of the ties at `top_p`, as its
//! sort has ordered them. The token goes to `ids[0]`, where the next step reads it, to `history[step]` for the host, and
//! is counted in `counts`, where the next step's penalties read it.

use super::process_logits::EXCLUDED;
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// One workgroup for the whole vocabulary.
pub static SAMPLE: Kernel = Kernel {
    name: "sample",
    wgsl: concat!(include_str!("sample.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite, ReadWrite, ReadWrite],
    workgroup: [256, 1, 1],
    grid: |_, _| [1, 1, 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // Token ids are equal.
    tolerance: 0.0,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [logits, ids, history, counts] = buffers else { unreachable!("checked by Pass::push") };
    let token = pick(&logits.f32()[..op.params[0] as usize], call);
    ids.0[0] = token;
    history.0[call.step as usize] = token;
    counts.0[token as usize] = counts.0[token as usize].wrapping_add(1);
}

/// Returns the token for these logits and the options of `call`.
pub fn pick(logits: &[f32], call: &Call) -> u32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let argmax = logits.iter().position(|l| *l == most).unwrap_or(0) as u32;
    if call.temperature <= 0.0 {
        return argmax;
    }
    let weights = weights(logits, most, call);
    let target = f64::from(uniform(call.seed, call.step)) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    for (token, weight) in weights.iter().enumerate() {
        sum += weight;
        if sum > target {
            return token as u32;
        }
    }
    argmax
}

/// Returns the weights that a token is drawn with, for a largest logit of `most`: 0 for tokens that are not kept.
pub(crate) fn weights(logits: &[f32], most: f32, call: &Call) -> Vec<f64> {
    let weight = |l: &f32| f64::from((l - most) / call.temperature).exp();
    let mut floor = key(EXCLUDED) + 1;
    if call.top_k > 0 {
        let above = |t: u32| logits.iter().filter(|l| key(**l) >= t).count();
        floor = floor.max(threshold(|t| above(t) >= call.top_k as usize));
    }
    let mut weights: Vec<f64> = logits.iter().map(weight).collect();
    if call.top_p < 1.0 {
        let above = |t: u32| logits.iter().zip(&weights).filter(|(l, _)| key(**l) >= t).map(|(_, w)| w).sum::<f64>();
        let target = f64::from(call.top_p) * above(floor);
        floor = floor.max(threshold(|t| above(t) >= target));
    }
    floor = floor.max(key(most - call.max_gap));
    weights.iter_mut().zip(logits).filter(|(_, l)| key(**l) < floor).for_each(|(w, _)| *w = 0.0);
    weights
}

/// Returns the largest key for which `enough` holds of the tokens at or above it.
fn threshold(enough: impl Fn(u32) -> bool) -> u32 {
    (0..32).rev().fold(0u32, |t, bit| if enough(t | 1 << bit) { t | 1 << bit } else { t })
}

/// Returns an integer that orders as the float does.
fn key(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Returns a number uniform in [0, 1) from the seed and the step, with 24 bits.
///
/// # Source
/// The PCG hash: Jarzynski and Olano, JCGT 9(3), 2020.
fn uniform(seed: u32, step: u32) -> f32 {
    (pcg(pcg(seed).wrapping_add(step)) >> 8) as f32 / (1u32 << 24) as f32
}

fn pcg(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// Appends the sampling of a token from `logits [V]`: into `ids[0]` and `history[call.step]`; `counts [V]` counts it.
pub fn sample(pass: &mut Pass, logits: Buf, ids: Buf, history: Buf, counts: Buf, vocab: u32) {
    assert!(logits.words.min(counts.words) >= u64::from(vocab), "sample");
    let params = [vocab, 0, 0, 0, 0, 0, 0, 0];
    // Mesa's llvmpipe ends the loops of an invocation after 65536 rounds in total; a threshold reads its share 32
    // times.
    let lanes = pass.tuning.sample_lanes.max((vocab / 512).next_power_of_two().min(256));
    let buffers = vec![logits, ids, history, counts];
    pass.push(Op { kernel: &SAMPLE, consts: vec![("LANES", lanes)], params, buffers });
}

#[cfg(test)]
mod tests;
