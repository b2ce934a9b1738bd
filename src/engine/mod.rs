//! The story of an answer: bytes in, events out.
//!
//! [`Loader`] builds an [`Engine`] from the parts of a model. [`Engine::encode`] runs tower and connector on a picture;
//! [`Engine::generate`] prefills a prompt of messages, as far as its rows are not cached, and decodes the answer. The
//! caller keeps the conversation, and brings network, files and clock, and an [`Observer`] for the events.
//!
//! ```
//! use llava_web::device::{BackendChoice, Device};
//! use llava_web::engine::{GenerateOptions, Loader, SilentObserver};
//! use llava_web::format::source::Source;
//! use llava_web::native::now;
//! use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
//! use llava_web::prompt::Message;
//!
//! # pollster::block_on(async {
//! let source = Synthetic::new(ModelSize::Tiny, Format::GgufQ4_0, 1)?; // random weights, in memory
//! let picture = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wide.png"));
//!
//! let device = Device::open(BackendChoice::Cpu).await?;
//! let mut loader = Loader::open(device, &source, &source.entry(), &now).await?;
//! for part in loader.plan(None).await?.parts {
//!     let bytes = source.read(&part.file, part.offset, part.bytes).await?;
//!     loader.push(part.index as usize, &bytes).await?;
//! }
//! let mut engine = loader.finish(None).await?;
//! let picture = engine.encode(picture, &[], &mut SilentObserver).await?;
//! let messages = [Message::user(&[picture.id], "What is in the picture?")];
//! let options = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
//! let answer = engine.generate(&messages, &options, &mut SilentObserver).await?;
//! assert!((1..=3).contains(&answer.ids.len()));
//! # Ok::<(), llava_web::error::Error>(())
//! # }).unwrap();
//! ```

mod attention;
pub mod cache;
mod constraint;
mod decode;
mod events;
mod inspect;
mod loader;
mod logprobs;
mod messages;
mod options;
mod parked;
mod picture_table;
mod pictures;
mod prompt_format;
mod saving;
pub mod state;
mod stop_strings;
mod weights;

pub use attention::{AttentionPicture, TokenAttention};
pub use constraint::Constraint;
pub use events::{Answer, Encoded, Event, Observer, Report, SilentObserver, Stop};
pub use loader::{Compiled, Loader, MemoryPlan, Plan};
pub use logprobs::{TokenLogprob, TokenProbability};
pub use options::GenerateOptions;
pub use picture_table::ImageId;
pub use pictures::{PictureCost, PictureSize};
pub use weights::WeightChoice;

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::model::Model;
use crate::preprocess::{PixelValues, PreprocessConfig};
use crate::prompt::{PictureTiles, picture_rows};
use cache::{PrefixCache, Row};
use messages::{AnswerMemory, raw_rows};
use parked::ParkedRows;
use picture_table::PictureTable;
use prompt_format::PromptFormat;

/// A loaded model, and what it has computed of pictures and conversations.
pub struct Engine {
    model: Model,
    info: ModelInfo,
    preprocess: PreprocessConfig,
    format: PromptFormat,
    pictures: PictureTable,
    answers: AnswerMemory,
    /// The rows that the device's KV cache holds.
    cache: PrefixCache,
    /// Rows of other conversations.
    parked: ParkedRows,
    /// The rows of the last answered prompt and of its answer.
    answered: Vec<Row>,
    /// The constraint of the next answer.
    constraint: Option<Box<dyn Constraint>>,
}

/// Result of a prefill.
struct Prefilled {
    /// Leading rows that were cached.
    reused: usize,
    cancelled: bool,
}

/// Name, size and notes of a model, for reports.
struct ModelInfo {
    name: String,
    parameters: u64,
    notes: Vec<String>,
    /// Hash that tells models with other weights apart.
    weights: [u8; 32],
}

impl Engine {
    /// Continues `prompt` verbatim. It may hold special tokens, and `<image>` marks, which stand for the pictures
    /// `images` (ids that [`encode`](Self::encode) returned) in order.
    ///
    /// # Errors
    /// As [`generate`](Self::generate); [`Kind::Prompt`] when marks and pictures differ in number.
    pub async fn generate_raw<O: Observer>(
        &mut self,
        prompt: &str,
        images: &[String],
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let mut rows = raw_rows(&self.format, &self.pictures, images, prompt)?;
        rows.extend(options.answer_prefix.iter().map(|id| Row::Token(*id)));
        self.answer(&rows, options, observer).await
    }

    /// Prefills `rows`, which end with `options.answer_prefix`, and decodes the answer.
    async fn answer<O: Observer>(
        &mut self,
        rows: &[Row],
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        self.check_answerable(rows, options)?;
        self.model.attend(options.attention).await?;
        let answer = self.answer_rows(rows, options, observer).await;
        self.model.attend(false).await?;
        answer
    }

