//! Loading as a state machine that is pushed into, in any order: `plan` → `push` … → `finish`.
//!
//! Whoever has the network or the disk fetches the parts of a manifest and pushes them as they come; each tensor
//! goes to the device at once, so that the memory in use is the parts in flight and never the model.

use super::attention::Attention;
use super::connector::Connector;
use super::decoder::{Decoder, DecoderBlock};
use super::linear::Linear;
use super::vision_tower::{LayerNorm, VisionBlock, VisionTower};
use super::{Model, Parts};
use crate::config::{Config, ConnectorKind};
use crate::device::Device;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::manifest::{Layout, Manifest};
use crate::format::names;
use crate::format::shards::{Part, PartKind};
use crate::kernels::Weight;
use crate::pass::Buf;
use crate::quant::plane_bytes;
use serde::Serialize;
use std::collections::HashMap;

/// Longest context we allocate unless asked otherwise: LLaVA-1.5 was trained at 2048.
const DEFAULT_CONTEXT: u32 = 2048;

/// What will be fetched, before anything is.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the model.
    pub name: String,
    /// Files to fetch; push them by `index`.
    pub parts: Vec<Part>,
    /// Bytes of all of them.
    pub total_bytes: u64,
}

/// The small files, as pushed.
#[derive(Debug, Default)]
pub struct SmallFiles {
    /// `config.json`.
    pub config: Option<Vec<u8>>,
    /// `generation_config.json`.
    pub generation_config: Option<Vec<u8>>,
    /// `preprocessor_config.json`.
    pub preprocessor_config: Option<Vec<u8>>,
    /// `tokenizer.json`.
    pub tokenizer: Option<Vec<u8>>,
}

/// Loads a model from the parts of a manifest.
pub struct ModelLoader {
    device: Device,
    manifest: Manifest,
    parts: Vec<Part>,
    pushed: Vec<bool>,
    files: SmallFiles,
    weights: Weights,
}

impl ModelLoader {
    /// Begins with a manifest.
    ///
    /// # Errors
    /// [`Kind::Manifest`]; [`Kind::OutOfMemory`].
    pub async fn new(mut device: Device, manifest: &[u8]) -> Result<Self> {
        let manifest = Manifest::parse(manifest)?;
        let parts = manifest.parts();
        let weights =
            Weights { vectors: HashMap::new(), tiles: HashMap::new(), unused: device.buffer("unused", 1).await? };
        let pushed = vec![false; parts.len()];
        Ok(Self { device, manifest, parts, pushed, files: SmallFiles::default(), weights })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is to be fetched.
    pub fn plan(&self) -> Plan {
        Plan { name: self.manifest.name.clone(), parts: self.parts.clone(), total_bytes: self.manifest.total_bytes() }
    }

    /// Takes part `index`: verifies it and puts its tensors on the device. A part that was already taken is
    /// ignored; one that fails can be pushed again.
    ///
    /// # Errors
    /// [`Kind::Shard`] when the bytes are not the part; [`Kind::Argument`] for an index that is not there;
    /// [`Kind::OutOfMemory`].
    pub async fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        ensure!(index < self.parts.len(), Argument, "push", "part {index}; there are {}", self.parts.len());
        if self.pushed[index] {
            return Ok(());
        }
        self.parts[index].verify(bytes)?;
        match self.parts[index].what {
            PartKind::Config => self.files.config = Some(bytes.to_vec()),
            PartKind::GenerationConfig => self.files.generation_config = Some(bytes.to_vec()),
            PartKind::PreprocessorConfig => self.files.preprocessor_config = Some(bytes.to_vec()),
            PartKind::Tokenizer => self.files.tokenizer = Some(bytes.to_vec()),
            PartKind::Shard(shard) => self.push_shard(shard, bytes).await?,
        }
        self.pushed[index] = true;
        Ok(())
    }

