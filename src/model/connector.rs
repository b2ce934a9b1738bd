//! The connector: `image_features [P, C]` → `image_embeds [P, H]`, from the tower's space to the decoder's.
//!
//! `mlp2x_gelu` (LLaVA-1.5) is linear, exact GELU, linear; `linear` (LLaVA) is one matrix. Source: arXiv 2310.03744,
//! section 3.2; `LlavaMultiModalProjector` of transformers.

use super::linear::Linear;
use super::vision_tower::VisionBuffers;
use crate::config::{Activation, Config};
use crate::kernels::Rows;
use crate::pass::Pass;

/// The connector's weights.
pub struct Connector {
    /// `C → H`.
    pub linear_1: Linear,
    /// Activation and `H → H`; absent in the `linear` connector.
    pub linear_2: Option<(Activation, Linear)>,
}

impl Connector {
    /// Appends `b.image_features` → `b.image_embeds`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
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
