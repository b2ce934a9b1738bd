//! The connectors of MobileVLM: their tensors beside the two linear layers of every connector.
//!
//! The original code names the layers of its `nn.Sequential`s by number; here they have the names of what they do.
//!
//! # Source
//! `mobilevlm/model/vision_projector.py` of Meituan-AutoML/MobileVLM; `InvertedResidual` and `SqueezeExcitation` of
//! torchvision.

use super::expected::{Component, Expected, Role};
use super::llava::CONNECTOR;
use crate::config::{Config, ConnectorKind};

/// Mobile blocks of an LDP.
pub const BLOCKS: u32 = 2;
/// Stem of the depthwise convolution of an LDPv2, with a bias.
pub const PEG: &str = "multi_modal_projector.peg";

/// Names in a mobile block of an LDP: stems, except those of the two matrices without bias.
pub struct MobileBlockNames {
    /// `[H, 1, 3, 3]`.
    pub depthwise: String,
    /// Norm after it.
    pub depthwise_norm: String,
    /// `[H / 4, H]`, squeeze, a 1 × 1 convolution with a bias.
    pub fc1: String,
    /// `[H, H / 4]`, excitation, likewise.
    pub fc2: String,
    /// `[H, H]`, a 1 × 1 convolution.
    pub pointwise: String,
    /// Norm after it.
    pub pointwise_norm: String,
}

/// Returns the names in mobile block `i`, counted from 1.
pub fn mobile_block(i: u32) -> MobileBlockNames {
    let name = |stem: &str| format!("{CONNECTOR}block_{i}.{stem}");
    MobileBlockNames {
        depthwise: name("depthwise.weight"),
        depthwise_norm: name("depthwise_norm"),
        fc1: name("fc1"),
        fc2: name("fc2"),
        pointwise: name("pointwise.weight"),
        pointwise_norm: name("pointwise_norm"),
    }
}

/// Lists what the connector needs after its two linear layers, in order of use: nothing where it is no LDP.
pub(super) fn expected(config: &Config) -> Vec<Expected> {
    let h = config.text.hidden_size;
    let mut list = List(Vec::new());
    match config.connector {
        ConnectorKind::LdpV2 => {
            list.depthwise(format!("{PEG}.weight"), h);
            list.vector(format!("{PEG}.bias"), h);
        }
        ConnectorKind::Ldp => {
            for block in (1..=BLOCKS).map(mobile_block) {
                list.depthwise(block.depthwise, h);
                list.norm(&block.depthwise_norm, h);
                list.pointwise(format!("{}.weight", block.fc1), squeezed(h), h);
                list.vector(format!("{}.bias", block.fc1), squeezed(h));
                list.pointwise(format!("{}.weight", block.fc2), h, squeezed(h));
                list.vector(format!("{}.bias", block.fc2), h);
                list.pointwise(block.pointwise, h, h);
                list.norm(&block.pointwise_norm, h);
            }
        }
        _ => {}
    }
    list.0
}

/// Channels between the two matrices of a squeeze-and-excitation: a quarter, rounded to a multiple of 8.
///
/// # Source
/// `_make_divisible` of torchvision.
pub fn squeezed(channels: u32) -> u32 {
    let quarter = channels / 4;
    let near = ((quarter + 4) / 8 * 8).max(8);
    // Not below 90 %.
    if near * 10 < quarter * 9 { near + 8 } else { near }
}

struct List(Vec<Expected>);

impl List {
    fn push(&mut self, role: Role, name: String, shape: &[u32], checkpoint_shape: &[u32]) {
        let (shape, checkpoint_shape) = (shape.to_vec(), checkpoint_shape.to_vec());
        self.0.push(Expected { name, shape, checkpoint_shape, role, component: Component::Connector });
    }
    /// A 3 × 3 convolution of each channel alone.
    fn depthwise(&mut self, name: String, channels: u32) {
        self.push(Role::Vector, name, &[channels, 9], &[channels, 1, 3, 3]);
    }
    /// A 1 × 1 convolution.
    fn pointwise(&mut self, name: String, n: u32, k: u32) {
        self.push(Role::Matrix, name, &[n, k], &[n, k, 1, 1]);
    }
    fn vector(&mut self, name: String, n: u32) {
        self.push(Role::Vector, name, &[n], &[n]);
    }
    fn norm(&mut self, stem: &str, width: u32) {
        ["weight", "bias"].into_iter().for_each(|end| self.vector(format!("{stem}.{end}"), width));
    }
}

