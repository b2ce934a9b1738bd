//! The model: what is computed, as recorded passes over named buffers.
//!
//! Read in this order: [`vision_tower`], [`connector`], [`decoder`] (with [`attention`], [`kv_cache`] and
//! [`linear`] below them), then [`load`], which builds all of it from the parts of a blueprint.

pub mod attention;
pub mod connector;
pub mod decoder;
pub mod kv_cache;
pub mod linear;
pub mod load;
pub mod vision_tower;

use crate::config::Config;
use crate::device::{Device, PassId, Readback};
use crate::error::{Error, Kind, Result};
use crate::pass::{Call, Op, Pass};
use connector::Connector;
use decoder::{Decoder, DecoderBuffers};
use vision_tower::{VisionBuffers, VisionTower};

pub use kv_cache::CacheType;

/// Rows that the cache holds at first: a picture of LLaVA-1.5's, a question and an answer.
const FIRST_ROWS: u32 = 1024;
/// Above so many bytes for the usual context, keys and values are stored as f16: 1 GiB for LLaVA-1.5 7B, not 2.
const LARGE_CACHE: u64 = 256 << 20;
/// The usual context, rows: what LLaVA-1.5 was trained at.
pub const USUAL_CONTEXT: u32 = 2048;

/// The loaded model: weights on the device, passes recorded and prepared.
pub struct Model {
    /// Sizes.
    pub config: Config,
    /// Where it lives.
    pub device: Device,
    /// Rows the cache may grow to.
    pub context: u32,
    vision: VisionBuffers,
    decoder: DecoderBuffers,
    passes: Passes,
}

struct Passes {
    encode: PassId,
    prefill: PassId,
    step: PassId,
    head: PassId,
    sample: PassId,
}

/// A model's buffers and its passes, before a device has prepared them.
struct Recorded {
    vision: VisionBuffers,
    decoder: DecoderBuffers,
    /// `encode`, `prefill`, `step`, `head`, `sample`.
    passes: [Pass; 5],
}

impl Recorded {
    async fn new(config: &Config, device: &mut Device, parts: &Parts, context: u32) -> Result<Self> {
        let vision = VisionBuffers::new(device, config).await?;
        let decoder = DecoderBuffers::new(device, config, context, FIRST_ROWS, Model::cache_type(config)).await?;
        let mut encode = device.pass("encode");
        parts.vision_tower.record(&mut encode, config, &vision);
        parts.connector.record(&mut encode, config, &vision);
        let mut prefill = device.pass("prefill");
        parts.decoder.record(&mut prefill, &config.text, &decoder, crate::kernels::Rows::Call);
        let mut step = device.pass("step");
        let mut head = device.pass("head");
        if device.is_gpu() {
            parts.decoder.record_step(&mut step, &config.text, &decoder);
            parts.decoder.record_step_head(&mut head, &config.text, &decoder);
        } else {
            parts.decoder.record(&mut step, &config.text, &decoder, crate::kernels::Rows::Fixed(1));
            parts.decoder.record_head(&mut head, &config.text, &decoder);
        }
        let mut sample = device.pass("sample");
        let (logits, ids, history) = (decoder.logits, decoder.ids, decoder.history);
        crate::kernels::sample::sample(&mut sample, logits, ids, history, config.text.vocab_size);
        Ok(Self { vision, decoder, passes: [encode, prefill, step, head, sample] })
    }
}

impl Model {
    /// Allocates activations and cache, records and prepares the passes.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]; [`Kind::Gpu`] when a
    /// driver refuses a kernel.
    pub async fn new(config: Config, mut device: Device, parts: Parts, context: u32) -> Result<Self> {
        let Recorded { vision, decoder, passes } = Recorded::new(&config, &mut device, &parts, context).await?;
        let [encode, prefill, step, head, sample] = passes;
        let passes = Passes {
            encode: device.prepare(encode).await?,
            prefill: device.prepare(prefill).await?,
            step: device.prepare(step).await?,
            head: device.prepare(head).await?,
            sample: device.prepare(sample).await?,
        };
        Ok(Self { config, device, context, vision, decoder, passes })
    }

