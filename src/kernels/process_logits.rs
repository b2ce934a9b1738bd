//! The logits that a token is sampled from: biases, penalties and a mask applied to those of the model.
//!
//! In this order, which is that of transformers' logits processors and then OpenAI's penalties:
//! 1. `logit += bias`; a bias of [`EXCLUDED`] excludes the token (`SequenceBiasLogitsProcessor`, single tokens).
//! 2. A token of prompt or answer: `logit / repetition_penalty`, or `logit · repetition_penalty` below 0
//!    (`RepetitionPenaltyLogitsProcessor`).
//! 3. A token that the mask forbids is excluded (`PrefixConstrainedLogitsProcessor`).
//! 4. A token of the answer: `logit - frequency_penalty · count - presence_penalty` (OpenAI, vLLM).
//!
//! Excluded tokens have the logit [`EXCLUDED`], and [`sample`](super::sample) never draws them.

use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// The logit of an excluded token, in place of minus infinity: WGSL does not promise to compute with infinities.
pub const EXCLUDED: f32 = -1e30;
/// The bit of a token's count that is set where the prompt has the token. The bits below count the answer's.
pub const IN_PROMPT: u32 = 1 << 31;
/// Invocations per workgroup.
const WORKGROUP: u32 = 64;

/// One invocation per token.
pub static PROCESS_LOGITS: Kernel = Kernel {
    name: "process_logits",
    wgsl: concat!(include_str!("process_logits.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, Read, Read, ReadWrite],
    workgroup: [WORKGROUP, 1, 1],
    grid: |params, _| [params[0].div_ceil(WORKGROUP), 1, 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // A division and two additions, which a GPU may round otherwise.
    tolerance: 1e-12,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [logits, counts, bias, mask, out] = buffers else { unreachable!("checked by Pass::push") };
    let vocab = op.params[0] as usize;
    let inputs = (&logits.f32()[..vocab], &counts.0[..vocab], &bias.f32()[..vocab], &mask.0[..]);
    process(inputs, call, &mut out.f32_mut()[..vocab]);
}

/// Writes the processed logits of `(logits [V], counts [V], bias [V], mask [⌈V / 32⌉])` and the options of `call`.
pub fn process((logits, counts, bias, mask): (&[f32], &[u32], &[f32], &[u32]), call: &Call, out: &mut [f32]) {
    for (token, out) in out.iter_mut().enumerate() {
        let mut logit = logits[token];
        let mut excluded = false;
        if call.biased == 1 {
            excluded = bias[token] <= EXCLUDED;
            logit += bias[token];
        }
        if counts[token] != 0 {
            let penalty = call.repetition_penalty;
            logit = if logit < 0.0 { logit * penalty } else { logit / penalty };
        }
        if call.masked == 1 {
            excluded |= mask[token / 32] >> (token % 32) & 1 == 0;
        }
        let count = counts[token] & !IN_PROMPT;
        if count > 0 {
            logit -= call.frequency_penalty * count as f32 + call.presence_penalty;
        }
        *out = if excluded { EXCLUDED } else { logit };
    }
}

/// Returns the number of words of a mask over `vocab` tokens.
pub fn mask_words(vocab: u32) -> u32 {
    vocab.div_ceil(32)
}

/// What [`process_logits`] reads.
#[derive(Debug, Clone, Copy)]
pub struct LogitsInputs {
    /// `[V]`.
    pub logits: Buf,
    /// `[V]`: occurrences in the answer, and [`IN_PROMPT`].
    pub counts: Buf,
    /// `[V]`: added where `call.biased` is 1.
    pub bias: Buf,
    /// [`mask_words`]: bit `id % 32` of word `id / 32` is set where a token is allowed; read where `call.masked` is 1.
    pub mask: Buf,
}

/// Appends the processing of the logits of `vocab` tokens into `out [V]`.
pub fn process_logits(pass: &mut Pass, inputs: LogitsInputs, out: Buf, vocab: u32) {
    let LogitsInputs { logits, counts, bias, mask } = inputs;
    let long = [logits, counts, bias, out].iter().all(|b| b.words >= u64::from(vocab));
    assert!(long && mask.words >= u64::from(mask_words(vocab)), "process_logits");
    let params = [vocab, 0, 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &PROCESS_LOGITS, consts: vec![], params, buffers: vec![logits, counts, bias, mask, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    fn call() -> Call {
        let penalties =
            Call { repetition_penalty: 1.3, frequency_penalty: 0.4, presence_penalty: -0.7, ..Call::new(1, 0) };
        Call { biased: 1, masked: 1, ..penalties }
    }

    #[test]
    fn the_order_is_bias_repetition_mask_frequency_presence() {
        let logits = [2.0, -2.0, 2.0, 1.0, 2.0, 5.0];
        let counts = [0, 3, IN_PROMPT, IN_PROMPT | 2, 0, 0];
        let bias = [0.5, 0.0, 0.0, -2.0, EXCLUDED, 0.0];
        let mut out = [0.0; 6];
        process((&logits, &counts, &bias, &[0b011111]), &call(), &mut out);
        let wanted = [2.5, -2.6 - 3.0 * 0.4 + 0.7, 2.0 / 1.3, -1.3 - 2.0 * 0.4 + 0.7, EXCLUDED, EXCLUDED];
        for (got, wanted) in out.iter().zip(wanted) {
            assert!((got - wanted).abs() <= 1e-6 * wanted.abs(), "{out:?}");
        }
        // Without flags, bias and mask are not read.
        process((&logits, &[0; 6], &bias, &[0]), &Call::new(1, 0), &mut out);
        assert_eq!(out, logits);
    }

    #[test]
    fn shader_equals_twin() {
        for vocab in [5u32, 64, 1000, 32064] {
            for flags in 0..4u32 {
                let mut case = Case::new(format!("process_logits V {vocab} flags {flags}"));
                case.call = Call { biased: flags & 1, masked: flags >> 1, ..call() };
                let v = u64::from(vocab);
                let logits = case.random(v, 4.0);
                let counts = case.floats(v, 3.0);
                let in_prompt = |i: usize| if i.is_multiple_of(7) { IN_PROMPT } else { 0 };
                let counts: Vec<u32> =
                    counts.iter().enumerate().map(|(i, n)| n.max(0.0) as u32 | in_prompt(i)).collect();
                let counts = case.bytes(bytemuck::cast_slice(&counts));
                let bias: Vec<f32> = case.floats(v, 2.0);
                let bias: Vec<f32> = bias.iter().map(|b| if *b > 1.9 { EXCLUDED } else { *b }).collect();
                let bias = case.floats_of(&bias);
                let mask: Vec<u32> =
                    case.floats(u64::from(mask_words(vocab)), 1.0).iter().map(|f| f.to_bits()).collect();
                let mask = case.bytes(bytemuck::cast_slice(&mask));
                let out = case.output(v, None);
                process_logits(&mut case.pass, LogitsInputs { logits, counts, bias, mask }, out, vocab);
                case.check(PROCESS_LOGITS.tolerance, 1e-5);
            }
        }
    }
}
