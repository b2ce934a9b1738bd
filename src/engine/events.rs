//! What goes into the engine beside bytes, and what comes out.

use crate::ensure;
use crate::error::Result;
use crate::model::CacheType;
use crate::tuning::Tuning;
use serde::{Deserialize, Serialize};

/// What the engine tells while it works.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// Tower and connector.
    Encode {
        /// Steps done.
        done: u32,
        /// Of so many.
        total: u32,
    },
    /// Rows read into the cache.
    Prefill {
        /// Rows done.
        done: u32,
        /// Of so many.
        total: u32,
    },
    /// A token was chosen.
    Token {
        /// What it adds to the text: whole characters, perhaps none.
        text: String,
        /// Tokens so far.
        count: u32,
        /// The token.
        id: u32,
    },
}

/// Listens, and gives the host a turn between two pieces of work.
#[allow(async_fn_in_trait)] // one thread: no Send is promised
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: Event);
    /// Called between chunks and tokens; `true` cancels.
    async fn pause(&mut self) -> bool;
}

/// An observer that neither listens nor cancels.
pub struct Quiet;

impl Observer for Quiet {
    fn event(&mut self, _: Event) {}
    async fn pause(&mut self) -> bool {
        false
    }
}

/// How an answer is generated. Greedy by default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Longest answer, tokens.
    pub max_new_tokens: u32,
    /// 0 takes the most likely token; LLaVA's demo uses 0.2.
    pub temperature: f32,
    /// Only the so many most likely tokens; 0 for all.
    pub top_k: u32,
    /// Only the fewest tokens that reach this probability; LLaVA's demo uses 0.7.
    pub top_p: f32,
    /// The same seed gives the same answer on the same device.
    pub seed: u32,
    /// Goes on after the end-of-answer token, for measurements.
    pub ignore_eos: bool,
    /// Keeps the logits of the last prompt row and of every generated one.
    pub keep_logits: bool,
    /// An answer that was cut off: generation goes on after these tokens, which the answer then includes.
    pub begin: Vec<u32>,
}

impl Default for Options {
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
            begin: Vec::new(),
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<()> {
        let t = self.temperature;
        ensure!((0.0..=100.0).contains(&t), Argument, "temperature", "{t} is not between 0 and 100");
        let p = self.top_p;
        ensure!(p > 0.0 && p <= 1.0, Argument, "top_p", "{p} is not above 0 and at most 1");
        Ok(())
    }
}

/// A turn of a conversation that was held before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restored {
    /// What was asked.
    pub question: String,
    /// The answer.
    pub ids: Vec<u32>,
    /// Pictures before the question.
    pub images: usize,
}

/// Why an answer ended.
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
    /// Tokens generated, the ending one included.
    pub ids: Vec<u32>,
    /// The prompt, with one image token per image row.
    pub prompt_ids: Vec<u32>,
    /// Leading rows of the prompt that were in the cache already.
    pub reused_rows: u32,
    /// Why it ended.
    pub stop: Stop,
    /// With `keep_logits`: `[1 + ids, V]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logits: Vec<Vec<f32>>,
}

/// A picture was taken in.
#[derive(Debug, Clone, Serialize)]
pub struct Encoded {
    /// Size of the picture, pixels, upright.
    pub width: u32,
    /// Size of the picture, pixels, upright.
    pub height: u32,
    /// Rows it takes in the context.
    pub rows: u32,
    /// It had been encoded before.
    pub reused: bool,
    /// The observer cancelled before the prefix was read.
    pub cancelled: bool,
}

/// What runs, and how full it is.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Its parameters.
    pub parameters: u64,
    /// What should be known of how its weights are held.
    pub notes: Vec<String>,
    /// `cpu`, `webgpu`, `vulkan`, ...
    pub backend: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Bytes in device buffers: weights, cache, activations.
    pub device_bytes: u64,
    /// How keys and values are held.
    pub cache_type: CacheType,
    /// Rows the cache can grow to.
    pub context: u32,
    /// Rows it holds.
    pub cached: u32,
    /// Turns of the conversation so far.
    pub turns: u32,
    /// How a GPU computes: may be given to the next one of its kind ([`Loader::remember`](super::Loader::remember)).
    pub tuning: Option<Tuning>,
}
