//! The sampler: a token from the logits, on the device.
//!
//! The plain choice reads the logits. Where a call has penalties, biases or a mask, one more kernel writes the logits
//! that these give, and the choice reads them instead. The sampler counts what it chooses, so that penalties are right
//! while steps run ahead of the host.

use super::Model;
use super::decoder::DecoderBuffers;
use crate::device::{Device, Readback};
use crate::error::Result;
use crate::kernels::process_logits::{EXCLUDED, IN_PROMPT, LogitsInputs, mask_words, process_logits};
use crate::kernels::sample::sample;
use crate::pass::{Buf, Call, Pass};

/// What the sampler reads beside the logits.
pub struct SamplerBuffers {
    /// `[V]`: occurrences of each token in the answer, and [`IN_PROMPT`] where the prompt has it.
    counts: Buf,
    /// `[V]`.
    bias: Buf,
    /// `[⌈V / 32⌉]`: a bit for each token, set where it is allowed.
    mask: Buf,
    /// `[V]`: the logits after penalties, bias and mask.
    processed: Buf,
    vocab: u32,
}

impl SamplerBuffers {
    /// Allocates them for a vocabulary of `vocab` tokens.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports.
    pub async fn new(device: &mut Device, vocab: u32) -> Result<Self> {
        let v = u64::from(vocab);
        Ok(Self {
            counts: device.buffer("token counts", v).await?,
            bias: device.buffer("logit bias", v).await?,
            mask: device.buffer("mask of tokens", u64::from(mask_words(vocab))).await?,
            processed: device.buffer("processed logits", v).await?,
            vocab,
        })
    }

    /// Appends the choice of a token from `logits [V]`.
    pub fn record(&self, pass: &mut Pass, logits: Buf, b: &DecoderBuffers) {
        sample(pass, logits, b.ids, b.history, self.counts, self.vocab);
    }

    /// Appends the processing of the decoder's logits and the choice of a token from the result.
    pub fn record_processed(&self, pass: &mut Pass, b: &DecoderBuffers) {
        let inputs = LogitsInputs { logits: b.logits, counts: self.counts, bias: self.bias, mask: self.mask };
        process_logits(pass, inputs, self.processed, self.vocab);
        self.record(pass, self.processed, b);
    }
}

impl Model {
    /// Samples a token from the logits: it becomes the next step's input and entry `call.step` of the history.
    ///
    /// # Errors
    /// What [`Device::replay`] reports.
    pub fn sample(&mut self, call: &Call) -> Result<()> {
        let choice = if call.processes_logits() { self.passes.process } else { self.passes.sample };
        self.device.replay(&[choice], call)
    }

    /// Runs the last sampled token through the decoder at `call.pos`, up to the logits of its row.
    ///
    /// # Errors
    /// What [`Device::replay`] reports.
    pub fn step_logits(&mut self, call: &Call) -> Result<()> {
        self.device.replay(&[self.step_pass(), self.passes.head], call)
    }

    /// Runs the last sampled token through the decoder at `call.pos` and samples the next, in one submission and
    /// without a read-back.
    ///
    /// # Errors
    /// What [`Device::replay`] reports.
    pub fn step(&mut self, call: &Call) -> Result<()> {
        let choice = if call.processes_logits() { self.passes.process } else { self.passes.sample };
        self.device.replay(&[self.step_pass(), self.passes.head, choice], call)
    }

    /// Sets the tokens that penalties count: those of the prompt, and those that the answer has already. Ids outside
    /// the vocabulary are ignored.
    pub fn set_counts(&mut self, prompt: &[u32], answer: &[u32]) {
        let mut counts = vec![0u32; self.sampler.vocab as usize];
        for id in prompt {
            if let Some(count) = counts.get_mut(*id as usize) {
                *count = IN_PROMPT;
            }
        }
        for id in answer {
            if let Some(count) = counts.get_mut(*id as usize) {
                *count += 1;
            }
        }
        self.device.upload(self.sampler.counts, 0, bytemuck::cast_slice(&counts));
    }

    /// Sets the biases of logits, for calls with `biased`; minus infinity excludes a token. Ids outside the vocabulary
    /// are ignored.
    pub fn set_bias(&mut self, biases: impl IntoIterator<Item = (u32, f32)>) {
        let mut words = vec![0f32; self.sampler.vocab as usize];
        for (id, bias) in biases {
            if let Some(word) = words.get_mut(id as usize) {
                *word = bias.max(EXCLUDED);
            }
        }
        self.device.upload(self.sampler.bias, 0, bytemuck::cast_slice(&words));
    }

    /// Sets the tokens that may be sampled next, for calls with `masked`: bit `id % 32` of word `id / 32` is set where
    /// a token is allowed. Samplings that were launched before keep theirs.
    ///
    /// # Panics
    /// When `words` are more than [`mask_words`](Self::mask_words), which no input can cause.
    pub fn set_mask(&mut self, words: &[u32]) {
        self.device.upload(self.sampler.mask, 0, bytemuck::cast_slice(words));
    }

    /// Returns the number of words of a mask.
    pub fn mask_words(&self) -> usize {
        self.sampler.mask.words as usize
    }

    /// Returns the largest number of tokens of one answer.
    pub fn history_limit(&self) -> u32 {
        self.decoder.history.words as u32
    }

    /// Starts reading back the token that was sampled in `step`.
    pub fn start_token_read_back(&mut self, step: u32) -> Readback {
        self.device.start_read_back(self.decoder.history, step as usize, 1)
    }

    /// Starts reading back the logits `[V]` of the last head.
    pub fn start_logits_read_back(&mut self) -> Readback {
        self.device.start_read_back(self.decoder.logits, 0, self.sampler.vocab as usize)
    }
}
