//! The model: its computation as recorded passes over named buffers.
//!
//! Read in this order: [`vision_tower`], [`connector`], [`decoder`] (with [`attention`], [`norm`], [`kv_cache`] and
//! [`linear`] below them), then [`load`], which builds all of it from the parts of a blueprint. [`Passes`] holds one
//! value for each pass of a model.

pub mod attention;
mod attention_weights;
pub mod connector;
pub mod decoder;
pub mod kv_cache;
pub mod ldp;
pub mod linear;
pub mod load;
pub mod norm;
pub mod passes;
pub mod sampler;
pub mod stored_rows;
pub mod vision_tower;

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::device::{Device, PassId};
use crate::error::{Error, Kind, Result};
use crate::kernels::Rows;
use crate::kernels::embed_rows::IMAGE_ROW;
use crate::pass::{Buf, Call, CopyRange, Op, Pass};
use attention_weights::AttendingStep;
use connector::Connector;
use decoder::{Decoder, DecoderBuffers};
use sampler::SamplerBuffers;
use vision_tower::{VisionBuffers, VisionTower};

pub use kv_cache::CacheType;
pub use passes::Passes;
pub use stored_rows::StoredRows;

/// Initial capacity of the cache, rows: a picture of LLaVA-1.5's, a question and an answer.
const FIRST_ROWS: u32 = 1024;
/// Bytes of an f32 cache for the usual context above which keys and values are stored as f16: 1 GiB for LLaVA-1.5 7B,
/// not 2.
const LARGE_CACHE: u64 = 256 << 20;
/// Labels of the passes in reports.
const PASS_NAMES: Passes<&str> =
    Passes { encode: "encode", prefill: "prefill", step: "step", head: "head", sample: "sample", process: "process" };

/// The loaded model: weights on the device, passes recorded and prepared.
pub struct Model {
    /// Sizes.
    pub config: Config,
    /// The device that holds the weights and runs the passes.
    pub device: Device,
    /// Rows that the cache may grow to.
    pub context: u32,
    /// The decoder's weights, of which passes are recorded.
    weights: Decoder,
    vision: VisionBuffers,
    decoder: DecoderBuffers,
    sampler: SamplerBuffers,
    passes: Passes<PassId>,
    /// `None` until attention weights are wanted.
    attending: Option<AttendingStep>,
}

/// A model's buffers and its recorded passes, before a device has prepared them.
struct Recorded {
    vision: VisionBuffers,
    decoder: DecoderBuffers,
    sampler: SamplerBuffers,
    passes: Passes<Pass>,
}

impl Recorded {
    async fn new(
        config: &Config,
        device: &mut Device,
        components: &Components,
        context: u32,
        cache_type: CacheType,
    ) -> Result<Self> {
        let vision = VisionBuffers::new(device, config).await?;
        let b = DecoderBuffers::new(device, config, context, FIRST_ROWS, cache_type).await?;
        let sampler = SamplerBuffers::new(device, config.text.vocab_size).await?;
        let Components { vision_tower, connector, decoder, .. } = components;
        let text = &config.text;
        let mut passes = PASS_NAMES.map(|name| device.pass(name));
        vision_tower.record(&mut passes.encode, config, &vision);
        connector.record(&mut passes.encode, config, &vision);
        decoder.record(&mut passes.prefill, text, &b, Rows::Call);
        decoder.record(&mut passes.step, text, &b, Rows::Fixed(1));
        decoder.record_head(&mut passes.head, text, &b);
        sampler.record(&mut passes.sample, b.logits, &b);
        sampler.record_processed(&mut passes.process, &b);
        Ok(Self { vision, decoder: b, sampler, passes })
    }
}

impl Model {
    /// Allocates activations and cache, records and prepares the passes.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]; [`Kind::Gpu`] when a driver refuses a kernel.
    pub async fn new(
        config: Config,
        mut device: Device,
        components: Components,
        context: u32,
        cache_type: CacheType,
    ) -> Result<Self> {
        let Recorded { vision, decoder, sampler, passes } =
            Recorded::new(&config, &mut device, &components, context, cache_type).await?;
        let passes = Passes {
            encode: device.prepare(passes.encode).await?,
            prefill: device.prepare(passes.prefill).await?,
            step: device.prepare(passes.step).await?,
            head: device.prepare(passes.head).await?,
            sample: device.prepare(passes.sample).await?,
            process: device.prepare(passes.process).await?,
        };
        if let Some(newline) = components.newline {
            let (to, words) = (decoder.image_embeds, newline.words);
            device.copy(&[CopyRange { from: newline, from_offset: 0, to, to_offset: to.words - words, words }]);
        }
        let weights = components.decoder;
        Ok(Self { config, device, context, weights, vision, decoder, sampler, passes, attending: None })
    }

