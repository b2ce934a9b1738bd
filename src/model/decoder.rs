//! The LLaMA decoder: rows of `ids` → logits, over a cache of all earlier rows.
//!
//! Pre-norm blocks: RMSNorm, attention with rotary positions over the cache, RMSNorm, SiLU-gated MLP. Prefill and a
//! decoding step are recorded by the same functions; attention, MLP and head fuse operations where the pass is one row
//! on a GPU. Source: arXiv 2302.13971; `LlamaForCausalLM` of transformers.

use super::attention::{Attention, AttentionBuffers, CausalOperands, StepBuffers};
use super::kv_cache::{CacheType, KvCache};
use super::linear::{Linear, stacked};
use super::norm::RmsNorm;
use crate::config::{Config, TextConfig};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::Rows;
use crate::kernels::activation::silu_mul;
use crate::kernels::attention::Heads;
use crate::kernels::attention_step::part_words;
use crate::kernels::attention_weights::{ScoreBuffers, attention_weights};
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::rope;
use crate::pass::{Buf, Pass};
use crate::tuning::Tuning;

/// Largest number of splits of a step's attention among the tuner's candidates.
const MAX_KEY_SPLITS: u32 = Tuning::HARDWARE.key_splits;

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
    /// `[V, H]`; the embedding table itself where the two are tied.
    pub lm_head: Linear,
}

/// Activations, cache, and the small buffers that host, sampler and decoder exchange ids and logits through.
pub struct DecoderBuffers {
    /// `[chunk]`: token ids and image embed ids of the next pass's rows.
    pub ids: Buf,
    /// `[slots · rows of a tile, H]`, and `image_newline` behind them where there is one.
    pub image_embeds: Buf,
    /// `[V]`.
    pub logits: Buf,
    /// `[context]`: sampled tokens, by step.
    pub history: Buf,
    /// `[chunk, H]`, the residual stream.
    hidden: Buf,
    normed: Buf,
    attention: AttentionBuffers,
    gate: Buf,
    up: Buf,
    head_row: Buf,
    head_normed: Buf,
    rope_table: Buf,
    step: StepBuffers,
    /// Whether the passes run on a GPU.
    on_gpu: bool,
    /// Keys and values; grows up to the context.
    pub cache: KvCache,
}

impl DecoderBuffers {
    /// Allocates them for a context of at most `context` rows; the cache begins with room for `rows` of them
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
        let image_rows = u64::from(config.tile_slots(context) * config.tile_rows() + u32::from(config.has_newline()));
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
            step: StepBuffers {
                key_parts: device
                    .buffer("attention in splits", part_words(t.num_attention_heads, t.head_dim, MAX_KEY_SPLITS))
                    .await?,
                placeholders: Placeholders::new(device).await?,
            },
            on_gpu: device.is_gpu(),
            cache,
        };
        device.upload(buffers.rope_table, 0, bytemuck::cast_slice(&table));
        Ok(buffers)
    }

    /// The buffers of a fused step; `None` unless the pass is one row on a GPU.
    fn step(&self, m: Rows) -> Option<StepBuffers> {
        (self.on_gpu && m == Rows::Fixed(1)).then_some(self.step)
    }

    /// The norm of the residual stream with the weights `gamma`.
    fn norm(&self, gamma: Buf, eps: f32) -> RmsNorm {
        RmsNorm { x: self.hidden, gamma, eps, out: self.normed }
    }
}

impl Decoder {
    /// Appends `m` rows of `b.ids` through all blocks, their keys and values into the cache.
    pub fn record(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers, m: Rows) {
        self.record_blocks(pass, t, b, m, None);
    }

    /// Appends one row as [`record`](Self::record) does, and the attention weights of all blocks.
    pub fn record_attending(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers, scores: ScoreBuffers) {
        self.record_blocks(pass, t, b, Rows::Fixed(1), Some(scores));
        attention_weights(pass, scores, t.num_attention_heads);
    }

    fn record_blocks(
        &self,
        pass: &mut Pass,
        t: &TextConfig,
        b: &DecoderBuffers,
        m: Rows,
        scores: Option<ScoreBuffers>,
    ) {
        let heads =
            Heads { heads: t.num_attention_heads, kv_heads: t.num_key_value_heads, size: t.head_dim, causal: true };
        self.embed_tokens.record_rows(pass, m, b.image_embeds, b.ids, b.hidden);
        for (layer, (block, cache)) in (0..).zip(self.blocks.iter().zip(&b.cache.layers)) {
            let norm = b.norm(block.input_layernorm, t.rms_norm_eps);
            let kept = scores.map(|scores| scores.layer(layer, t.num_attention_heads));
            let (hidden, rope_table, cache) = (b.hidden, b.rope_table, *cache);
            let operands = CausalOperands { norm, hidden, heads, rope_table, cache, kept };
            block.self_attn.record_causal(pass, m, operands, &b.attention, b.step(m));
            block.record_mlp(pass, m, t, b);
        }
    }

    /// Appends the logits of row `call.head_row`.
    pub fn record_head(&self, pass: &mut Pass, t: &TextConfig, b: &DecoderBuffers) {
        let one = Rows::Fixed(1);
        let norm = RmsNorm { x: b.hidden, gamma: self.norm, eps: t.rms_norm_eps, out: b.head_normed };
        match b.step(one) {
            Some(StepBuffers { placeholders, .. }) => {
                let x = norm.record_row(pass, Some(b.head_row));
                self.lm_head.record_row(pass, x, RowOutput::Store(b.logits), placeholders);
            }
            None => {
                let x = norm.record_head_row(pass, b.head_row);
                self.lm_head.record(pass, one, x, b.logits);
            }
        }
    }
}

impl DecoderBlock {
    /// Appends `hidden += down_proj(silu(gate_proj(x)) · up_proj(x))` with `x = norm(hidden)`.
    ///
    /// One row on a GPU takes mat-vecs, and a single one for both projections where they are stacked.
    fn record_mlp(&self, pass: &mut Pass, m: Rows, t: &TextConfig, b: &DecoderBuffers) {
        let norm = b.norm(self.post_attention_layernorm, t.rms_norm_eps);
        let Some(StepBuffers { placeholders, .. }) = b.step(m) else {
            let x = norm.record(pass, m);
            self.gate_proj.record(pass, m, x, b.gate);
            self.up_proj.record(pass, m, x, b.up);
            silu_mul(pass, m, b.gate, b.up, t.intermediate_size);
            return self.down_proj.record_residual(pass, m, b.gate, b.hidden);
        };
        let x = norm.record_row(pass, None);
        match stacked(&[&self.gate_proj, &self.up_proj]) {
            Some(both) => matvec(pass, x, both, RowOutput::Gate(b.gate), placeholders),
            None => {
                self.gate_proj.record_row(pass, x, RowOutput::Store(b.gate), placeholders);
                self.up_proj.record_row(pass, x, RowOutput::Store(b.up), placeholders);
                silu_mul(pass, m, b.gate, b.up, t.intermediate_size);
            }
        }
        self.down_proj.record_row(pass, RowInput::Plain(b.gate), RowOutput::Add(b.hidden), placeholders);
    }
}
