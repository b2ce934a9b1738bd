//! The engine's options, events and results.

use super::logprobs::TokenProbability;
use crate::ensure;
use crate::error::Result;
use crate::model::CacheType;
use crate::pass::Call;
use crate::tuning::Tuning;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Progress of a call.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// Tower and connector.
    Encode {
        /// Tiles of the picture encoded.
        done: u32,
        /// Tiles of the picture.
        total: u32,
    },
    /// Rows prefilled into the cache.
    Prefill {
        /// Rows cached.
        done: u32,
        /// Rows of the prompt.
        total: u32,
    },
    /// A token was sampled, or text that was withheld until the end of the answer became certain.
    Token {
        /// Text that the token adds: whole characters, perhaps none. Never the beginning of a stop string that may still
        /// come.
        text: String,
        /// Tokens so far.
        count: u32,
        /// The token; absent from the last event of an answer where that brings withheld text alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// With `top_logprobs`: the probability of the token.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob: Option<TokenProbability>,
    },
}

/// Receives events, and can pause or cancel the engine between two pieces of work.
#[allow(async_fn_in_trait)] // one thread: no Send is promised
pub trait Observer {
    /// Receives an event.
    fn event(&mut self, event: Event);
    /// Waits as long as the caller needs, between chunks and tokens. Returns whether to cancel.
    async fn pause(&mut self) -> bool;
}

/// An observer that ignores events and never cancels.
pub struct SilentObserver;

impl Observer for SilentObserver {
    fn event(&mut self, _: Event) {}
    async fn pause(&mut self) -> bool {
        false
    }
}

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
            stop: Vec::new(),
            seed: 0,
            ignore_eos: false,
            keep_logits: false,
            answer_prefix: Vec::new(),
        }
    }
}

/// Largest number of most likely tokens whose log-probabilities are reported.
const MAX_TOP_LOGPROBS: u32 = 20;
/// Largest number of texts that end an answer.
const MAX_STOPS: usize = 16;
/// Longest text that ends an answer, bytes.
const MAX_STOP_BYTES: usize = 1024;
/// The logit bias that excludes a token.
const EXCLUDING_BIAS: f32 = -100.0;

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

/// A turn of an earlier conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RestoredTurn {
    /// The question.
    pub question: String,
    /// The answer's tokens.
    #[serde(default)]
    pub ids: Vec<u32>,
    /// The answer's text, in place of `ids`, where another model has written it.
    #[serde(default)]
    pub text: Option<String>,
    /// Number of pictures before the question.
    pub images: usize,
}

/// Reason for the end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The model ended it.
    Eos,
    /// `max_new_tokens` was reached.
    Length,
    /// The context is full.
    Context,
    /// A text of `stop` came.
    Stop,
    /// The observer cancelled.
    Cancelled,
}

/// An answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The text, without surrounding space, and up to a stop string.
    pub text: String,
    /// Generated tokens, including the ending one, or those of the stop string.
    pub ids: Vec<u32>,
    /// The prompt, with one image token per image row.
    pub prompt_ids: Vec<u32>,
    /// Number of leading rows of the prompt that were cached before.
    pub reused_rows: u32,
    /// Reason for its end.
    pub stop: Stop,
    /// With `top_logprobs`: the probability of each of `ids`, except of those that the answer began with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenProbability>,
    /// With `keep_logits`: `[1 + ids, V]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logits: Vec<Vec<f32>>,
}

/// Result of encoding a picture.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Encoded {
    /// Width of the upright picture, pixels.
    pub width: u32,
    /// Height of the upright picture, pixels.
    pub height: u32,
    /// Rows of the picture in the context.
    pub rows: u32,
    /// Whether the device had its embeds already.
    pub reused: bool,
    /// Tiles of the picture.
    pub tiles: u32,
    /// Whether the observer cancelled before the prefix was prefilled. The picture is then not attached; what was
    /// computed is reused when it is encoded again.
    pub cancelled: bool,
}

/// Model, device, memory and conversation.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Notes for people on how the weights are stored.
    pub notes: Vec<String>,
    /// `cpu`, `webgpu`, `vulkan`, ...
    pub backend: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Bytes in device buffers: weights, cache, activations.
    pub device_bytes: u64,
    /// How keys and values are stored.
    pub cache_type: CacheType,
    /// Rows that the cache can grow to.
    pub context: u32,
    /// Rows that it holds.
    pub cached: u32,
    /// Turns of the conversation.
    pub turns: u32,
    /// A GPU's tuning, for later visits to the same GPU ([`Loader::set_tuning`](super::Loader::set_tuning)).
    pub tuning: Option<Tuning>,
}
