//! The LLaMA decoder: rows of `ids` → logits, over a cache of everything read before.
//!
//! Pre-norm blocks: RMSNorm, attention with rotary positions over the cache, RMSNorm, SiLU-gated MLP.
//! Source: arXiv 2302.13971; `LlamaForCausalLM` of transformers.

use super::attention::{Attention, AttentionBuffers};
use super::kv_cache::{CacheType, KvCache};
use super::linear::{Linear, stacked};
use crate::config::{Config, TextConfig};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::Rows;
use crate::kernels::activation::silu_mul;
use crate::kernels::attention::Heads;
use crate::kernels::attention_step::part_words;
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::rope;
use crate::kernels::select_rows::{Take, select_rows};
use crate::pass::{Buf, Pass};
use crate::tuning::Tuning;

/// Most splits of a step's attention that a tuning may ask for.
const MOST_SPLITS: u32 = Tuning::HARDWARE.key_splits;

/// One decoder block.
pub struct DecoderBlock {
    /// `[H]`.
    pub input_layernorm: Buf,
    /// Causal, grouped queries allowed.
    pub self_attn: Attention,
    /// `[H]`.
    pub post_attention_layernorm: Buf,
    /// `H → F`.
    pub gate_proj: Linear,
    /// `H → F`.
    pub up_proj: Linear,
    /// `F → H`.
    pub down_proj: Linear,
}

/// The decoder's weights.
pub struct Decoder {
    /// `[V, H]`.
    pub embed_tokens: Linear,
    /// In order.
    pub blocks: Vec<DecoderBlock>,
    /// `[H]`, before the head.
    pub norm: Buf,
    /// `[V, H]`; the embedding table itself where they are tied.
    pub lm_head: Linear,
}

/// Activations, cache and the small buffers through which host and sampler talk to the decoder.
pub struct DecoderBuffers {
    /// `[chunk]`: what the next pass reads.
    pub ids: Buf,
    /// `[slots · P, H]`.
    pub image_embeds: Buf,
    /// `[V]`.
    pub logits: Buf,
    /// `[context]`: tokens chosen, by step.
    pub history: Buf,
    hidden: Buf,
    normed: Buf,
    attention: AttentionBuffers,
    gate: Buf,
    up: Buf,
    head_row: Buf,
    head_normed: Buf,
    rope_table: Buf,
    /// Splits of a step's attention.
    key_parts: Buf,
    placeholders: Placeholders,
    /// Keys and values: as many rows as were needed so far, at most the context.
    pub cache: KvCache,
}

impl DecoderBuffers {
    /// Allocates them for a context of at most `context` rows, of which the cache has room for `rows` at first
    /// ([`KvCache::grow`]).
    ///
    /// # Errors
    /// What [`Device::buffer`] reports.
    pub async fn new(device: &mut Device, config: &Config, context: u32, rows: u32, stored: CacheType) -> Result<Self> {
        let cache = KvCache::new(device, &config.text, rows.min(context), stored).await?;
        let t = &config.text;
        let chunk = u64::from(device.tuning().map_or(Tuning::CHUNK, |tuning| tuning.chunk));
        let [h, f, d, v] = [t.hidden_size, t.intermediate_size, t.head_dim, t.vocab_size].map(u64::from);
        let [heads, kv_heads] = [t.num_attention_heads, t.num_key_value_heads].map(u64::from);
        // As many pictures as the context could hold, at least one.
        let image_rows = u64::from((context / config.image_rows()).max(1) * config.image_rows());
        let table = rope::table(context, t.head_dim, t.rope_theta);
        let buffers = Self {
            ids: device.buffer("ids", chunk).await?,
            image_embeds: device.buffer("image embeds of the conversation", image_rows * h).await?,
            logits: device.buffer("logits", v).await?,
            history: device.buffer("history", u64::from(context)).await?,
            hidden: device.buffer("hidden", chunk * h).await?,
            normed: device.buffer("normed", chunk * h).await?,
            attention: AttentionBuffers::new(device, chunk, heads * d, kv_heads * d).await?,
            gate: device.buffer("gate", chunk * f).await?,
            up: device.buffer("up", chunk * f).await?,
            head_row: device.buffer("head row", h).await?,
            head_normed: device.buffer("head normed", h).await?,
            rope_table: device.buffer("rope table", table.len() as u64).await?,
            key_parts: device
                .buffer("attention in splits", part_words(t.num_attention_heads, t.head_dim, MOST_SPLITS))
                .await?,
            placeholders: Placeholders::new(device).await?,
            cache,
        };
        device.upload(buffers.rope_table, 0, bytemuck::cast_slice(&table));
        Ok(buffers)
    }