    async fn push_shard(&mut self, shard: u32, bytes: &[u8]) -> Result<()> {
        for (t, i) in self.manifest.tiles_in(shard) {
            let (record, tile) = (&self.manifest.tensors[t], &self.manifest.tensors[t].tiles[i]);
            // The manifest was checked: tiles lie inside their shards and are as long as their shapes say.
            let stored = &bytes[tile.offset as usize..][..tile.bytes as usize];
            match record.layout {
                Layout::Rows => {
                    let buffer = upload(&mut self.device, &record.name, stored).await?;
                    self.weights.vectors.insert(record.name.clone(), buffer);
                }
                Layout::Blocks => {
                    let (n, k) = (tile.rows[1] - tile.rows[0], record.shape[1]);
                    let (block_bytes, scale_bytes) = plane_bytes(record.weight_type, n, k)?;
                    let (blocks, scales) = stored.split_at(block_bytes as usize);
                    let blocks = upload(&mut self.device, &record.name, blocks).await?;
                    let scales = match scale_bytes {
                        0 => self.weights.unused_scales(&mut self.device).await?,
                        _ => upload(&mut self.device, &record.name, scales).await?,
                    };
                    let weight =
                        Weight { kind: record.weight_type, first_row: tile.rows[0], rows: n, cols: k, blocks, scales };
                    self.weights.tiles.entry(record.name.clone()).or_default().push(weight);
                }
            }
        }
        Ok(())
    }

    /// Builds the model from what was pushed. `context` rows of cache; by default what the configuration allows,
    /// at most 2048.
    ///
    /// # Errors
    /// [`Kind::State`] when parts are missing; what [`Config::parse`], [`Manifest::match_config`] and
    /// [`Model::new`] report.
    pub async fn finish(self, context: Option<u32>) -> Result<(Model, Manifest, SmallFiles)> {
        let missing = self.pushed.iter().filter(|p| !**p).count();
        ensure!(missing == 0, State, "finish", "{missing} of {} parts have not been pushed", self.parts.len());
        let config = self.files.config.as_deref().unwrap_or_default();
        let config = Config::parse(config, self.files.generation_config.as_deref())?;
        self.manifest.match_config(&config)?;
        let limit = config.text.max_position_embeddings;
        let context = context.unwrap_or(DEFAULT_CONTEXT.min(limit));
        ensure!((1..=limit).contains(&context), Argument, "context", "{context} tokens; this model has 1 to {limit}");
        let parts = self.weights.parts(&config)?;
        Ok((Model::new(config, self.device, parts, context).await?, self.manifest, self.files))
    }
}

async fn upload(device: &mut Device, name: &str, bytes: &[u8]) -> Result<Buf> {
    let buffer = device.buffer(name, bytes.len() as u64 / 4).await?;
    device.upload(buffer, 0, bytes);
    Ok(buffer)
}

/// Buffers by tensor name.
struct Weights {
    vectors: HashMap<String, Buf>,
    tiles: HashMap<String, Vec<Weight>>,
    /// Bound where there is no bias.
    unused: Buf,
}

impl Weights {
    /// A buffer to bind where there are no scales; not `unused` itself, for no buffer is bound twice.
    async fn unused_scales(&self, device: &mut Device) -> Result<Buf> {
        match self.tiles.values().flatten().find(|w| !w.kind.has_scales()) {
            Some(weight) => Ok(weight.scales),
            None => device.buffer("unused scales", 1).await,
        }
    }

    fn vector(&self, name: &str) -> Result<Buf> {
        self.vectors.get(name).copied().ok_or_else(|| Error::new(Kind::Tensor, name, "has not been loaded"))
    }

    fn matrix(&self, name: &str, bias: Option<&str>) -> Result<Linear> {
        let Some(tiles) = self.tiles.get(name) else {
            crate::fail!(Tensor, name, "has not been loaded");
        };
        let mut tiles = tiles.clone();
        tiles.sort_by_key(|tile| tile.first_row);
        let outputs = tiles.iter().map(|tile| tile.rows).sum();
        let bias = bias.map(|name| self.vector(name)).transpose()?;
        Ok(Linear { tiles, bias, outputs, unused: self.unused })
    }

