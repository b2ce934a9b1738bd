//! The engine's events and results.

use super::attention::{AttentionPicture, TokenAttention};
use super::logprobs::TokenProbability;
use crate::model::CacheType;
use crate::tuning::Tuning;
use serde::Serialize;

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
    /// With `attention`: the pictures of the prompt, before all attention.
    AttentionPictures {
        /// In the order of the prompt; a picture that it has twice stands there twice.
        pictures: Vec<AttentionPicture>,
    },
    /// With `attention`: the attention by which a token was chosen, before the token itself.
    Attention(TokenAttention),
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
    /// Rows of the prompt: its tokens and image rows.
    pub prompt_rows: u32,
    /// Number of its leading rows that were cached before.
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
    /// Whether the observer cancelled between two tiles. The picture is then not on the device.
    pub cancelled: bool,
}

/// Model, device and memory.
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
    /// A GPU's tuning, for later visits to the same GPU ([`Loader::set_tuning`](super::Loader::set_tuning)).
    pub tuning: Option<Tuning>,
}
