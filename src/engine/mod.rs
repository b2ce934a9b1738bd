//! The story of an answer: bytes in, events out.
//!
//! [`Loader`] builds an [`Engine`] from the parts of a model. [`Engine::encode`] does everything that depends on a
//! picture alone: it encodes the picture and prefills the prompt up to it. [`Engine::generate`] prefills the rest of
//! the prompt and decodes the answer. The caller brings network, files and clock, and an [`Observer`] for the events.
//!
//! ```
//! use llava_web::device::{BackendChoice, Device};
//! use llava_web::engine::{GenerateOptions, Loader, SilentObserver};
//! use llava_web::format::source::Source;
//! use llava_web::native::now;
//! use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
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
//! engine.encode(picture, &mut SilentObserver).await?;
//! let options = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
//! let answer = engine.generate("What is in the picture?", &options, &mut SilentObserver).await?;
//! assert!((1..=3).contains(&answer.ids.len()));
//! # Ok::<(), llava_web::error::Error>(())
//! # }).unwrap();
//! ```

pub mod cache;
mod constraint;
mod conversation;
mod decode;
mod events;
mod inspect;
mod loader;
mod logprobs;
mod options;
mod pictures;
mod stop_strings;
mod weights;

pub use constraint::Constraint;
pub use conversation::ImageId;
pub use events::{Answer, Encoded, Event, Observer, Report, RestoredTurn, SilentObserver, Stop};
pub use loader::{Compiled, Loader, MemoryPlan, Plan};
pub use logprobs::{TokenLogprob, TokenProbability};
pub use options::GenerateOptions;
pub use pictures::{PictureCost, PictureSize};
pub use weights::WeightChoice;

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::hash::sha256_hex;
use crate::model::Model;
use crate::preprocess::{PixelValues, PreprocessConfig, preprocess};
use crate::prompt::{PictureTiles, picture_rows};
use cache::{PrefixCache, Row};
use conversation::{Conversation, EncodedPicture, PromptFormat};

/// A loaded model and a conversation with it.
pub struct Engine {
    model: Model,
    info: ModelInfo,
    preprocess: PreprocessConfig,
    format: PromptFormat,
    conversation: Conversation,
    /// The rows that the device's KV cache holds.
    cache: PrefixCache,
    /// The constraint of the next answer.
    constraint: Option<Box<dyn Constraint>>,
}

/// Name, size and notes of a model, for reports.
struct ModelInfo {
    name: String,
    parameters: u64,
    notes: Vec<String>,
}

impl Engine {
    /// Encodes a picture for the next question: preprocesses it, runs tower and connector, and prefills the prompt up
    /// to and including the picture.
    ///
    /// # Errors
    /// [`Kind::Image`]; [`Kind::ContextFull`] when the context has no room for it. The conversation is then unchanged.
    pub async fn encode<O: Observer>(&mut self, image: &[u8], observer: &mut O) -> Result<Encoded> {
        let sha256 = sha256_hex(image);
        let known = self.conversation.find_image(&sha256).map(|known| known.id);
        let id = match known {
            Some(id) => Some(id),
            None => self.encode_tiles(&preprocess(image, &self.preprocess)?, sha256, observer).await?,
        };
        let Some(id) = id else {
            return Ok(Encoded { cancelled: true, ..Encoded::default() });
        };
        self.conversation.attach(id);
        let prefix = self.image_prefix().inspect_err(|_| self.conversation.detach())?;
        let cancelled = self.prefill_rows(&prefix, false, observer).await?;
        if cancelled {
            self.conversation.detach();
        }
        let EncodedPicture { size: [width, height], rows, slots, .. } = self.conversation.picture(id);
        let (rows, tiles) = (rows.len() as u32, slots.len() as u32);
        Ok(Encoded { width: *width, height: *height, rows, tiles, reused: known.is_some(), cancelled })
    }

    /// Prefills a question that is still being typed, up to the logits of its last token, so that the answer starts
    /// immediately if exactly this is asked. The conversation does not change. Returns the number of cached rows.
    ///
    /// # Errors
    /// [`Kind::Prompt`] and [`Kind::ContextFull`] as in [`generate`](Self::generate); [`Kind::Gpu`].
    pub async fn prefill<O: Observer>(&mut self, question: &str, observer: &mut O) -> Result<u32> {
        let rows = self.conversation.prompt_rows(&self.format, question)?;
        self.check_context(rows.len())?;
        self.prefill_rows(&rows, true, observer).await?;
        Ok(self.cache.len() as u32)
    }

