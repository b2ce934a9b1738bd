//! The connector: `image_features [P, C]` → `image_embeds [P, H]`, from the tower's space to the decoder's.
//!
//! `mlp2x_gelu` (LLaVA-1.5) is linear, exact GELU, linear; `linear` (LLaVA) is one matrix. Source: arXiv 2310.03744,
//! section 3.2; `LlavaMultiModalProjector` of transformers. Idefics3 puts squares of features side by side, then
//! multiplies with one matrix: `[P, C]` → `[P / s², s²·C]` → `[P / s², H]`. Source: `Idefics3Connector`.

use super::linear::Linear;
use super::vision_tower::VisionBuffers;
use crate::config::{Activation, Config, ConnectorKind};
use crate::kernels::Rows;
use crate::kernels::pixel_shuffle::pixel_shuffle;
use crate::pass::Pass;

/// The connector's weights.
pub struct Connector {
    /// `C → H`, or `s²·C → H` without a bias.
    pub linear_1: Linear,
    /// Activation and `H → H`; absent in connectors of one matrix.
    pub linear_2: Option<(Activation, Linear)>,
}

impl Connector {
    /// Appends `b.image_features` → `b.image_embeds`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
        if let ConnectorKind::PixelShuffle { factor } = config.connector {
            let v = &config.vision;
            pixel_shuffle(pass, b.image_features, b.connector_hidden, v.grid(), factor, v.hidden_size);
            return self.linear_1.record(pass, Rows::Fixed(config.tile_rows()), b.connector_hidden, b.image_embeds);
        }
        let rows = Rows::Fixed(config.feature_rows());
        match &self.linear_2 {
            None => self.linear_1.record(pass, rows, b.image_features, b.image_embeds),
            Some((act, linear_2)) => {
                self.linear_1.record_activated(pass, rows, b.image_features, b.connector_hidden, *act);
                linear_2.record(pass, rows, b.connector_hidden, b.image_embeds);
            }
        }
    }
}
