//! Self-attention with its four projections, as the tower and the decoder share it.

use super::linear::{Linear, stacked};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::attention::{Heads, attention};
use crate::kernels::attention_step::attention_step;
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
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
    /// For `rows` rows, `q_width = N·D`, `kv_width = N_kv·D`.
    pub async fn new(device: &mut Device, rows: u64, q_width: u64, kv_width: u64) -> Result<Self> {
        Ok(Self {
            q: device.buffer("q", rows * q_width).await?,
            k: device.buffer("k", rows * kv_width).await?,
            v: device.buffer("v", rows * kv_width).await?,
            mixed: device.buffer("attention", rows * q_width).await?,
        })
    }
}

impl Attention {
    fn record_qkv(&self, pass: &mut Pass, m: Rows, x: Buf, b: &AttentionBuffers) {
        self.q_proj.record(pass, m, x, b.q);
        self.k_proj.record(pass, m, x, b.k);
        self.v_proj.record(pass, m, x, b.v);
    }

    /// Appends `hidden += o_proj(attention(x))`, every row seeing every row (CLIP).
    pub fn record_bidirectional(&self, pass: &mut Pass, m: Rows, x: Buf, hidden: Buf, b: &AttentionBuffers, h: Heads) {
        self.record_qkv(pass, m, x, b);
        let kv = Kv { k: b.k, v: b.v, stored: CacheType::F32 };
        attention(pass, m, b.q, kv, b.mixed, h);
        self.o_proj.record_residual(pass, m, b.mixed, hidden);
    }

    /// Appends `hidden += o_proj(attention(x))` over the cache, after the append of this pass's keys and values
    /// (LLaMA).
    #[allow(clippy::too_many_arguments)] // the operands of one layer
    pub fn record_cached(
        &self,
        pass: &mut Pass,
        m: Rows,
        x: Buf,
        hidden: Buf,
        b: &AttentionBuffers,
        h: Heads,
        table: Buf,
        cache: Kv,
    ) {
        self.record_qkv(pass, m, x, b);
        let rotation = Rotation { q: b.q, k: b.k, v: b.v, table, cache };
        rope(pass, m, rotation, h.heads, h.kv_heads, h.size);
        attention(pass, m, b.q, cache, b.mixed, h);
        self.o_proj.record_residual(pass, m, b.mixed, hidden);
    }

    /// Whether each of `q`, `k`, `v` is one tile: others may end within a head.
    pub fn heads_are_whole(&self) -> bool {
        [&self.q_proj, &self.k_proj, &self.v_proj].iter().all(|linear| linear.tiles.len() == 1)
    }

    /// [`record_cached`](Self::record_cached) of one row on a GPU: projections, rotation and cache in one dispatch
    /// where `q`, `k` and `v` are stacked, then attention in splits (by way of `parts`). Needs [whole
    /// heads](Self::heads_are_whole).
    #[allow(clippy::too_many_arguments)] // the operands of one layer
    pub fn record_step(
        &self,
        pass: &mut Pass,
        x: RowInput,
        hidden: Buf,
        b: &AttentionBuffers,
        h: Heads,
        table: Buf,
        cache: Kv,
        parts: Buf,
        placeholders: Placeholders,
    ) {
        let heads = |counts| RowOutput::Heads { q: b.q, cache, table, counts, size: h.size };
        let all = [h.heads, h.kv_heads, h.kv_heads];
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        match stacked(&projections) {
            Some(qkv) => matvec(pass, x, qkv, heads(all), placeholders),
            None => {
                for (i, linear) in projections.into_iter().enumerate() {
                    let mut own = [0; 3];
                    own[i] = all[i];
                    matvec(pass, x, linear.tiles[0], heads(own), placeholders);
                }
            }
        }
        attention_step(pass, b.q, cache, parts, b.mixed, h);
        self.o_proj.record_row(pass, RowInput::Plain(b.mixed), RowOutput::Add(hidden), placeholders);
    }
}
