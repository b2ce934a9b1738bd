//! Loading as a state machine that is pushed into, in any order: `plan` → `push` … → `finish`.
//!
//! Whoever has the network or the disk fetches the parts of a blueprint and pushes them as they come; each tensor
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
use crate::format::blueprint::{Blueprint, Planned, Wanted};
use crate::format::manifest::Layout;
use crate::format::names;
use crate::format::piece::Piece;
use crate::kernels::Weight;
use crate::pass::{Buf, Op};
use crate::quant::{self, MAX_BINDING, plane_bytes};
use std::collections::{HashMap, HashSet};

/// Loads a model by its blueprint.
pub struct ModelLoader {
    device: Device,
    blueprint: Blueprint,
    pushed: Vec<bool>,
    weights: Weights,
}

impl ModelLoader {
    /// Begins with a plan of what will come.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`].
    pub async fn new(mut device: Device, blueprint: Blueprint) -> Result<Self> {
        let weights = Weights::new(&mut device, &blueprint).await?;
        let pushed = vec![false; blueprint.parts.len()];
        Ok(Self { device, blueprint, pushed, weights })
    }

    /// What is loaded.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// What is loaded, before any of it is there.
    pub fn blueprint_mut(&mut self) -> &mut Blueprint {
        &mut self.blueprint
    }

    /// Holds the matrices of a checkpoint as `wanted` says.
    ///
    /// # Errors
    /// [`Kind::State`] once a part has been pushed; what [`Blueprint::held_as`] reports.
    pub fn hold_as(&mut self, wanted: Wanted) -> Result<()> {
        ensure!(!self.pushed.contains(&true), State, "weights", "some are loaded already, and stay as they are");
        self.blueprint.tensors = self.blueprint.held_as(wanted)?;
        self.weights.stacks = stacks_for(&self.device, &self.blueprint);
        Ok(())
    }

    /// Where it is loaded to.
    pub fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    /// One operation for every pipeline that the model's passes will need, in order of use, as the device is tuned now: known
    /// before any part is there.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when something would not fit a binding.
    pub async fn pipelines(&self, context: u32) -> Result<Vec<Op>> {
        let mut ledger = self.device.without_memory();
        let mut weights = Weights::new(&mut ledger, &self.blueprint).await?;
        for tensor in &self.blueprint.tensors {
            weights.allocate(&mut ledger, tensor).await?;
        }
        let config = &self.blueprint.config;
        let mut ops = Model::operations(config, &mut ledger, &weights.parts(config)?, context).await?;
        let mut seen = HashSet::new();
        ops.retain(|op| seen.insert(op.pipeline()));
        Ok(ops)
    }

    /// Takes part `index`: verifies it and puts its tensors on the device. A part that was already taken is
    /// ignored; one that fails can be pushed again.
    ///
    /// # Errors
    /// [`Kind::Shard`] when the bytes are not the part; [`Kind::Argument`] for an index that is not there;
    /// [`Kind::Tensor`] for values that cannot be; [`Kind::OutOfMemory`].
    pub async fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let count = self.blueprint.parts.len();
        ensure!(index < count, Argument, "push", "part {index}; there are {count}");
        if self.pushed[index] {
            return Ok(());
        }
        let part = &self.blueprint.parts[index];
        part.verify(bytes)?;
        for piece in &part.pieces {
            let tensor = &self.blueprint.tensors[piece.tensor];
            let stored = piece.unpack(tensor, bytes)?;
            self.weights.place(&mut self.device, tensor, piece, &stored).await?;
        }
        self.pushed[index] = true;
        Ok(())
    }

    /// Builds the model from what was pushed, with a cache that may grow to `context` rows.
    ///
    /// # Errors
    /// [`Kind::State`] when parts are missing; what [`Model::new`] reports.
    pub async fn finish(self, context: u32) -> Result<(Model, Blueprint)> {
        let missing = self.pushed.iter().filter(|p| !**p).count();
        ensure!(missing == 0, State, "finish", "{missing} of {} parts have not been pushed", self.pushed.len());
        let config = self.blueprint.config.clone();
        let parts = self.weights.parts(&config)?;
        Ok((Model::new(config, self.device, parts, context).await?, self.blueprint))
    }
}

/// Where a matrix lies in planes that it shares.
struct Place {
    /// The first matrix there: where the buffers are kept.
    stack: String,
    /// Rows of all of them.
    rows: u32,
    /// Its own first row.
    first: u32,
}

/// Matrices that a step multiplies the same row with, below one another in the same planes: one dispatch for all.
/// They must be of one type, fit one binding together, and keep rows of 2-byte scales at whole words.
fn stacks(blueprint: &Blueprint) -> HashMap<String, Place> {
    let mut places = HashMap::new();
    let planned: HashMap<&str, &Planned> = blueprint.tensors.iter().map(|t| (t.expected.name.as_str(), t)).collect();
    for i in 0..blueprint.config.text.num_hidden_layers {
        let groups: [&[&str]; 2] =
            [&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], &["mlp.gate_proj", "mlp.up_proj"]];
        for group in groups {
            let name = |part: &str| format!("{}layers.{i}.{part}.weight", names::DECODER);
            let members: Vec<&Planned> = group.iter().filter_map(|p| planned.get(name(p).as_str()).copied()).collect();
            let [first, ..] = members[..] else { continue };
            let rows = members.iter().map(|t| t.expected.shape[0]).sum();
            let alike = |t: &&Planned| {
                t.weight_type == first.weight_type
                    && t.expected.shape[1] == first.expected.shape[1]
                    && t.expected.shape[0].is_multiple_of(4)
                    && t.tiles.len() == 1
            };
            let fits = plane_bytes(first.weight_type, rows, first.expected.shape[1]);
            if members.len() < group.len() || !members.iter().all(alike) || !fits.is_ok_and(|(b, _)| b <= MAX_BINDING) {
                continue;
            }
            let mut below = 0;
            for member in &members {
                let place = Place { stack: first.expected.name.clone(), rows, first: below };
                places.insert(member.expected.name.clone(), place);
                below += member.expected.shape[0];
            }
        }
    }
    places
}

