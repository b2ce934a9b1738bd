//! Loaded buffers → the model's components, by the names of [`llava`].

use super::buffers::WeightBuffers;
use crate::config::{Activation, Config, ConnectorKind};
use crate::error::{Error, Kind, Result};
use crate::fail;
use crate::format::names::{EMBED_TOKENS, LM_HEAD, PATCH_EMBEDDING, ldp, llava};
use crate::model::Components;
use crate::model::attention::Attention;
use crate::model::connector::{Connector, Mlp};
use crate::model::decoder::{Decoder, DecoderBlock};
use crate::model::ldp::{Ldp, LdpV2, MobileBlock};
use crate::model::linear::Linear;
use crate::model::vision_tower::{ClassRow, LayerNorm, VisionBlock, VisionTower};
use crate::pass::Buf;

impl WeightBuffers {
    /// Assembles the components of the model that `config` describes.
    ///
    /// # Errors
    /// [`Kind::Tensor`], naming a tensor that has not been loaded.
    pub fn components(&self, config: &Config) -> Result<Components> {
        Ok(Components {
            vision_tower: self.vision_tower(config)?,
            connector: self.connector(config)?,
            decoder: self.decoder(config)?,
            newline: config.has_newline().then(|| self.vector(llava::IMAGE_NEWLINE)).transpose()?,
        })
    }

    fn vector(&self, name: &str) -> Result<Buf> {
        self.vectors.get(name).copied().ok_or_else(|| Error::new(Kind::Tensor, name, "has not been loaded"))
    }

    fn matrix(&self, name: &str, bias: Option<&str>) -> Result<Linear> {
        let Some(tiles) = self.tiles.get(name) else {
            fail!(Tensor, name, "has not been loaded");
        };
        let tiles = tiles.clone();
        let outputs = tiles.iter().map(|tile| tile.rows).sum();
        let bias = bias.map(|name| self.vector(name)).transpose()?;
        Ok(Linear { tiles, bias, outputs, unused: self.unused })
    }

    /// The layer `{stem}.weight` with `{stem}.bias`.
    fn biased(&self, stem: &str) -> Result<Linear> {
        self.matrix(&format!("{stem}.weight"), Some(&format!("{stem}.bias")))
    }

    fn layer_norm(&self, stem: &str) -> Result<LayerNorm> {
        let [weight, bias] = ["weight", "bias"].map(|end| self.vector(&format!("{stem}.{end}")));
        Ok(LayerNorm { weight: weight?, bias: bias? })
    }

    fn vision_tower(&self, config: &Config) -> Result<VisionTower> {
        let block = |i: u32| {
            let names = llava::vision_block(i);
            let [q_proj, k_proj, v_proj, o_proj] = names.attention.map(|stem| self.biased(&stem));
            Ok(VisionBlock {
                layer_norm1: self.layer_norm(&names.layer_norm1)?,
                self_attn: Attention {
                    q_proj: q_proj?,
                    k_proj: k_proj?,
                    v_proj: v_proj?,
                    o_proj: o_proj?,
                    row_vectors: None,
                },
                layer_norm2: self.layer_norm(&names.layer_norm2)?,
                fc1: self.biased(&names.fc1)?,
                fc2: self.biased(&names.fc2)?,
            })
        };
        let v = &config.vision;
        let class_row = || {
            let class_embedding = self.vector(llava::CLASS_EMBEDDING)?;
            Ok(ClassRow { class_embedding, pre_layrnorm: self.layer_norm(llava::PRE_LAYRNORM)? })
        };
        Ok(VisionTower {
            patch_embedding: self.matrix(PATCH_EMBEDDING, v.tower.has_patch_bias().then_some(llava::PATCH_BIAS))?,
            class_row: v.tower.has_class_row().then(class_row).transpose()?,
            position_embedding: self.vector(llava::POSITION_EMBEDDING)?,
            blocks: (0..config.vision_blocks).map(block).collect::<Result<_>>()?,
            post_layernorm: v.post_layernorm.then(|| self.layer_norm(llava::POST_LAYERNORM)).transpose()?,
        })
    }

    fn connector(&self, config: &Config) -> Result<Connector> {
        let linear = |i: u32| self.biased(&llava::connector_linear(i));
        let two = |activation| Ok(Mlp { linear_1: linear(1)?, linear_2: Some((activation, linear(2)?)) });
        Ok(match config.connector {
            ConnectorKind::Linear => Connector::Mlp(Mlp { linear_1: linear(1)?, linear_2: None }),
            ConnectorKind::Mlp2x(activation) => Connector::Mlp(two(activation)?),
            ConnectorKind::PixelShuffle { factor } => {
                let weight = format!("{}.weight", llava::connector_linear(1));
                Connector::PixelShuffle { factor, linear: self.matrix(&weight, None)? }
            }
            ConnectorKind::Ldp => {
                let blocks = [self.mobile_block(1)?, self.mobile_block(2)?];
                Connector::Ldp(Box::new(Ldp { mlp: two(Activation::Gelu)?, blocks }))
            }
            ConnectorKind::LdpV2 => {
                let [peg, peg_bias] = ["weight", "bias"].map(|end| self.vector(&format!("{}.{end}", ldp::PEG)));
                Connector::LdpV2(LdpV2 { mlp: two(Activation::Gelu)?, peg: peg?, peg_bias: peg_bias? })
            }
        })
    }

    fn mobile_block(&self, i: u32) -> Result<MobileBlock> {
        let names = ldp::mobile_block(i);
        Ok(MobileBlock {
            depthwise: self.vector(&names.depthwise)?,
            depthwise_norm: self.layer_norm(&names.depthwise_norm)?,
            fc1: self.biased(&names.fc1)?,
            fc2: self.biased(&names.fc2)?,
            pointwise: self.matrix(&names.pointwise, None)?,
            pointwise_norm: self.layer_norm(&names.pointwise_norm)?,
        })
    }

    fn decoder(&self, config: &Config) -> Result<Decoder> {
        let block = |i: u32| {
            let names = llava::decoder_block(i);
            let [q, k, v, o] = &names.attention;
            let biases =
                names.attention_bias.each_ref().map(|name| config.text.attention_bias.then_some(name.as_str()));
            let self_attn = Attention {
                q_proj: self.matrix(q, biases[0])?,
                k_proj: self.matrix(k, biases[1])?,
                v_proj: self.matrix(v, biases[2])?,
                o_proj: self.matrix(o, None)?,
                row_vectors: self.row_vectors.get(&names.input_layernorm).copied(),
            };
            Ok(DecoderBlock {
                input_layernorm: self.vector(&names.input_layernorm)?,
                self_attn,
                post_attention_layernorm: self.vector(&names.post_attention_layernorm)?,
                gate_proj: self.matrix(&names.gate_proj, None)?,
                up_proj: self.matrix(&names.up_proj, None)?,
                down_proj: self.matrix(&names.down_proj, None)?,
            })
        };
        let head = if config.text.tie_word_embeddings { EMBED_TOKENS } else { LM_HEAD };
        Ok(Decoder {
            embed_tokens: self.matrix(EMBED_TOKENS, None)?,
            blocks: (0..config.text.num_hidden_layers).map(block).collect::<Result<_>>()?,
            norm: self.vector(llava::NORM)?,
            lm_head: self.matrix(head, None)?,
        })
    }
}