    /// Answers `question` about the encoded pictures, after the turns before it.
    ///
    /// # Errors
    /// [`Kind::Argument`], [`Kind::Prompt`] and [`Kind::ContextFull`] before any work; [`Kind::Gpu`]. The conversation
    /// is then unchanged.
    pub async fn generate<O: Observer>(
        &mut self,
        question: &str,
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let mut rows = self.conversation.prompt_rows(&self.format, question)?;
        rows.extend(options.answer_prefix.iter().map(|id| Row::Token(*id)));
        let answer = self.answer(&rows, options, observer).await?;
        self.conversation.push_turn(&self.format, question, &self.turn_ids(&answer)?);
        Ok(answer)
    }

    /// Continues `prompt` verbatim, outside any conversation. It may hold special tokens, and `<image>` marks, which
    /// stand for the encoded pictures in order.
    ///
    /// # Errors
    /// As [`generate`](Self::generate); [`Kind::Prompt`] when marks and pictures differ in number.
    pub async fn generate_raw<O: Observer>(
        &mut self,
        prompt: &str,
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let rows = self.conversation.raw_rows(&self.format, prompt)?;
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
        let image_token = self.model.config.image_token_index;
        let token = |row: &Row| if let Row::Token(id) = row { *id } else { image_token };
        let mut answer = Answer {
            text: String::new(),
            ids: Vec::new(),
            prompt_ids: rows[..rows.len() - options.answer_prefix.len()].iter().map(token).collect(),
            reused_rows: self.cache.shared(rows) as u32,
            stop: Stop::Cancelled,
            logprobs: Vec::new(),
            logits: Vec::new(),
        };
        if self.prefill_rows(rows, true, observer).await? {
            return Ok(answer);
        }
        if options.keep_logits {
            answer.logits.push(self.model.logits().await?);
        }
        self.decode(options, observer, &mut answer).await?;
        answer.text = answer.text.trim().to_string();
        Ok(answer)
    }

    /// Runs tower and connector on each tile of a picture, and keeps the image embeds in slots that the conversation
    /// does not need. Returns `None` if the observer cancelled between two tiles.
    async fn encode_tiles<O: Observer>(
        &mut self,
        pixels: &PixelValues,
        sha256: String,
        observer: &mut O,
    ) -> Result<Option<ImageId>> {
        let PixelValues { tiles, grid, width, height, .. } = *pixels;
        let picture = PictureTiles { tiles, grid, size: [width, height] };
        let rows = picture_rows(&self.model.config, &self.format.tokenizer, &picture)?;
        self.check_context(rows.len())?;
        let slots = self.conversation.empty_slots(tiles, self.model.image_slots())?;
        observer.event(Event::Encode { done: 0, total: tiles });
        for (i, tile) in pixels.data.chunks_exact(pixels.data.len() / tiles as usize).enumerate() {
            self.model.encode(tile, slots[i])?;
            self.model.device.wait_idle().await?;
            observer.event(Event::Encode { done: i as u32 + 1, total: tiles });
            if i + 1 < slots.len() && observer.pause().await {
                return Ok(None);
            }
        }
        Ok(Some(self.conversation.fill_slots(slots, sha256, rows, picture.size)))
    }

    /// Prefills the rows that the cache lacks, in chunks; with `head`, also computes the logits of the last row.
    /// Returns whether the observer cancelled; the rows prefilled until then stay valid.
    async fn prefill_rows<O: Observer>(&mut self, rows: &[Row], head: bool, observer: &mut O) -> Result<bool> {
        let shared = self.cache.shared(rows);
        if shared == rows.len() && !head || self.cache.ends_in_logits_of(rows) {
            return Ok(false);
        }
        // Logits that are wanted and missing take at least one more prefill of the last row.
        let mut done = if head { shared.min(rows.len() - 1) } else { shared };
        self.cache.truncate(done);
        while done < rows.len() {
            let chunk = &rows[done..rows.len().min(done + self.model.chunk() as usize)];
            let last = done + chunk.len() == rows.len();
            let ids: Vec<u32> = chunk.iter().map(|row| self.input_id(*row)).collect();
            let head_row = (head && last).then_some(chunk.len() as u32 - 1);
            self.model.reserve_rows((done + chunk.len()) as u32).await?;
            self.model.prefill(&ids, done as u32, head_row)?;
            done += chunk.len();
            self.cache.extend(chunk.iter().copied(), head && last);
            self.model.device.wait_idle().await?;
            observer.event(Event::Prefill { done: done as u32, total: rows.len() as u32 });
            if observer.pause().await && !last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the id by which the decoder embeds a row: a token id, or the place of an image embed.
    fn input_id(&self, row: Row) -> u32 {
        match row {
            Row::Token(id) => id,
            Row::Image(id, row) => {
                let tile_rows = self.model.config.tile_rows();
                self.model.image_embed_id(self.conversation.slot(id, row / tile_rows), row % tile_rows)
            }
            Row::Newline => self.model.newline_id(),
        }
    }

    fn image_prefix(&self) -> Result<Vec<Row>> {
        let rows = self.conversation.image_prefix(&self.format)?;
        self.check_context(rows.len())?;
        Ok(rows)
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