    /// Operations of every pass of such a model, in order, as they would be recorded on `device`, which is without memory.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when something would not fit a binding.
    pub async fn operations(config: &Config, device: &mut Device, parts: &Parts, context: u32) -> Result<Vec<Op>> {
        let recorded = Recorded::new(config, device, parts, context).await?;
        Ok(recorded.passes.into_iter().flat_map(|pass| pass.ops).collect())
    }

    /// What a model of this configuration needs beside its weights.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when something would not fit a binding.
    pub async fn needs(config: &Config, context: u32) -> Result<Needs> {
        let mut ledger = Device::ledger();
        VisionBuffers::new(&mut ledger, config).await?;
        let (rows, cache_type) = (FIRST_ROWS.min(context), Self::cache_type(config));
        let decoder = DecoderBuffers::new(&mut ledger, config, context, rows, cache_type).await?;
        let cache_per_token = decoder.cache.row_bytes();
        Ok(Needs { scratch: ledger.allocated() - cache_per_token * u64::from(rows), cache_per_token, cache_type })
    }

    /// f32 where that costs little, f16 where it counts.
    fn cache_type(config: &Config) -> CacheType {
        let t = &config.text;
        let row = 2 * 4 * u64::from(t.num_hidden_layers) * u64::from(t.num_key_value_heads) * u64::from(t.head_dim);
        let large = row * u64::from(USUAL_CONTEXT.min(t.max_position_embeddings)) > LARGE_CACHE;
        if large { CacheType::F16 } else { CacheType::F32 }
    }

    /// The buffers that hold f16 pairs, not f32.
    pub(crate) fn half_buffers(&self) -> Vec<crate::pass::Buf> {
        let layers = self.decoder.cache.layers.iter();
        layers.filter(|kv| kv.stored == CacheType::F16).flat_map(|kv| [kv.k, kv.v]).collect()
    }

    /// How keys and values are stored.
    pub fn cache_stored(&self) -> CacheType {
        self.decoder.cache.stored()
    }

    /// Bytes of keys and values of a row, in all layers.
    pub fn cache_row_bytes(&self) -> u64 {
        self.decoder.cache.row_bytes()
    }

    /// Sees to it that the cache can take `rows` rows, twice as many as now if it has to grow, so that growing is
    /// rare; or as many as are wanted where the device has no more.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]: the cache is as it was, and what it holds is valid.
    pub async fn make_room(&mut self, rows: u32) -> Result<()> {
        let now = self.decoder.cache.rows();
        if rows <= now {
            return Ok(());
        }
        let doubled = (2 * now).max(rows).min(self.context);
        let cache = &mut self.decoder.cache;
        match cache.grow(&mut self.device, doubled).await {
            Err(e) if e.kind == Kind::OutOfMemory && doubled > rows => cache.grow(&mut self.device, rows).await,
            result => result,
        }
        .map_err(|e| Error { hint: "start a new conversation: this one has no more room on the device".into(), ..e })
    }

    /// Most rows that a cache of this configuration can hold: a layer's keys are one binding.
    pub fn longest_context(config: &Config) -> u32 {
        let t = &config.text;
        let value = if Self::cache_type(config) == CacheType::F16 { 2 } else { 4 };
        let row = u64::from(t.num_key_value_heads) * u64::from(t.head_dim) * value;
        t.max_position_embeddings.min((crate::quant::MAX_BINDING / row.max(1)) as u32)
    }

    /// Pictures whose embeds fit at once.
    pub fn image_slots(&self) -> u32 {
        (self.decoder.image_embeds.words / self.slot_words() as u64) as u32
    }

    /// What a forward pass consists of: `encode`, `prefill`, `step`, `head`, `sample`.
    pub fn recorded(&self) -> Vec<Pass> {
        let p = &self.passes;
        let all =
            [("encode", p.encode), ("prefill", p.prefill), ("step", p.step), ("head", p.head), ("sample", p.sample)];
        all.map(|(name, id)| Pass { ops: self.device.ops(id), ..self.device.pass(name) }).into()
    }

