//! The options of generation.

use crate::ensure;
use crate::error::Result;
use crate::pass::Call;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Largest number of most likely tokens whose log-probabilities are reported.
const MAX_TOP_LOGPROBS: u32 = 20;
/// Largest number of texts that end an answer.
const MAX_STOPS: usize = 16;
/// Longest text that ends an answer, bytes.
const MAX_STOP_BYTES: usize = 1024;
/// The logit bias that excludes a token.
const EXCLUDING_BIAS: f32 = -100.0;

/// Options of generation. Greedy by default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateOptions {
    /// Longest answer, tokens.
    pub max_new_tokens: u32,
    /// Sampling temperature. 0 takes the most likely token; LLaVA's demo uses 0.2.
    pub temperature: f32,
    /// Number of most likely tokens to sample from; 0 for all.
    pub top_k: u32,
    /// Cumulative probability of the most likely tokens to sample from; LLaVA's demo uses 0.7.
    pub top_p: f32,
    /// Smallest probability of a token that is sampled, as a share of the most likely one's; 0 for all.
    pub min_p: f32,
    /// Divides the positive logits of tokens that prompt or answer hold, and multiplies the negative ones; 1 changes
    /// none. The prompt has an image token where it has a picture.
    pub repetition_penalty: f32,
    /// Subtracted from a token's logit for each of its occurrences in the answer, -2 to 2.
    pub frequency_penalty: f32,
    /// Subtracted from the logit of each token that the answer holds, -2 to 2.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens, -100 to 100; -100 excludes a token.
    #[serde(deserialize_with = "biases_by_text")]
    pub logit_bias: BTreeMap<u32, f32>,
    /// Number of most likely tokens, at most 20, whose log-probabilities are reported for each token, beside its own;
    /// `None` reports none.
    pub top_logprobs: Option<u32>,
    /// Reports the attention by which each token was chosen, over the pictures of the prompt.
    pub attention: bool,
    /// Texts that end the answer. It does not include them.
    pub stop: Vec<String>,
    /// Seed of the sampler. The same seed gives the same answer on the same device.
    pub seed: u32,
    /// Continues after the end-of-answer token, for measurements.
    pub ignore_eos: bool,
    /// Keeps the logits of the last prompt row and of every generated one.
    pub keep_logits: bool,
    /// First tokens of an answer that was interrupted (`begin` in JSON). Generation continues after them, and the
    /// answer includes them.
    #[serde(rename = "begin")]
    pub answer_prefix: Vec<u32>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 512,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            top_logprobs: None,
            attention: false,
            stop: Vec::new(),
            seed: 0,
            ignore_eos: false,
            keep_logits: false,
            answer_prefix: Vec::new(),
        }
    }
}

impl GenerateOptions {
    /// Checks the ranges of the options, for a vocabulary of `vocab_size` tokens.
    pub(super) fn check(&self, vocab_size: u32) -> Result<()> {
        let t = self.temperature;
        ensure!((0.0..=100.0).contains(&t), Argument, "temperature", "{t} is not between 0 and 100");
        let p = self.top_p;
        ensure!(p > 0.0 && p <= 1.0, Argument, "top_p", "{p} is not above 0 and at most 1");
        let p = self.min_p;
        ensure!((0.0..=1.0).contains(&p), Argument, "min_p", "{p} is not between 0 and 1");
        let r = self.repetition_penalty;
        ensure!((1e-3..=1e3).contains(&r), Argument, "repetition_penalty", "{r} is not between 0.001 and 1000");
        for (name, f) in [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)] {
            ensure!((-2.0..=2.0).contains(&f), Argument, name, "{f} is not between -2 and 2");
        }
        for (id, bias) in &self.logit_bias {
            ensure!(*id < vocab_size, Argument, "logit_bias", "{id} is no token of {vocab_size}");
            ensure!((-100.0..=100.0).contains(bias), Argument, "logit_bias", "{bias} is not between -100 and 100");
        }
        let n = self.top_logprobs.unwrap_or(0);
        ensure!(n <= MAX_TOP_LOGPROBS, Argument, "top_logprobs", "{n} is more than {MAX_TOP_LOGPROBS}");
        let stops = self.stop.len();
        ensure!(stops <= MAX_STOPS, Argument, "stop", "{stops} texts are more than {MAX_STOPS}");
        let fits = |text: &String| (1..=MAX_STOP_BYTES).contains(&text.len());
        ensure!(self.stop.iter().all(fits), Argument, "stop", "a text is empty or longer than {MAX_STOP_BYTES} bytes");
        let unknown = self.answer_prefix.iter().find(|id| **id >= vocab_size);
        ensure!(unknown.is_none(), Argument, "begin", "{} is no token of {vocab_size}", unknown.unwrap());
        Ok(())
    }

    /// Returns the call of a step at position `pos` that samples with these options.
    pub(super) fn call(&self, pos: u32) -> Call {
        let Self { seed, temperature, top_k, top_p, min_p, .. } = *self;
        let Self { repetition_penalty, frequency_penalty, presence_penalty, .. } = *self;
        let plain = Call { seed, temperature, top_k, top_p, ..Call::new(1, pos) };
        let max_gap = if min_p > 0.0 { -temperature * min_p.ln() } else { plain.max_gap };
        let biased = u32::from(!self.logit_bias.is_empty());
        Call { max_gap, repetition_penalty, frequency_penalty, presence_penalty, biased, ..plain }
    }

    /// Returns the biases of logits; minus infinity excludes a token.
    pub(super) fn biases(&self) -> impl Iterator<Item = (u32, f32)> {
        let excluding = |bias: f32| if bias <= EXCLUDING_BIAS { f32::NEG_INFINITY } else { bias };
        self.logit_bias.iter().map(move |(id, bias)| (*id, excluding(*bias)))
    }
}