/// Layers outside of mobile blocks: the original code's stems and llama.cpp's, which differ for LDPv2, and ours.
const LAYERS: [(&str, &str); 8] = [
    ("model.mlp.1", "linear_1"),
    ("model.mlp.3", "linear_2"),
    ("mlp.mlp.0", "linear_1"),
    ("mlp.mlp.2", "linear_2"),
    ("peg.peg.0", "peg"),
    ("model.mlp.0", "linear_1"),
    ("model.mlp.2", "linear_2"),
    ("model.peg.0", "peg"),
];
/// Layers of a mobile block, after its prefix and number: the stems of both, and ours.
const BLOCK_LAYERS: [(&str, &str); 6] = [
    ("block.0.0", "depthwise"),
    ("block.0.1", "depthwise_norm"),
    ("block.1.fc1", "fc1"),
    ("block.1.fc2", "fc2"),
    ("block.2.0", "pointwise"),
    ("block.2.1", "pointwise_norm"),
];

const BLOCK: &str = "model.mb_block.";

/// Returns the canonical name of `layer`, which is below `model.mm_projector.` in the original code and below `mm.` in
/// GGUF files.
pub fn canonical(layer: &str) -> Option<String> {
    let (stem, end) = layer.rsplit_once('.').filter(|(_, end)| matches!(*end, "weight" | "bias"))?;
    if let Some(block) = stem.strip_prefix(BLOCK) {
        let (number, stem) = block.split_once('.').filter(|(number, _)| matches!(*number, "1" | "2"))?;
        let (_, ours) = BLOCK_LAYERS.iter().find(|(theirs, _)| *theirs == stem)?;
        return Some(format!("{CONNECTOR}block_{number}.{ours}.{end}"));
    }
    let (_, ours) = LAYERS.iter().find(|(theirs, _)| *theirs == stem)?;
    Some(format!("{CONNECTOR}{ours}.{end}"))
}

#[cfg(test)]
mod tests {
    use super::super::llava;
    use super::*;

    fn config(kind: &str, hidden: u32) -> Config {
        let json = format!(
            r#"{{"mm_projector_type": "{kind}", "text_config": {{"hidden_size": {hidden}, "num_attention_heads": 16}}}}"#
        );
        Config::parse(json.as_bytes(), None).unwrap()
    }

    /// What PyTorch counts at MobileVLM 1.7B's size (printed by `tests/golden/generate_ldp.py`).
    #[test]
    fn connectors_have_their_modules_size() {
        let parameters = |kind| -> u64 {
            let list = llava::expected(&config(kind, 2048));
            list.iter().filter(|e| e.component == Component::Connector).map(Expected::parameters).sum()
        };
        assert_eq!(parameters("ldpnet"), 18_936_832);
        assert_eq!(parameters("ldpnetv2"), 6_316_032);
    }

    #[test]
    fn every_tensor_has_a_name_in_both_layouts() {
        for (key, name) in [
            ("model.mm_projector.mlp.mlp.0.weight", "multi_modal_projector.linear_1.weight"),
            ("model.mm_projector.peg.peg.0.bias", "multi_modal_projector.peg.bias"),
            ("mm_projector.model.mlp.3.bias", "multi_modal_projector.linear_2.bias"),
            ("model.mm_projector.model.mb_block.2.block.1.fc2.bias", "multi_modal_projector.block_2.fc2.bias"),
            ("model.mm_projector.model.mb_block.1.block.0.0.weight", "multi_modal_projector.block_1.depthwise.weight"),
        ] {
            assert_eq!(llava::canonical(key), name);
        }
        // What is not there stays what it is, and is refused.
        for key in ["model.mb_block.3.block.0.0.weight", "model.mb_block.1.block.3.0.weight", "peg.peg.0.scale"] {
            let key = format!("model.mm_projector.{key}");
            assert_eq!(llava::canonical(&key), key);
        }
    }

    /// `_make_divisible(channels // 4, 8)` of torchvision.
    #[test]
    fn squeezes_are_those_of_torchvision() {
        assert_eq!([8, 40, 64, 72, 2048, 2560].map(squeezed), [8, 16, 16, 24, 512, 640]);
    }
}