    async fn answer_rows<O: Observer>(
        &mut self,
        rows: &[Row],
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let prompt = &rows[..rows.len() - options.answer_prefix.len()];
        let image_token = self.model.config.image_token_index;
        let token = |row: &Row| if let Row::Token(id) = row { *id } else { image_token };
        let mut answer = Answer {
            text: String::new(),
            ids: Vec::new(),
            prompt_ids: prompt.iter().map(token).collect(),
            prompt_rows: rows.len() as u32,
            reused_rows: 0,
            stop: Stop::Cancelled,
            logprobs: Vec::new(),
            logits: Vec::new(),
        };
        let mut pictures = options.attention.then(|| self.attention_pictures(prompt, observer));
        let prefilled = match &mut pictures {
            Some(pictures) => self.prefill_attending(rows, prompt.len(), pictures, observer).await?,
            None => self.prefill_rows(rows, true, observer).await?,
        };
        answer.reused_rows = prefilled.reused as u32;
        if prefilled.cancelled {
            return Ok(answer);
        }
        if options.keep_logits {
            answer.logits.push(self.model.logits().await?);
        }
        self.decode(options, pictures.unwrap_or_default(), observer, &mut answer).await?;
        self.answered = self.cache.rows().to_vec();
        answer.text = answer.text.trim().to_string();
        Ok(answer)
    }

    /// Runs tower and connector on each tile of a picture, and keeps the image embeds in slots of pictures that are not
    /// `needed`. Returns `false` if the observer cancelled between two tiles.
    async fn encode_tiles<O: Observer>(
        &mut self,
        pixels: &PixelValues,
        sha256: &str,
        needed: &[String],
        observer: &mut O,
    ) -> Result<bool> {
        let PixelValues { tiles, grid, width, height, .. } = *pixels;
        let picture = PictureTiles { tiles, grid, size: [width, height] };
        let rows = picture_rows(&self.model.config, &self.format.tokenizer, &picture)?;
        self.check_context(rows.len())?;
        let is_needed = |sha256: &str| needed.iter().any(|needed| needed == sha256);
        let slots = self.pictures.empty_slots(tiles, self.model.image_slots(), is_needed)?;
        observer.event(Event::Encode { done: 0, total: tiles });
        for (i, tile) in pixels.data.chunks_exact(pixels.data.len() / tiles as usize).enumerate() {
            self.model.encode(tile, slots[i])?;
            self.model.device.wait_idle().await?;
            observer.event(Event::Encode { done: i as u32 + 1, total: tiles });
            if i + 1 < slots.len() && observer.pause().await {
                return Ok(false);
            }
        }
        self.pictures.insert(sha256, slots, rows, picture.size);
        Ok(true)
    }

    /// Prefills the rows that are not cached, in chunks; with `head`, also computes the logits of the last row. When the
    /// observer cancels, the rows prefilled until then stay valid.
    async fn prefill_rows<O: Observer>(&mut self, rows: &[Row], head: bool, observer: &mut O) -> Result<Prefilled> {
        let reused = self.cache.shared(rows);
        if reused == rows.len() && !head || self.cache.ends_in_logits_of(rows) {
            return Ok(Prefilled { reused, cancelled: false });
        }
        self.recall_rows(rows).await?;
        let reused = self.cache.shared(rows);
        // Logits that are wanted and missing take at least one more prefill of the last row.
        let mut done = if head { reused.min(rows.len() - 1) } else { reused };
        self.cache.truncate(done);
        while done < rows.len() {
            let chunk = &rows[done..rows.len().min(done + self.model.chunk() as usize)];
            let last = done + chunk.len() == rows.len();
            let ids: Vec<u32> = chunk.iter().map(|row| self.input_id(*row)).collect::<Result<_>>()?;
            let head_row = (head && last).then_some(chunk.len() as u32 - 1);
            self.reserve_rows((done + chunk.len()) as u32).await?;
            self.model.prefill(&ids, done as u32, head_row)?;
            done += chunk.len();
            self.cache.extend(chunk.iter().copied(), head && last);
            self.model.device.wait_idle().await?;
            observer.event(Event::Prefill { done: done as u32, total: rows.len() as u32 });
            if observer.pause().await && !last {
                return Ok(Prefilled { reused, cancelled: true });
            }
        }
        Ok(Prefilled { reused, cancelled: false })
    }

    /// Returns the id by which the decoder embeds a row: a token id, or the place of an image embed.
    ///
    /// # Errors
    /// [`Kind::State`] when the device does not have the embed.
    fn input_id(&self, row: Row) -> Result<u32> {
        match row {
            Row::Token(id) => Ok(id),
            Row::Image(id, row) => {
                let tile_rows = self.model.config.tile_rows();
                match self.pictures.slot(id, row / tile_rows) {
                    Some(slot) => Ok(self.model.image_embed_id(slot, row % tile_rows)),
                    None => Err(Error::new(Kind::State, "image", "a picture of the prompt is not on the device")
                        .hint("encode it again")),
                }
            }
            Row::Newline => Ok(self.model.newline_id()),
        }
    }

    /// Returns the number of leading rows of `prompt` that need not be computed.
    fn cached_rows(&self, prompt: &[Row]) -> usize {
        self.parked.reach(prompt, self.cache.shared(prompt))
    }

    /// Checks that the context holds `rows` rows and a token.
    fn check_context(&self, rows: usize) -> Result<()> {
        let context = self.model.context;
        if rows as u64 + 1 > u64::from(context) {
            let message = format!("the conversation takes {rows} rows and a token; the context holds {context}");
            return Err(Error::new(Kind::ContextFull, "context", message).hint("start a new conversation"));
        }
        Ok(())
    }

    fn check_answerable(&self, rows: &[Row], options: &GenerateOptions) -> Result<()> {
        options.check(self.format.vocab_size)?;
        ensure!(!rows.is_empty(), Prompt, "prompt", "is empty");
        self.check_context(rows.len())
    }
}