    /// Returns the operations of all passes of such a model, in order, as recorded on `device`, which is a ledger.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when a buffer would exceed a binding.
    pub async fn operations(
        config: &Config,
        device: &mut Device,
        components: &Components,
        context: u32,
        cache_type: CacheType,
    ) -> Result<Vec<Op>> {
        let recorded = Recorded::new(config, device, components, context, cache_type).await?;
        Ok(recorded.passes.into_iter().flat_map(|pass| pass.ops).collect())
    }

    /// Returns the memory that a model of this configuration takes beside its weights.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when a buffer would exceed a binding.
    pub async fn runtime_memory(config: &Config, context: u32, cache_type: CacheType) -> Result<RuntimeMemory> {
        let mut ledger = Device::ledger();
        VisionBuffers::new(&mut ledger, config).await?;
        let rows = FIRST_ROWS.min(context);
        let decoder = DecoderBuffers::new(&mut ledger, config, context, rows, cache_type).await?;
        SamplerBuffers::new(&mut ledger, config.text.vocab_size).await?;
        let cache_per_token = decoder.cache.row_bytes();
        let scratch = ledger.allocated() - cache_per_token * u64::from(rows);
        Ok(RuntimeMemory { scratch, cache_per_token })
    }

    /// Returns how keys and values are stored unless something else is wanted: as f16 where a cache of f32 would exceed
    /// 256 MiB, else as f32.
    pub fn usual_cache_type(config: &Config) -> CacheType {
        let t = &config.text;
        let row = 2 * 4 * u64::from(t.num_hidden_layers) * u64::from(t.num_key_value_heads) * u64::from(t.head_dim);
        let large = row * u64::from(config.usual_context()) > LARGE_CACHE;
        if large { CacheType::F16 } else { CacheType::F32 }
    }

    /// Returns the buffers that hold pairs of f16 in each word.
    pub(crate) fn f16_buffers(&self) -> Vec<Buf> {
        let layers = self.decoder.cache.layers.iter();
        layers.filter(|kv| kv.stored == CacheType::F16).flat_map(|kv| [kv.k, kv.v]).collect()
    }

    /// Returns how keys and values are stored.
    pub fn cache_stored(&self) -> CacheType {
        self.decoder.cache.stored()
    }

    /// Returns the bytes of keys and values of a row, in all layers.
    pub fn cache_row_bytes(&self) -> u64 {
        self.decoder.cache.row_bytes()
    }

    /// Grows the cache to at least `rows` rows. It doubles where memory allows, so that it rarely grows.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]; the cache and its contents are then unchanged.
    pub async fn reserve_rows(&mut self, rows: u32) -> Result<()> {
        let now = self.decoder.cache.rows();
        if rows <= now {
            return Ok(());
        }
        let doubled = (2 * now).max(rows).min(self.context);
        let cache = &mut self.decoder.cache;
        let grown = match cache.grow(&mut self.device, doubled).await {
            Err(e) if e.kind == Kind::OutOfMemory && doubled > rows => cache.grow(&mut self.device, rows).await,
            result => result,
        };
        // A step that computes attention weights needs room for those of the new rows.
        let prepared = match grown {
            Ok(()) if self.attends() => self.attend(true).await,
            result => result,
        };
        prepared.map_err(|e| Error {
            hint: "start a new conversation: this one has no more room on the device".into(),
            ..e
        })
    }

    /// Returns the largest context, rows, that a cache of this type can hold: a layer's keys are one binding.
    pub fn longest_context(config: &Config, cache_type: CacheType) -> u32 {
        let t = &config.text;
        let value = if cache_type == CacheType::F16 { 2 } else { 4 };
        let row = u64::from(t.num_key_value_heads) * u64::from(t.head_dim) * value;
        t.max_position_embeddings.min((crate::quant::MAX_BINDING / row.max(1)) as u32)
    }

    /// Returns the number of tiles whose embeds the device holds together.
    pub fn image_slots(&self) -> u32 {
        self.config.tile_slots(self.context)
    }