/// The stacks where a step multiplies by them: on a GPU.
fn stacks_for(device: &Device, blueprint: &Blueprint) -> HashMap<String, Place> {
    if device.is_gpu() { stacks(blueprint) } else { HashMap::new() }
}

/// Buffers by tensor name.
struct Weights {
    stacks: HashMap<String, Place>,
    /// Blocks and scales of stacks, by their first matrix.
    shared: HashMap<String, (Buf, Buf)>,
    vectors: HashMap<String, Buf>,
    tiles: HashMap<String, Vec<Weight>>,
    /// Bound where there is no bias.
    unused: Buf,
    /// Bound where there are no scales; another one, for no buffer is bound twice.
    unused_scales: Buf,
}

impl Weights {
    async fn new(device: &mut Device, blueprint: &Blueprint) -> Result<Self> {
        let stacks = stacks_for(device, blueprint);
        let (vectors, tiles) = (HashMap::new(), HashMap::new());
        let (unused, unused_scales) = (device.buffer("unused", 1).await?, device.buffer("unused scales", 1).await?);
        Ok(Self { stacks, shared: HashMap::new(), vectors, tiles, unused, unused_scales })
    }

    /// Puts the rows of a piece where they belong. `stored` is a complete tile of these rows alone; a tile of the
    /// device has more of them beside each other in every strip.
    async fn place(&mut self, device: &mut Device, tensor: &Planned, piece: &Piece, stored: &[u8]) -> Result<()> {
        let name = &tensor.expected.name;
        self.allocate(device, tensor).await?;
        if let Some(vector) = self.vectors.get(name) {
            device.upload(*vector, 0, stored);
            return Ok(());
        }
        let (t, k) = (tensor.weight_type, tensor.expected.shape[1]);
        let [first, end] = piece.rows;
        let (own_blocks, _) = plane_bytes(t, end - first, k)?;
        for tile in &self.tiles[name] {
            let (from, to) = (first.max(tile.first_row), end.min(tile.first_row + tile.rows));
            if [from, to] == piece.rows && tile.plane_rows == to - from {
                let (blocks, scales) = stored.split_at(own_blocks as usize);
                device.upload(tile.blocks, 0, blocks);
                device.upload(tile.scales, 0, scales);
                return Ok(());
            }
            if from >= to {
                continue;
            }
            let (tile_blocks, _) = plane_bytes(t, tile.plane_rows, k)?;
            let below = tile.plane_first + from - tile.first_row;
            for (own, whole) in quant::planes(t, end - first, k)?.iter().zip(quant::planes(t, tile.plane_rows, k)?) {
                let (buffer, base) = match whole.offset < tile_blocks {
                    true => (tile.blocks, whole.offset),
                    false => (tile.scales, whole.offset - tile_blocks),
                };
                let row = u64::from(whole.row_bytes);
                let bytes = u64::from(to - from) * row;
                for strip in 0..u64::from(whole.strips) {
                    let source = own.offset + (strip * u64::from(end - first) + u64::from(from - first)) * row;
                    let target = base + (strip * u64::from(tile.plane_rows) + u64::from(below)) * row;
                    device.upload(buffer, target as usize / 4, &stored[source as usize..][..bytes as usize]);
                }
            }
        }
        Ok(())
    }

    /// Makes the buffers of a tensor, unless they are there.
    async fn allocate(&mut self, device: &mut Device, tensor: &Planned) -> Result<()> {
        let name = &tensor.expected.name;
        if self.tiles.contains_key(name) || self.vectors.contains_key(name) {
            return Ok(());
        }
        if tensor.layout == Layout::Rows {
            self.vectors.insert(name.clone(), device.buffer(name, tensor.bytes() / 4).await?);
            return Ok(());
        }
        let (kind, cols) = (tensor.weight_type, tensor.expected.shape[1]);
        let mut tiles = Vec::new();
        for [first_row, end] in tensor.tiles.iter().copied() {
            let rows = end - first_row;
            let (stack, plane_rows, plane_first) = match self.stacks.get(name) {
                Some(place) => (Some(&place.stack), place.rows, place.first),
                None => (None, rows, 0),
            };
            let known = stack.and_then(|stack| self.shared.get(stack)).copied();
            let (blocks, scales) = match known {
                Some(shared) => shared,
                None => {
                    let (blocks, scales) = plane_bytes(kind, plane_rows, cols)?;
                    let blocks = device.buffer(name, blocks / 4).await?;
                    match scales {
                        0 => (blocks, self.unused_scales),
                        bytes => (blocks, device.buffer(name, bytes / 4).await?),
                    }
                }
            };
            if let Some(stack) = stack {
                self.shared.insert(stack.clone(), (blocks, scales));
            }
            tiles.push(Weight { kind, first_row, rows, cols, plane_rows, plane_first, blocks, scales });
        }
        self.tiles.insert(name.clone(), tiles);
        Ok(())
    }

    fn vector(&self, name: &str) -> Result<Buf> {
        self.vectors.get(name).copied().ok_or_else(|| Error::new(Kind::Tensor, name, "has not been loaded"))
    }

    fn matrix(&self, name: &str, bias: Option<&str>) -> Result<Linear> {
        let Some(tiles) = self.tiles.get(name) else {
            crate::fail!(Tensor, name, "has not been loaded");
        };
        let tiles = tiles.clone();
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
