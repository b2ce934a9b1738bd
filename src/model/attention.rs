//! Self-attention with its four projections, shared by the vision tower and the decoder.

use super::linear::{Linear, stacked};
use super::norm::RmsNorm;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::attention::{Heads, attention};
use crate::kernels::attention_step::attention_step;
use crate::kernels::attention_weights::LayerScores;
use crate::kernels::matvec::{Placeholders, RowBias, RowInput, RowOutput, matvec};
use crate::kernels::rope::{Rotation, rope};
use crate::kernels::{CacheType, Kv, Rows};
use crate::pass::{Buf, Pass};

/// `q`, `k`, `v` and output projections.
pub struct Attention {
    /// `→ N·D`.
    pub q_proj: Linear,
    /// `→ N_kv·D`.
    pub k_proj: Linear,
    /// `→ N_kv·D`.
    pub v_proj: Linear,
    /// `N·D →`.
    pub o_proj: Linear,
    /// What a step on a GPU reads beside the matrices where `q`, `k` and `v` have biases: the weights of the norm ahead
    /// `[H]`, then the biases of `q`, `k` and `v`.
    pub row_vectors: Option<Buf>,
}

/// Activations of an attention, shared by all layers.
pub struct AttentionBuffers {
    /// `[T, N·D]`.
    q: Buf,
    /// `[T, N_kv·D]`.
    k: Buf,
    /// `[T, N_kv·D]`.
    v: Buf,
    /// `[T, N·D]`.
    mixed: Buf,
}

impl AttentionBuffers {
    /// Allocates them for `rows` rows, `q_width = N·D`, `kv_width = N_kv·D`.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports.
    pub async fn new(device: &mut Device, rows: u64, q_width: u64, kv_width: u64) -> Result<Self> {
        Ok(Self {
            q: device.buffer("q", rows * q_width).await?,
            k: device.buffer("k", rows * kv_width).await?,
            v: device.buffer("v", rows * kv_width).await?,
            mixed: device.buffer("attention", rows * q_width).await?,
        })
    }
}

/// Buffers of a step's mat-vecs and of its attention in splits.
#[derive(Debug, Clone, Copy)]
pub struct StepBuffers {
    /// Sums of each head's splits, `attention_step::part_words` words.
    pub key_parts: Buf,
    /// Bound to the operands that a mat-vec does not use.
    pub placeholders: Placeholders,
}

/// Operands of a decoder block's attention, beside its projections.
#[derive(Debug, Clone, Copy)]
pub struct CausalOperands {
    /// The norm ahead of the projections.
    pub norm: RmsNorm,
    /// `[T, H]`, the residual stream.
    pub hidden: Buf,
    /// Number and size of the heads.
    pub heads: Heads,
    /// Cosines and sines by position.
    pub rope_table: Buf,
    /// Keys and values of this block.
    pub cache: Kv,
    /// Where the scores are kept, in a pass that computes attention weights.
    pub kept: Option<LayerScores>,
}

impl Attention {
    /// Appends `hidden += o_proj(attention(x))`; every row sees every row (CLIP).
    pub fn record_bidirectional(&self, pass: &mut Pass, m: Rows, x: Buf, hidden: Buf, b: &AttentionBuffers, h: Heads) {
        self.record_qkv(pass, m, x, b);
        let kv = Kv { k: b.k, v: b.v, stored: CacheType::F32 };
        attention(pass, m, b.q, kv, b.mixed, h, None);
        self.o_proj.record_residual(pass, m, b.mixed, hidden);
    }

    /// Appends `hidden += o_proj(attention(norm(hidden)))` over the cache, to which this pass's keys and values are
    /// appended (LLaMA).
    ///
    /// With `step`, the pass is one row on a GPU: mat-vecs rotate queries and keys and write the cache, and attention
    /// runs in splits. Projections that are cut into tiles may end within a head and are computed as in prefill.
    pub fn record_causal(
        &self,
        pass: &mut Pass,
        m: Rows,
        operands: CausalOperands,
        b: &AttentionBuffers,
        step: Option<StepBuffers>,
    ) {
        let CausalOperands { norm, hidden, heads, rope_table, cache, kept } = operands;
        match step.filter(|_| self.heads_by_mat_vecs()) {
            Some(StepBuffers { key_parts, placeholders }) => {
                let x = norm.record_row(pass, None);
                self.record_heads(pass, x, b.q, &operands, placeholders);
                attention_step(pass, b.q, cache, key_parts, b.mixed, heads, kept);
                self.o_proj.record_row(pass, RowInput::Plain(b.mixed), RowOutput::Add(hidden), placeholders);
            }
            None => {
                let x = norm.record(pass, m);
                self.record_qkv(pass, m, x, b);
                let rotation = Rotation { q: b.q, k: b.k, v: b.v, table: rope_table, cache };
                rope(pass, m, rotation, heads.heads, heads.kv_heads, heads.size);
                attention(pass, m, b.q, cache, b.mixed, heads, kept);
                self.o_proj.record_residual(pass, m, b.mixed, hidden);
            }
        }
    }

    fn record_qkv(&self, pass: &mut Pass, m: Rows, x: Buf, b: &AttentionBuffers) {
        self.q_proj.record(pass, m, x, b.q);
        self.k_proj.record(pass, m, x, b.k);
        self.v_proj.record(pass, m, x, b.v);
    }

    /// Appends the projections of one row, rotated, queries to `q` and the rest to the cache: one dispatch where the
    /// three matrices are stacked, else one for each.
    fn record_heads(
        &self,
        pass: &mut Pass,
        x: RowInput,
        q: Buf,
        operands: &CausalOperands,
        placeholders: Placeholders,
    ) {
        let CausalOperands { heads: h, rope_table: table, cache, .. } = *operands;
        let mut bias = self.row_vectors.map(|vectors| RowBias { vectors, first: operands.norm.gamma.words as u32 });
        let output = |counts, bias| RowOutput::Heads { q, cache, table, counts, size: h.size, bias };
        let counts = [h.heads, h.kv_heads, h.kv_heads];
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        match stacked(&projections) {
            Some(qkv) => matvec(pass, x, qkv, output(counts, bias), placeholders),
            None => {
                for (i, linear) in projections.into_iter().enumerate() {
                    let mut own = [0; 3];
                    own[i] = counts[i];
                    matvec(pass, x, linear.tiles[0], output(own, bias), placeholders);
                    bias.iter_mut().for_each(|bias| bias.first += linear.outputs);
                }
            }
        }
    }

    /// Whether each of `q`, `k`, `v` is one tile, and their biases, if any, lie where mat-vecs read them.
    fn heads_by_mat_vecs(&self) -> bool {
        let fits = |linear: &&Linear| linear.tiles.len() == 1 && (linear.bias.is_none() || self.row_vectors.is_some());
        [&self.q_proj, &self.k_proj, &self.v_proj].iter().all(fits)
    }
}
