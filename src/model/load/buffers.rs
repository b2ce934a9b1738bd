//! Buffers of weights: allocation, stacking, and upload of rows.

use crate::device::Device;
use crate::error::Result;
use crate::format::blueprint::Blueprint;
use crate::format::manifest::Layout;
use crate::format::names::llava::decoder_block;
use crate::format::piece::{DeviceTensor, Piece};
use crate::kernels::Weight;
use crate::pass::Buf;
use crate::quant::{self, MAX_BINDING, plane_bytes};
use std::collections::HashMap;

/// Place of a matrix in planes that it shares with others.
struct Place {
    /// The first matrix there, under whose name the buffers are kept.
    stack: String,
    /// Rows of all of them.
    rows: u32,
    /// Its first row.
    first: u32,
}

/// Stacks matrices that a step multiplies with the same row (`q`, `k`, `v`; `gate`, `up`) in the same planes, so that
/// one dispatch serves all. They must be of one type, fit one binding together, and keep rows of 2-byte scales at whole
/// words.
fn stacks(blueprint: &Blueprint) -> HashMap<String, Place> {
    let mut places = HashMap::new();
    let planned: HashMap<&str, &DeviceTensor> =
        blueprint.tensors.iter().map(|t| (t.expected.name.as_str(), t)).collect();
    for i in 0..blueprint.config.text.num_hidden_layers {
        let names = decoder_block(i);
        let [q_proj, k_proj, v_proj, _] = names.attention;
        for group in [vec![q_proj, k_proj, v_proj], vec![names.gate_proj, names.up_proj]] {
            let members: Vec<&DeviceTensor> = group.iter().filter_map(|n| planned.get(n.as_str()).copied()).collect();
            let [first, ..] = members[..] else { continue };
            let rows = members.iter().map(|t| t.expected.shape[0]).sum();
            let alike = |t: &&DeviceTensor| {
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

/// Place of a copy of a vector in a buffer that a step's mat-vecs bind: the weights of a norm, then the biases of the
/// matrices that read the normalised row.
struct RowPlace {
    /// The norm, under whose name the buffer is kept.
    norm: String,
    /// Words of the buffer.
    words: u64,
    /// Place of the vector in it, words.
    first: u64,
}

/// The places of copies on a GPU, in decoders whose `q`, `k` and `v` have biases.
fn row_places(device: &Device, blueprint: &Blueprint) -> HashMap<String, RowPlace> {
    let text = &blueprint.config.text;
    let mut places = HashMap::new();
    if !device.is_gpu() || !text.attention_bias {
        return places;
    }
    let [q, kv] = [text.num_attention_heads, text.num_key_value_heads].map(|heads| u64::from(heads * text.head_dim));
    let h = u64::from(text.hidden_size);
    for names in (0..text.num_hidden_layers).map(decoder_block) {
        let [q_bias, k_bias, v_bias] = names.attention_bias;
        let norm = names.input_layernorm;
        for (name, first) in [(norm.clone(), 0), (q_bias, h), (k_bias, h + q), (v_bias, h + q + kv)] {
            places.insert(name, RowPlace { norm: norm.clone(), words: h + q + 2 * kv, first });
        }
    }
    places
}

/// The stacks on a GPU; none on the CPU, whose kernels take one matrix at a time.
fn stacks_for(device: &Device, blueprint: &Blueprint) -> HashMap<String, Place> {
    if device.is_gpu() { stacks(blueprint) } else { HashMap::new() }
}

/// Buffers of all weights, by tensor name.
pub(super) struct WeightBuffers {
    stacks: HashMap<String, Place>,
    /// Blocks and scales of stacks, by their first matrix.
    shared: HashMap<String, (Buf, Buf)>,
    row_places: HashMap<String, RowPlace>,
    /// Copies of norms and biases together, by the norm.
    pub(super) row_vectors: HashMap<String, Buf>,
    pub(super) vectors: HashMap<String, Buf>,
    pub(super) tiles: HashMap<String, Vec<Weight>>,
    /// Bound where there is no bias.
    pub(super) unused: Buf,
    /// Bound where there are no scales. It is a buffer of its own, for no buffer is bound twice.
    unused_scales: Buf,
}

impl WeightBuffers {
    /// Starts without buffers, except the two that are bound where one is unused.
    pub async fn new(device: &mut Device, blueprint: &Blueprint) -> Result<Self> {
        let (stacks, row_places) = (stacks_for(device, blueprint), row_places(device, blueprint));
        let row_vectors = HashMap::new();
        let (vectors, tiles) = (HashMap::new(), HashMap::new());
        let (unused, unused_scales) = (device.buffer("unused", 1).await?, device.buffer("unused scales", 1).await?);
        Ok(Self { stacks, shared: HashMap::new(), row_places, row_vectors, vectors, tiles, unused, unused_scales })
    }

    /// Stacks the matrices anew, after their types have changed and before any buffer is made.
    pub fn restack(&mut self, device: &Device, blueprint: &Blueprint) {
        self.stacks = stacks_for(device, blueprint);
    }

    /// Uploads the rows of a piece. `stored` is a complete tile of these rows alone; a tile of the device has more rows
    /// beside each other in every strip.
    pub async fn place(
        &mut self,
        device: &mut Device,
        tensor: &DeviceTensor,
        piece: &Piece,
        stored: &[u8],
    ) -> Result<()> {
        let name = &tensor.expected.name;
        self.allocate(device, tensor).await?;
        if let Some(vector) = self.vectors.get(name) {
            device.upload(*vector, 0, stored);
            if let Some(place) = self.row_places.get(name) {
                device.upload(self.row_vectors[&place.norm], place.first as usize, stored);
            }
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

    /// Makes the buffers of a tensor, unless they exist.
    pub async fn allocate(&mut self, device: &mut Device, tensor: &DeviceTensor) -> Result<()> {
        let name = &tensor.expected.name;
        if self.tiles.contains_key(name) || self.vectors.contains_key(name) {
            return Ok(());
        }
        if tensor.layout == Layout::Rows {
            self.vectors.insert(name.clone(), device.buffer(name, tensor.bytes() / 4).await?);
            if let Some(place) = self.row_places.get(name)
                && !self.row_vectors.contains_key(&place.norm)
            {
                self.row_vectors.insert(place.norm.clone(), device.buffer(&place.norm, place.words).await?);
            }
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
}
