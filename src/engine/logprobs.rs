//! Log-probabilities of tokens, from logits that were read back.
//!
//! They are those of the model: `log softmax(logits)` before penalties, biases, masks, temperature and restrictions, as
//! vLLM and llama.cpp report them. They are finite for every token.

use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// The log-probability of a token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its text as bytes, perhaps not whole characters. Of a special token, its spelling.
    pub bytes: Vec<u8>,
}

/// The log-probability of a chosen token, and of the most likely ones in its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenProbability {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its text as bytes.
    pub bytes: Vec<u8>,
    /// The most likely tokens, the likeliest first; of equally likely ones, the lower id first.
    pub top: Vec<TokenLogprob>,
}

/// Returns the log-probability of `id` and of the `count` most likely tokens, for `logits [V]`.
pub(super) fn probability(logits: &[f32], id: u32, count: usize, tokenizer: &Tokenizer) -> TokenProbability {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total = logits.iter().map(|l| f64::from(l - most).exp()).sum::<f64>().ln();
    let token = |id: u32| {
        let logit = logits.get(id as usize).copied().unwrap_or(f32::MIN);
        let logprob = (f64::from(logit - most) - total) as f32;
        TokenLogprob { id, logprob, bytes: tokenizer.token_bytes(id) }
    };
    let TokenLogprob { id, logprob, bytes } = token(id);
    TokenProbability { id, logprob, bytes, top: largest(logits, count).into_iter().map(token).collect() }
}

/// Returns the indices of the `count` largest values, the largest first; of equal ones, the lower index first.
fn largest(values: &[f32], count: usize) -> Vec<u32> {
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (value, index) in values.iter().zip(0..) {
        if found.len() < count || found.last().is_some_and(|(last, _)| value > last) {
            let place = found.partition_point(|(other, _)| other >= value);
            found.insert(place, (*value, index));
            found.truncate(count);
        }
    }
    found.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::byte_level;

    #[test]
    fn the_largest_are_found_in_order() {
        let values = [1.0, 3.0, -2.0, 3.0, 0.0, 2.5];
        assert_eq!(largest(&values, 4), [1, 3, 5, 0]);
        assert_eq!(largest(&values, 9), [1, 3, 5, 0, 4, 2]);
        assert_eq!(largest(&values, 0), [0; 0]);
        // Against a sort, on values with many ties.
        let many: Vec<f32> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32).collect();
        let mut sorted: Vec<u32> = (0..5000).collect();
        sorted.sort_by(|a, b| many[*b as usize].total_cmp(&many[*a as usize]));
        assert_eq!(largest(&many, 20), sorted[..20]);
    }

    #[test]
    fn logprobs_are_those_of_the_softmax() {
        let logits: Vec<f32> = (0..200).map(|i| ((i * 37) % 101) as f32 / 9.0 - 400.0).collect();
        let total: f64 = logits.iter().map(|l| f64::from(l + 400.0).exp()).sum();
        let found = probability(&logits, 7, 20, &byte_level());
        let wanted = |id: u32| f64::from(logits[id as usize] + 400.0) - total.ln();
        assert_eq!(found.top.len(), 20);
        for (id, logprob) in found.top.iter().map(|t| (t.id, t.logprob)).chain([(7, found.logprob)]) {
            assert!((f64::from(logprob) - wanted(id)).abs() < 1e-4, "{id}: {logprob}");
        }
        assert!(found.top.windows(2).all(|pair| pair[0].logprob >= pair[1].logprob));
    }
}