    /// The normalised hidden row as a mat-vec takes it: by doing it itself, or from a dispatch before it.
    fn input(&self, pass: &mut Pass, gamma: Buf, eps: f32, head_row: bool) -> RowInput {
        let width = gamma.words as u32;
        if pass.tuning.fuse_norm {
            return RowInput::Norm { x: self.hidden, gamma, eps, head_row };
        }
        let (x, out) = if head_row { (self.head_row, self.head_normed) } else { (self.hidden, self.normed) };
        if head_row {
            select_rows(pass, self.hidden, Take::HeadRow, x, width);
        }
        rms_norm(pass, Rows::Fixed(1), x, gamma, out, width, eps);
        RowInput::Plain(out)
    }
}

impl Decoder {
    /// Appends the reading of `m` rows of `b.ids`: through all blocks, into the cache.
    pub fn record(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers, m: Rows) {
        let (h, f, eps) = (t.hidden_size, t.intermediate_size, t.rms_norm_eps);
        let heads =
            Heads { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, size: t.head_dim, causal: true };
        self.embed_tokens.record_rows(pass, m, b.image_embeds, b.ids, b.hidden);
        for (block, cache) in self.blocks.iter().zip(&b.cache.layers) {
            rms_norm(pass, m, b.hidden, block.input_layernorm, b.normed, h, eps);
            block.self_attn.record_cached(pass, m, b.normed, b.hidden, &b.attention, heads, b.rope_table, *cache);
            rms_norm(pass, m, b.hidden, block.post_attention_layernorm, b.normed, h, eps);
            block.gate_proj.record(pass, m, b.normed, b.gate);
            block.up_proj.record(pass, m, b.normed, b.up);
            silu_mul(pass, m, b.gate, b.up, f);
            block.down_proj.record_residual(pass, m, b.gate, b.hidden);
        }
    }

    /// Appends the logits of row `call.head_row`.
    pub fn record_head(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers) {
        let one = Rows::Fixed(1);
        select_rows(pass, b.hidden, Take::HeadRow, b.head_row, t.hidden_size);
        rms_norm(pass, one, b.head_row, self.norm, b.head_normed, t.hidden_size, t.rms_norm_eps);
        self.lm_head.record(pass, one, b.head_normed, b.logits);
    }

    /// Appends the reading of one row on a GPU: as [`record`](Self::record), in six dispatches per block.
    pub fn record_step(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers) {
        let eps = t.rms_norm_eps;
        let h = Heads { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, size: t.head_dim, causal: true };
        self.embed_tokens.record_rows(pass, Rows::Fixed(1), b.image_embeds, b.ids, b.hidden);
        for (block, cache) in self.blocks.iter().zip(&b.cache.layers) {
            let attention = &block.self_attn;
            if attention.heads_are_whole() {
                let input = b.input(pass, block.input_layernorm, eps, false);
                attention.record_step(
                    pass,
                    input,
                    b.hidden,
                    &b.attention,
                    h,
                    b.rope_table,
                    *cache,
                    b.key_parts,
                    b.placeholders,
                );
            } else {
                rms_norm(pass, Rows::Fixed(1), b.hidden, block.input_layernorm, b.normed, t.hidden_size, eps);
                let (one, x, table) = (Rows::Fixed(1), b.normed, b.rope_table);
                attention.record_cached(pass, one, x, b.hidden, &b.attention, h, table, *cache);
            }
            let input = b.input(pass, block.post_attention_layernorm, eps, false);
            match stacked(&[&block.gate_proj, &block.up_proj]) {
                Some(both) => matvec(pass, input, both, RowOutput::Gate(b.gate), b.placeholders),
                None => {
                    block.gate_proj.record_row(pass, input, RowOutput::Store(b.gate), b.placeholders);
                    block.up_proj.record_row(pass, input, RowOutput::Store(b.up), b.placeholders);
                    silu_mul(pass, Rows::Fixed(1), b.gate, b.up, t.intermediate_size);
                }
            }
            block.down_proj.record_row(pass, RowInput::Plain(b.gate), RowOutput::Add(b.hidden), b.placeholders);
        }
    }

    /// Appends the logits of row `call.head_row`, on a GPU.
    pub fn record_step_head(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers) {
        let input = b.input(pass, self.norm, t.rms_norm_eps, true);
        self.lm_head.record_row(pass, input, RowOutput::Store(b.logits), b.placeholders);
    }
}