    /// `{name}.weight` with `{name}.bias`.
    fn biased(&self, name: &str) -> Result<Linear> {
        self.matrix(&format!("{name}.weight"), Some(&format!("{name}.bias")))
    }

    fn layer_norm(&self, name: &str) -> Result<LayerNorm> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.vector(&format!("{name}.{part}")));
        Ok(LayerNorm { weight: weight?, bias: bias? })
    }

    fn parts(&self, config: &Config) -> Result<Parts> {
        Ok(Parts {
            vision_tower: self.vision_tower(config)?,
            connector: self.connector(config)?,
            decoder: self.decoder(config)?,
        })
    }

    fn vision_tower(&self, config: &Config) -> Result<VisionTower> {
        let tower = names::VISION_TOWER;
        let block = |i: u32| {
            let block = format!("{tower}encoder.layers.{i}");
            let projection = |name: &str| self.biased(&format!("{block}.self_attn.{name}"));
            Ok(VisionBlock {
                layer_norm1: self.layer_norm(&format!("{block}.layer_norm1"))?,
                self_attn: Attention {
                    q_proj: projection("q_proj")?,
                    k_proj: projection("k_proj")?,
                    v_proj: projection("v_proj")?,
                    o_proj: projection("out_proj")?,
                },
                layer_norm2: self.layer_norm(&format!("{block}.layer_norm2"))?,
                fc1: self.biased(&format!("{block}.mlp.fc1"))?,
                fc2: self.biased(&format!("{block}.mlp.fc2"))?,
            })
        };
        Ok(VisionTower {
            patch_embedding: self.matrix(names::PATCH_EMBEDDING, None)?,
            class_embedding: self.vector(&format!("{tower}embeddings.class_embedding"))?,
            position_embedding: self.vector(&format!("{tower}embeddings.position_embedding.weight"))?,
            pre_layrnorm: self.layer_norm(&format!("{tower}pre_layrnorm"))?,
            blocks: (0..config.vision_blocks).map(block).collect::<Result<_>>()?,
        })
    }

    fn connector(&self, config: &Config) -> Result<Connector> {
        let linear = |i: u32| self.biased(&format!("{}linear_{i}", names::CONNECTOR));
        let linear_2 = match config.connector {
            ConnectorKind::Linear => None,
            ConnectorKind::Mlp2x(activation) => Some((activation, linear(2)?)),
        };
        Ok(Connector { linear_1: linear(1)?, linear_2 })
    }

    fn decoder(&self, config: &Config) -> Result<Decoder> {
        let block = |i: u32| {
            let block = format!("{}layers.{i}", names::DECODER);
            let matrix = |name: &str| self.matrix(&format!("{block}.{name}.weight"), None);
            Ok(DecoderBlock {
                input_layernorm: self.vector(&format!("{block}.input_layernorm.weight"))?,
                self_attn: Attention {
                    q_proj: matrix("self_attn.q_proj")?,
                    k_proj: matrix("self_attn.k_proj")?,
                    v_proj: matrix("self_attn.v_proj")?,
                    o_proj: matrix("self_attn.o_proj")?,
                },
                post_attention_layernorm: self.vector(&format!("{block}.post_attention_layernorm.weight"))?,
                gate_proj: matrix("mlp.gate_proj")?,
                up_proj: matrix("mlp.up_proj")?,
                down_proj: matrix("mlp.down_proj")?,
            })
        };
        let head = if config.text.tie_word_embeddings { names::EMBED_TOKENS } else { names::LM_HEAD };
        Ok(Decoder {
            embed_tokens: self.matrix(names::EMBED_TOKENS, None)?,
            blocks: (0..config.text.num_hidden_layers).map(block).collect::<Result<_>>()?,
            norm: self.vector(&format!("{}norm.weight", names::DECODER))?,
            lm_head: self.matrix(head, None)?,
        })
    }
}