/// Reads a map whose keys are ids as text: JSON and JavaScript objects have no other keys.
fn biases_by_text<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<u32, f32>, D::Error> {
    let read = |(id, bias): (String, f32)| match id.parse() {
        Ok(id) => Ok((id, bias)),
        Err(_) => Err(D::Error::custom(format!("logit_bias: `{id}` is no token id"))),
    };
    BTreeMap::<String, f32>::deserialize(from)?.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::process_logits::{EXCLUDED, IN_PROMPT, mask_words, process};
    use crate::kernels::sample::weights;
    use serde_json::Value;

    const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sampling.json"));

    /// Returns the probability of each token by the twins, for a case of `sampling.json`.
    fn probabilities(case: &Value) -> Vec<f64> {
        let numbers = |name: &str| -> Vec<f32> { serde_json::from_value(case[name].clone()).unwrap() };
        let options: GenerateOptions = serde_json::from_value(case["options"].clone()).unwrap();
        let logits = numbers("logits");
        options.check(logits.len() as u32).unwrap();
        let mut call = options.call(0);
        let (mut counts, mut bias) = (vec![0; logits.len()], vec![0.0; logits.len()]);
        numbers("prompt").iter().for_each(|id| counts[*id as usize] = IN_PROMPT);
        numbers("answer").iter().for_each(|id| counts[*id as usize] += 1);
        options.biases().for_each(|(id, b)| bias[id as usize] = b.max(EXCLUDED));
        let mut mask = vec![0; mask_words(logits.len() as u32) as usize];
        if case.get("allowed").is_some() {
            call.masked = 1;
            numbers("allowed").iter().for_each(|id| mask[*id as usize / 32] |= 1u32 << (*id as u32 % 32));
        }
        let mut processed = logits.clone();
        if call.processes_logits() {
            process((&logits, &counts, &bias, &mask), &call, &mut processed);
        }
        let most = processed.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = weights(&processed, most, &call);
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// Compares a case with transformers, which computes in f32; a probability of 0 is that of a token that is not kept.
    fn compare(case: &Value) -> std::result::Result<(), String> {
        for (id, found) in probabilities(case).into_iter().enumerate() {
            let wanted = case["probabilities"].get(id.to_string()).map_or(0.0, |p| p.as_f64().unwrap());
            if (found > 0.0) != (wanted > 0.0) || (found - wanted).abs() > 3e-6 * wanted {
                return Err(format!("token {id}: {found} instead of {wanted}, {}", case["options"]));
            }
        }
        Ok(())
    }

    fn cases() -> Vec<Value> {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        golden["cases"].as_array().unwrap().clone()
    }

    #[test]
    fn twins_keep_the_tokens_and_probabilities_of_transformers() {
        assert_eq!(cases().len(), 64);
        for (index, case) in cases().iter().enumerate() {
            compare(case).unwrap_or_else(|why| panic!("case {index}, {why}"));
        }
    }

    /// The comparison notices when an option is left out, and when the mask is.
    #[test]
    fn every_option_is_compared() {
        let names = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "frequency_penalty"];
        for name in names.into_iter().chain(["presence_penalty", "logit_bias", "allowed"]) {
            let without = |mut case: Value| {
                case.as_object_mut().unwrap().remove(name);
                case["options"].as_object_mut().unwrap().remove(name);
                compare(&case)
            };
            assert!(cases().into_iter().filter(|case| without(case.clone()).is_err()).count() >= 2, "{name}");
        }
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let refused = |json: &str, place: &str| {
            let options: GenerateOptions = serde_json::from_str(json).unwrap();
            let error = options.check(100).expect_err(json);
            assert_eq!(error.place, place, "{json}: {error}");
        };
        refused(r#"{"min_p": 1.5}"#, "min_p");
        refused(r#"{"repetition_penalty": 0}"#, "repetition_penalty");
        refused(r#"{"frequency_penalty": 2.1}"#, "frequency_penalty");
        refused(r#"{"presence_penalty": -3}"#, "presence_penalty");
        refused(r#"{"logit_bias": {"100": 1}}"#, "logit_bias");
        refused(r#"{"logit_bias": {"5": 101}}"#, "logit_bias");
        refused(r#"{"top_logprobs": 21}"#, "top_logprobs");
        refused(r#"{"stop": ["a", ""]}"#, "stop");
        refused(&format!(r#"{{"stop": {:?}}}"#, vec!["a"; MAX_STOPS + 1]), "stop");
        refused(&format!(r#"{{"stop": ["{}"]}}"#, "a".repeat(MAX_STOP_BYTES + 1)), "stop");
        let nan = GenerateOptions { repetition_penalty: f32::NAN, ..GenerateOptions::default() };
        assert!(nan.check(100).is_err());
        for wrong in [r#"{"logit_bias": {"x": 1}}"#, r#"{"logit_bias": {"-1": 1}}"#, r#"{"min_q": 1}"#] {
            assert!(serde_json::from_str::<GenerateOptions>(wrong).is_err(), "{wrong}");
        }
        let all = r#"{"min_p": 0.1, "logit_bias": {"7": -100, "8": 3}, "stop": ["é"], "top_logprobs": 20, "top_k": 4294967295}"#;
        let options: GenerateOptions = serde_json::from_str(all).unwrap();
        options.check(100).unwrap();
        assert_eq!(options.biases().collect::<Vec<_>>(), [(7, f32::NEG_INFINITY), (8, 3.0)]);
    }
}
