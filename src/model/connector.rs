//! The connector: `image_features [P, C]` → `image_embeds [rows, H]`, from the tower's space to the decoder's.
//!
//! `mlp2x_gelu` (LLaVA-1.5) is linear, exact GELU, linear; `linear` (LLaVA) is one matrix. Source: arXiv 2310.03744,
//! section 3.2; `LlavaMultiModalProjector` of transformers. Idefics3 puts squares of features side by side, then
//! multiplies with one matrix: `[P, C]` → `[P / s², s²·C]` → `[P / s², H]`. Source: `Idefics3Connector`. MobileVLM's are
//! in [`ldp`](super::ldp).

use super::ldp::{Ldp, LdpV2};
use super::linear::Linear;
use super::vision_tower::VisionBuffers;
use crate::config::{Activation, Config};
use crate::kernels::Rows;
use crate::kernels::pixel_shuffle::pixel_shuffle;
use crate::pass::{Buf, Pass};

/// The connector's weights.
pub enum Connector {
    /// `linear`, `mlp2x_gelu`.
    Mlp(Mlp),
    /// Idefics3.
    PixelShuffle {
        /// Side of a square of features.
        factor: u32,
        /// `s²·C → H`, without a bias.
        linear: Linear,
    },
    /// MobileVLM.
    Ldp(Box<Ldp>),
    /// MobileVLM V2.
    LdpV2(LdpV2),
}

/// One or two linear layers.
pub struct Mlp {
    /// `C → H`.
    pub linear_1: Linear,
    /// Activation and `H → H`; absent in the `linear` connector.
    pub linear_2: Option<(Activation, Linear)>,
}

impl Connector {
    /// Appends `b.image_features` → `b.image_embeds`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
        match self {
            Self::Mlp(mlp) => mlp.record(pass, config, b, b.image_embeds),
            Self::PixelShuffle { factor, linear } => {
                let v = &config.vision;
                pixel_shuffle(pass, b.image_features, b.connector_hidden, v.grid(), *factor, v.hidden_size);
                linear.record(pass, Rows::Fixed(config.tile_rows()), b.connector_hidden, b.image_embeds);
            }
            Self::Ldp(ldp) => ldp.record(pass, config, b),
            Self::LdpV2(ldp) => ldp.record(pass, config, b),
        }
    }
}

impl Mlp {
    /// Appends `b.image_features` → `out [features, H]`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers, out: Buf) {
        let rows = Rows::Fixed(config.feature_rows());
        match &self.linear_2 {
            None => self.linear_1.record(pass, rows, b.image_features, out),
            Some((act, linear_2)) => {
                self.linear_1.record_activated(pass, rows, b.image_features, b.connector_hidden, *act);
                linear_2.record(pass, rows, b.connector_hidden, out);
            }
        }
    }
}
