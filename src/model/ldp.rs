//! The connectors of MobileVLM, which make a quarter as many image embeds as there are patches.
//!
//! Both begin with linear, exact GELU, linear. Then the rows are a square map with `H` channels. LDP (arXiv 2312.16886,
//! section 3.3) runs two blocks of MobileNetV3 over it, the second with stride 2. LDPv2 (arXiv 2402.03766, section 3.3)
//! averages it to 12 × 12 positions and adds a depthwise convolution of the result. Source:
//! `mobilevlm/model/vision_projector.py`; `InvertedResidual` of torchvision.

use super::connector::Mlp;
use super::linear::Linear;
use super::vision_tower::{LayerNorm, VisionBuffers};
use crate::config::{Activation, Config, ConnectorKind, LDP_V2_SIDE};
use crate::device::Device;
use crate::error::Result;
use crate::format::names::ldp::squeezed;
use crate::kernels::Rows;
use crate::kernels::depthwise::{Map, depthwise, strided};
use crate::kernels::excite::excite;
use crate::kernels::layer_norm::{layer_norm, layer_norm_add};
use crate::kernels::mean_pool::mean_pool;
use crate::pass::{Buf, Pass};

/// ε of the norms: the default of timm's `LayerNormAct2d`.
const EPS: f32 = 1e-5;

/// LDP: two linear layers and two mobile blocks, of which the first is a residual.
pub struct Ldp {
    /// `C → H → H`.
    pub mlp: Mlp,
    /// Strides 1 and 2.
    pub blocks: [MobileBlock; 2],
}

/// A block of MobileNetV3 that keeps the number of channels: depthwise convolution, norm, hardswish,
/// squeeze-and-excitation, 1 × 1 convolution, norm.
pub struct MobileBlock {
    /// `[H, 3, 3]`.
    pub depthwise: Buf,
    /// Over the channels of a position.
    pub depthwise_norm: LayerNorm,
    /// `H → H / 4`, of the mean over all positions.
    pub fc1: Linear,
    /// `H / 4 → H`.
    pub fc2: Linear,
    /// `H → H`, without bias.
    pub pointwise: Linear,
    /// Over the channels of a position.
    pub pointwise_norm: LayerNorm,
}

/// LDPv2: two linear layers, pooling, and a residual depthwise convolution.
pub struct LdpV2 {
    /// `C → H → H`.
    pub mlp: Mlp,
    /// `[H, 3, 3]`.
    pub peg: Buf,
    /// `[H]`.
    pub peg_bias: Buf,
}

/// Activations of these connectors beside [`VisionBuffers::connector_hidden`].
pub struct LdpBuffers {
    /// `[P, H]`, the map.
    map: Buf,
    /// `[P, H]`, between the layers of a block; `[rows, H]`, the pooled map.
    hidden: Buf,
    /// `[H]`, the means of all channels.
    means: Buf,
    /// `[H / 4]`.
    squeezed: Buf,
    /// `[H]`, a factor for each channel.
    gate: Buf,
}

impl LdpBuffers {
    /// Allocates them; `None` for the other connectors.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports.
    pub async fn new(device: &mut Device, config: &Config) -> Result<Option<Self>> {
        if !matches!(config.connector, ConnectorKind::Ldp | ConnectorKind::LdpV2) {
            return Ok(None);
        }
        let (h, positions) = (u64::from(config.text.hidden_size), u64::from(config.feature_rows()));
        let most = positions.max(config.tile_rows().into());
        Ok(Some(Self {
            map: device.buffer("connector map", positions * h).await?,
            hidden: device.buffer("connector block", most * h).await?,
            means: device.buffer("connector means", h).await?,
            squeezed: device.buffer("connector squeezed", squeezed(config.text.hidden_size).into()).await?,
            gate: device.buffer("connector gate", h).await?,
        }))
    }
}

impl Ldp {
    /// Appends `b.image_features [P, C]` → `b.image_embeds [⌈side / 2⌉², H]`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
        let buffers = b.ldp();
        self.mlp.record(pass, config, b, buffers.map);
        let map = Map { rows: buffers.map, side: config.vision.grid(), cols: config.text.hidden_size };
        let [first, second] = &self.blocks;
        let added = |pass: &mut Pass, rows, x, norm: LayerNorm| {
            layer_norm_add(pass, rows, x, norm.weight, norm.bias, map.rows, map.cols, EPS);
        };
        first.record(pass, map, 1, b.connector_hidden, buffers, added);
        let stored = |pass: &mut Pass, rows, x, norm: LayerNorm| {
            layer_norm(pass, rows, x, norm.weight, norm.bias, b.image_embeds, map.cols, EPS);
        };
        second.record(pass, map, 2, b.connector_hidden, buffers, stored);
    }
}

impl MobileBlock {
    /// Appends the block up to its last norm, which `last` appends, given the rows and the norm's input.
    fn record(
        &self,
        pass: &mut Pass,
        map: Map,
        stride: u32,
        convolved: Buf,
        b: &LdpBuffers,
        last: impl FnOnce(&mut Pass, Rows, Buf, LayerNorm),
    ) {
        let (side, cols, norm) = (strided(map.side, stride), map.cols, self.depthwise_norm);
        let rows = Rows::Fixed(side * side);
        depthwise(pass, map, stride, self.depthwise, (self.fc1.unused, false), false, convolved);
        layer_norm(pass, rows, convolved, norm.weight, norm.bias, b.hidden, cols, EPS);
        mean_pool(pass, Map { rows: b.hidden, side, cols }, true, b.means, 1);
        self.fc1.record_activated(pass, Rows::Fixed(1), b.means, b.squeezed, Activation::Relu);
        self.fc2.record(pass, Rows::Fixed(1), b.squeezed, b.gate);
        excite(pass, b.gate, b.hidden, side * side, cols);
        self.pointwise.record(pass, rows, b.hidden, convolved);
        last(pass, rows, convolved, self.pointwise_norm);
    }
}

impl LdpV2 {
    /// Appends `b.image_features [P, C]` → `b.image_embeds [144, H]`.
    pub fn record(&self, pass: &mut Pass, config: &Config, b: &VisionBuffers) {
        let buffers = b.ldp();
        self.mlp.record(pass, config, b, buffers.map);
        let map = Map { rows: buffers.map, side: config.vision.grid(), cols: config.text.hidden_size };
        mean_pool(pass, map, false, buffers.hidden, LDP_V2_SIDE);
        let pooled = Map { rows: buffers.hidden, side: LDP_V2_SIDE, ..map };
        depthwise(pass, pooled, 1, self.peg, (self.peg_bias, true), true, b.image_embeds);
    }
}