    /// Returns copies of the recorded passes.
    pub fn recorded(&self) -> Passes<Pass> {
        let pass = |(name, id)| Pass { ops: self.device.ops(id), ..self.device.pass(name) };
        PASS_NAMES.zip(self.passes).map(pass)
    }

    fn slot_words(&self) -> usize {
        self.config.tile_rows() as usize * self.config.text.hidden_size as usize
    }

    /// Runs tower and connector on the `pixel_values [3, S, S]` of a tile and keeps its image embeds in `slot`.
    ///
    /// # Errors
    /// What [`Device::replay`] reports.
    pub fn encode(&mut self, pixel_values: &[f32], slot: u32) -> Result<()> {
        self.run_vision(pixel_values)?;
        let (from, to) = (self.vision.image_embeds, self.decoder.image_embeds);
        let words = self.slot_words() as u64;
        self.device.copy(&[CopyRange { from, from_offset: 0, to, to_offset: u64::from(slot) * words, words }]);
        Ok(())
    }

    fn run_vision(&mut self, pixel_values: &[f32]) -> Result<()> {
        self.device.upload(self.vision.pixel_values, 0, bytemuck::cast_slice(pixel_values));
        self.device.replay(&[self.passes.encode], &Call::new(1, 0))
    }

    /// Returns the rows per chunk: the largest number of rows of one prefill. Longer prompts go through in chunks.
    pub fn chunk(&self) -> u32 {
        self.decoder.ids.words as u32
    }

    /// Prefills the rows `ids` (token ids, or [image embed ids](Self::image_embed_id)) at position `pos`: at most one
    /// [`chunk`](Self::chunk). With `head`, also computes the logits of that row of the chunk.
    ///
    /// # Errors
    /// What [`Device::replay`] reports.
    pub fn prefill(&mut self, ids: &[u32], pos: u32, head: Option<u32>) -> Result<()> {
        self.device.upload(self.decoder.ids, 0, bytemuck::cast_slice(ids));
        let mut call = Call::new(ids.len() as u32, pos);
        // A step computes the same for one row, and faster.
        let rows = if ids.len() == 1 { self.step_pass() } else { self.passes.prefill };
        match head {
            None => self.device.replay(&[rows], &call),
            Some(row) => {
                call.head_row = row;
                self.device.replay(&[rows, self.passes.head], &call)
            }
        }
    }

    /// Returns the input id that selects row `row` of the image embeds in `slot`, in place of a token id.
    pub fn image_embed_id(&self, slot: u32, row: u32) -> u32 {
        IMAGE_ROW + slot * self.config.tile_rows() + row
    }

    /// Returns the input id that selects the embed of `image_newline`, which is behind the slots.
    pub fn newline_id(&self) -> u32 {
        self.image_embed_id(self.image_slots(), 0)
    }

    /// Reads the logits `[V]` of the last head back.
    ///
    /// # Errors
    /// What [`Device::finish_read_back`] reports.
    pub async fn logits(&mut self) -> Result<Vec<f32>> {
        let vocab = self.config.text.vocab_size as usize;
        self.device.read_back_f32(self.decoder.logits, 0, vocab).await
    }

    /// Runs tower and connector; reads the selected features `[P, C]` and the image embeds `[P, H]` back.
    ///
    /// # Errors
    /// What [`Device::replay`] and [`Device::finish_read_back`] report.
    pub async fn vision_outputs(&mut self, pixel_values: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        self.run_vision(pixel_values)?;
        let features = self.config.feature_rows() as usize * self.config.vision.hidden_size as usize;
        let words = self.slot_words();
        let features = self.device.read_back_f32(self.vision.image_features, 0, features).await?;
        Ok((features, self.device.read_back_f32(self.vision.image_embeds, 0, words).await?))
    }
}

/// Memory that a model takes beside its weights.
pub struct RuntimeMemory {
    /// Bytes of activations, tables and image embeds.
    pub scratch: u64,
    /// Bytes of keys and values of one row.
    pub cache_per_token: u64,
}

/// The loaded weights of a LLaVA.
pub struct Components {
    /// Pixel values → image features.
    pub vision_tower: VisionTower,
    /// From the tower's space to the decoder's.
    pub connector: Connector,
    /// Rows → logits.
    pub decoder: Decoder,
    /// `image_newline [H]`, the embed that ends a row of patches, where the layout of pictures has it.
    pub newline: Option<Buf>,
}
