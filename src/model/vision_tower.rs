//! The vision tower, CLIP or SigLIP: `pixel_values [3, S, S]` → `image_features [P, C]`.
//!
//! Patch embedding, positions, pre-norm blocks with full attention. CLIP has a class row and a norm before the first
//! block; SigLIP's patch embedding has a bias. The features are the output of the selected block, without the class row
//! unless the strategy is `full`, and without a final norm except in Idefics3.
//! Source: `CLIPVisionTransformer` of transformers; Radford et al., arXiv 2103.00020. `SiglipVisionTransformer`; Zhai
//! et al., arXiv 2303.15343. `Idefics3VisionTransformer`.

use super::attention::{Attention, AttentionBuffers};
use super::ldp::LdpBuffers;
use super::linear::Linear;
use crate::config::{Config, ConnectorKind};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::Rows;
use crate::kernels::attention::Heads;
use crate::kernels::layer_norm::layer_norm;
use crate::kernels::patches::patches;
use crate::kernels::select_rows::{Take, select_rows};
use crate::kernels::vision_embed::vision_embed;
use crate::pass::{Buf, Pass};

/// Weight and bias of a LayerNorm.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// `[C]`.
    pub weight: Buf,
    /// `[C]`.
    pub bias: Buf,
}

/// One encoder block.
pub struct VisionBlock {
    /// Before attention.
    pub layer_norm1: LayerNorm,
    /// With biases, bidirectional.
    pub self_attn: Attention,
    /// Before the MLP.
    pub layer_norm2: LayerNorm,
    /// `C → F`.
    pub fc1: Linear,
    /// `F → C`.
    pub fc2: Linear,
}

/// What only CLIP has before its first block.
pub struct ClassRow {
    /// `[C]`.
    pub class_embedding: Buf,
    /// Every checkpoint has this spelling.
    pub pre_layrnorm: LayerNorm,
}

/// The tower's weights, up to the selected block; later blocks are not loaded.
pub struct VisionTower {
    /// `[C, 3·p·p]`, padded along the columns; with a bias in SigLIP.
    pub patch_embedding: Linear,
    /// CLIP's; none in SigLIP.
    pub class_row: Option<ClassRow>,
    /// `[rows, C]`.
    pub position_embedding: Buf,
    /// In order.
    pub blocks: Vec<VisionBlock>,
    /// Idefics3's.
    pub post_layernorm: Option<LayerNorm>,
}

/// Activations of the tower and the connector.
pub struct VisionBuffers {
    /// `[3, S, S]`.
    pub pixel_values: Buf,
    /// `[P, columns]`.
    patches: Buf,
    /// `[P, C]`: CLIP's, before the class row is put ahead.
    patch_embeds: Buf,
    /// `[rows, C]`, the residual stream.
    hidden: Buf,
    /// `[rows, C]`.
    normed: Buf,
    attention: AttentionBuffers,
    /// `[rows, F]`.
    mlp: Buf,
    /// `[features, C]`.
    pub image_features: Buf,
    /// `[features, H]`, between the two layers of the connector; `[features, C]` in another order, before its one
    /// layer.
    pub connector_hidden: Buf,
    /// Of MobileVLM's connectors.
    ldp: Option<LdpBuffers>,
    /// `[rows, H]`.
    pub image_embeds: Buf,
}

impl VisionBuffers {
    /// Allocates them.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports.
    pub async fn new(device: &mut Device, config: &Config) -> Result<Self> {
        let v = &config.vision;
        let [side, p, c, f] = [v.image_size, v.patches(), v.hidden_size, v.intermediate_size].map(u64::from);
        let [h, features, tile_rows] =
            [config.text.hidden_size, config.feature_rows(), config.tile_rows()].map(u64::from);
        let rows = u64::from(v.rows());
        let between = match config.connector {
            ConnectorKind::Linear | ConnectorKind::Mlp2x(_) | ConnectorKind::Ldp | ConnectorKind::LdpV2 => h,
            ConnectorKind::PixelShuffle { .. } => c,
        };
        let columns = u64::from(v.patch_columns());
        Ok(Self {
            pixel_values: device.buffer("pixel_values", 3 * side * side).await?,
            patches: device.buffer("patches", p * columns).await?,
            patch_embeds: device.buffer("patch_embeds", if v.tower.has_class_row() { p * c } else { 1 }).await?,
            hidden: device.buffer("vision hidden", rows * c).await?,
            normed: device.buffer("vision normed", rows * c).await?,
            attention: AttentionBuffers::new(device, rows, c, c).await?,
            mlp: device.buffer("vision mlp", rows * f).await?,
            image_features: device.buffer("image_features", features * c).await?,
            connector_hidden: device.buffer("connector hidden", features * between).await?,
            ldp: LdpBuffers::new(device, config).await?,
            image_embeds: device.buffer("image_embeds", tile_rows * h).await?,
        })
    }

    /// Returns the activations of MobileVLM's connectors, which were allocated by the same configuration.
    pub(super) fn ldp(&self) -> &LdpBuffers {
        self.ldp.as_ref().expect("allocated for a connector that uses them")
    }
}

impl VisionTower {
    /// Appends `b.pixel_values` → `b.image_features`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
        let v = &config.vision;
        let (p, c, eps) = (v.patches(), v.hidden_size, v.layer_norm_eps);
        let rows = Rows::Fixed(v.rows());
        let norm = |pass: &mut Pass, x: Buf, n: &LayerNorm, out: Buf| {
            layer_norm(pass, rows, x, n.weight, n.bias, out, c, eps);
        };
        let columns = v.patch_columns();
        patches(pass, b.pixel_values, b.patches, v.image_size, v.patch_size, columns);
        match &self.class_row {
            Some(ClassRow { class_embedding, pre_layrnorm }) => {
                self.patch_embedding.record(pass, Rows::Fixed(p), b.patches, b.patch_embeds);
                vision_embed(pass, b.patch_embeds, *class_embedding, self.position_embedding, b.normed, c, p);
                norm(pass, b.normed, pre_layrnorm, b.hidden);
            }
            None => {
                select_rows(pass, self.position_embedding, Take::Range { first: 0, count: p }, b.hidden, c);
                self.patch_embedding.record_residual(pass, Rows::Fixed(p), b.patches, b.hidden);
            }
        }
        let heads =
            Heads { heads: v.num_attention_heads, kv_heads: v.num_attention_heads, size: v.head_dim(), causal: false };
        for block in &self.blocks {
            norm(pass, b.hidden, &block.layer_norm1, b.normed);
            block.self_attn.record_bidirectional(pass, rows, b.normed, b.hidden, &b.attention, heads);
            norm(pass, b.hidden, &block.layer_norm2, b.normed);
            block.fc1.record_activated(pass, rows, b.normed, b.mlp, v.hidden_act);
            block.fc2.record_residual(pass, rows, b.mlp, b.hidden);
        }
        let last = match &self.post_layernorm {
            Some(post) => {
                norm(pass, b.hidden, post, b.normed);
                b.normed
            }
            None => b.hidden,
        };
        let first = v.rows() - config.feature_rows();
        select_rows(pass, last, Take::Range { first, count: config.feature_rows() }, b.image_features, c);
    }
}
