//! The engine's options, events and results.

use crate::ensure;
use crate::error::Result;
use crate::model::CacheType;
use crate::tuning::Tuning;
use serde::{Deserialize, Serialize};

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
    /// A token was sampled.
    Token {
        /// Text that the token adds: whole characters, perhaps none.
        text: String,
        /// Tokens so far.
        count: u32,
        /// The token.
        id: u32,
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
        let (max_new_tokens, temperature, top_p) = (512, 0.0, 1.0);
        Self {
            max_new_tokens,
            temperature,
            top_k: 0,
            top_p,
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
        let unknown = self.answer_prefix.iter().find(|id| **id >= vocab_size);
        ensure!(unknown.is_none(), Argument, "begin", "{} is no token of {vocab_size}", unknown.unwrap());
        Ok(())
    }
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
    /// The observer cancelled.
    Cancelled,
}

/// An answer.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The text, without surrounding space.
    pub text: String,
    /// Generated tokens, including the ending one.
    pub ids: Vec<u32>,
    /// The prompt, with one image token per image row.
    pub prompt_ids: Vec<u32>,
    /// Rows of the prompt: its tokens and image rows.
    pub prompt_rows: u32,
    /// Number of its leading rows that were cached before.
    pub reused_rows: u32,
    /// Reason for its end.
    pub stop: Stop,
    /// With `keep_logits`: `[1 + ids, V]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logits: Vec<Vec<f32>>,
}

/// Result of encoding a picture.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Encoded {
    /// SHA-256 of the file, by which messages name the picture: 64 lower-case hex digits.
    pub id: String,
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
