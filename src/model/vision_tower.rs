//! The CLIP vision tower: `pixel_values [3, S, S]` → `image_features [P, C]`.
//!
//! Patch embedding, class row, positions, pre-norm blocks with full attention. The features are the output of the
//! selected block without a final norm, and without the class row unless the strategy is `full`.
//! Source: `CLIPVisionTransformer` of transformers; Radford et al., arXiv 2103.00020.

use super::attention::{Attention, AttentionBuffers};
use super::ldp::LdpBuffers;
use super::linear::Linear;
use crate::config::Config;
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

/// The tower's weights, up to the selected block; later blocks are not loaded.
pub struct VisionTower {
    /// `[C, 3·p·p]`, padded along the columns.
    pub patch_embedding: Linear,
    /// `[C]`.
    pub class_embedding: Buf,
    /// `[P + 1, C]`.
    pub position_embedding: Buf,
    /// Every checkpoint has this spelling.
    pub pre_layrnorm: LayerNorm,
    /// In order.
    pub blocks: Vec<VisionBlock>,
}

/// Activations of the tower and the connector.
pub struct VisionBuffers {
    /// `[3, S, S]`.
    pub pixel_values: Buf,
    /// `[P, columns]`.
    patches: Buf,
    /// `[P, C]`.
    patch_embeds: Buf,
    /// `[P + 1, C]`, the residual stream.
    hidden: Buf,
    /// `[P + 1, C]`.
    normed: Buf,
    attention: AttentionBuffers,
    /// `[P + 1, F]`.
    mlp: Buf,
    /// `[features, C]`.
    pub image_features: Buf,
    /// `[features, H]`, between the two layers of the connector.
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
        let [h, features, rows] = [config.text.hidden_size, config.feature_rows(), config.tile_rows()].map(u64::from);
        let columns = u64::from(v.patch_columns());
        Ok(Self {
            pixel_values: device.buffer("pixel_values", 3 * side * side).await?,
            patches: device.buffer("patches", p * columns).await?,
            patch_embeds: device.buffer("patch_embeds", p * c).await?,
            hidden: device.buffer("vision hidden", (p + 1) * c).await?,
            normed: device.buffer("vision normed", (p + 1) * c).await?,
            attention: AttentionBuffers::new(device, p + 1, c, c).await?,
            mlp: device.buffer("vision mlp", (p + 1) * f).await?,
            image_features: device.buffer("image_features", features * c).await?,
            connector_hidden: device.buffer("connector hidden", features * h).await?,
            ldp: LdpBuffers::new(device, config).await?,
            image_embeds: device.buffer("image_embeds", rows * h).await?,
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
        let rows = Rows::Fixed(p + 1);
        let norm = |pass: &mut Pass, x: Buf, n: &LayerNorm, out: Buf| {
            layer_norm(pass, rows, x, n.weight, n.bias, out, c, eps);
        };
        let columns = v.patch_columns();
        patches(pass, b.pixel_values, b.patches, v.image_size, v.patch_size, columns);
        self.patch_embedding.record(pass, Rows::Fixed(p), b.patches, b.patch_embeds);
        vision_embed(pass, b.patch_embeds, self.class_embedding, self.position_embedding, b.normed, c, p);
        norm(pass, b.normed, &self.pre_layrnorm, b.hidden);
        let heads =
            Heads { heads: v.num_attention_heads, kv_heads: v.num_attention_heads, size: v.head_dim(), causal: false };
        for block in &self.blocks {
            norm(pass, b.hidden, &block.layer_norm1, b.normed);
            block.self_attn.record_bidirectional(pass, rows, b.normed, b.hidden, &b.attention, heads);
            norm(pass, b.hidden, &block.layer_norm2, b.normed);
            block.fc1.record_activated(pass, rows, b.normed, b.mlp, v.hidden_act);
            block.fc2.record_residual(pass, rows, b.mlp, b.hidden);
        }
        let first = u32::from(!config.keep_class_row);
        select_rows(pass, b.hidden, Take::Range { first, count: config.feature_rows() }, b.image_features, c);
    }
}