    fn slot_words(&self) -> usize {
        self.config.image_rows() as usize * self.config.text.hidden_size as usize
    }

    /// Runs tower and connector on `pixel_values [3, S, S]`; the embeds go to `slot`.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the device is in trouble.
    pub fn encode(&mut self, pixel_values: &[f32], slot: u32) -> Result<()> {
        self.see(pixel_values)?;
        let words = self.slot_words();
        self.device.copy(self.vision.image_embeds, self.decoder.image_embeds, slot as usize * words, words);
        Ok(())
    }

    fn see(&mut self, pixel_values: &[f32]) -> Result<()> {
        self.device.upload(self.vision.pixel_values, 0, bytemuck::cast_slice(pixel_values));
        self.device.replay(&[self.passes.encode], &Call::new(1, 0))
    }

    /// Rows that one pass reads at most: a longer prompt goes through in chunks.
    pub fn chunk(&self) -> u32 {
        self.decoder.ids.words as u32
    }

    /// Reads rows `ids` into the cache at `pos`: token ids, or [`image_row`](Self::image_row)s. At most
    /// [`chunk`](Self::chunk). With `head`, the logits of that row of the chunk are computed, too.
    pub fn prefill(&mut self, ids: &[u32], pos: u32, head: Option<u32>) -> Result<()> {
        self.device.upload(self.decoder.ids, 0, bytemuck::cast_slice(ids));
        let mut call = Call::new(ids.len() as u32, pos);
        // A step reads one row, and does it faster.
        let read = if ids.len() == 1 { self.passes.step } else { self.passes.prefill };
        match head {
            None => self.device.replay(&[read], &call),
            Some(row) => {
                call.head_row = row;
                self.device.replay(&[read, self.passes.head], &call)
            }
        }
    }

    /// The word that stands for row `row` of the picture in `slot`.
    pub fn image_row(&self, slot: u32, row: u32) -> u32 {
        crate::kernels::embed_rows::IMAGE_ROW + slot * self.config.image_rows() + row
    }

    /// Chooses a token from the logits: it becomes the next step's input and entry `call.step` of the history.
    pub fn sample(&mut self, call: &Call) -> Result<()> {
        self.device.replay(&[self.passes.sample], call)
    }

    /// Reads the last chosen token into the cache at `call.pos` and chooses the next: one submission, nothing
    /// read back.
    pub fn step(&mut self, call: &Call) -> Result<()> {
        self.device.replay(&[self.passes.step, self.passes.head, self.passes.sample], call)
    }

    /// Most tokens one answer can have.
    pub fn history_limit(&self) -> u32 {
        self.decoder.history.words as u32
    }

    /// Starts reading back the token that was chosen in `step`.
    pub fn start_reading_token(&mut self, step: u32) -> Readback {
        self.device.start_read_back(self.decoder.history, step as usize, 1)
    }

    /// Reads the logits `[V]` of the last head back.
    pub async fn logits(&mut self) -> Result<Vec<f32>> {
        let vocab = self.config.text.vocab_size as usize;
        self.device.read_back_f32(self.decoder.logits, 0, vocab).await
    }

    /// Runs tower and connector and reads the selected features `[P, C]` and the image embeds `[P, H]` back.
    pub async fn stages(&mut self, pixel_values: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        self.see(pixel_values)?;
        let features = self.config.image_rows() as usize * self.config.vision.hidden_size as usize;
        let words = self.slot_words();
        let features = self.device.read_back_f32(self.vision.image_features, 0, features).await?;
        Ok((features, self.device.read_back_f32(self.vision.image_embeds, 0, words).await?))
    }
}

/// What a model needs beside its weights, bytes.
pub struct Needs {
    /// Activations, tables, picture embeds.
    pub scratch: u64,
    /// Keys and values of one row.
    pub cache_per_token: u64,
    /// How those are held.
    pub cache_type: CacheType,
}

/// The three parts of LLaVA, as loaded.
pub struct Parts {
    /// CLIP.
    pub vision_tower: VisionTower,
    /// The bridge.
    pub connector: Connector,
    /// LLaMA.
    pub decoder: Decoder,
}
