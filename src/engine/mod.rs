//! Bytes in, events out: the story of an answer.
//!
//! [`Loader`] takes the parts of a model; [`Engine::encode`] takes a picture and does everything that depends on
//! it alone, up to reading it into the cache; [`Engine::generate`] takes a question and continues from there.
//! No network, no clock, no threads: whoever calls brings those, and an [`Observer`].

pub mod cache;
mod decode;
mod events;
mod loader;
mod probe;
mod weights;

pub use events::{Answer, Encoded, Event, Observer, Options, Quiet, Report, Restored, Stop};
pub use loader::{Compiled, Loader, Memory, Plan};
pub use probe::Probe;
pub use weights::Choice;

use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::measure::{self, Clock, Line};
use crate::model::Model;
use crate::preprocess::{PixelValues, PreprocessConfig, Rendering, preprocess};
use crate::prompt::{PromptItem, Template, Turn};
use crate::tokenizer::Tokenizer;
use cache::{PrefixCache, Row};

/// A picture this engine has encoded. The same bytes are the same picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageId(pub u64);

/// A picture whose embeds are on the device.
struct Known {
    id: ImageId,
    bytes: String,
    slot: u32,
    size: (u32, u32),
}

/// A turn of the conversation and its pictures.
struct Spoken {
    images: Vec<ImageId>,
    turn: Turn,
}

/// What a model says of itself.
struct About {
    name: String,
    template: Template,
    parameters: u64,
    notes: Vec<String>,
}

/// A loaded model and a conversation.
pub struct Engine {
    model: Model,
    tokenizer: Tokenizer,
    preprocess: PreprocessConfig,
    about: About,
    /// Tokens that end an answer: those that the checkpoint names, and its template's end of a turn.
    ends: Vec<u32>,
    /// Pictures on the device, by hash of their bytes; older ones give way when slots run out.
    known: Vec<Known>,
    next_id: u64,
    turns: Vec<Spoken>,
    /// Pictures that the next question is about.
    pending: Vec<ImageId>,
    cache: PrefixCache,
}

impl Engine {
    /// Takes in a picture for the next question: preprocesses it, runs tower and connector, and reads the prompt
    /// up to and including it into the cache.
    ///
    /// # Errors
    /// [`Kind::Image`]; [`Kind::ContextFull`] when there is no room for it; then nothing has changed.
    pub async fn encode<O: Observer>(&mut self, image: &[u8], observer: &mut O) -> Result<Encoded> {
        let hash = crate::format::hash::sha256_hex(image);
        let rows = self.model.config.image_rows();
        let (id, size, reused) = match self.known.iter().find(|k| k.bytes == hash) {
            Some(known) => (known.id, known.size, true),
            None => {
                let pixels = preprocess(image, &self.preprocess)?;
                observer.event(Event::Encode { done: 0, total: 1 });
                let id = self.take_in(&pixels, hash).await?;
                (id, (pixels.width, pixels.height), false)
            }
        };
        self.pending.push(id);
        let prefix = self.prefix().inspect_err(|_| {
            self.pending.pop();
        })?;
        observer.event(Event::Encode { done: 1, total: 1 });
        let cancelled = self.read(&prefix, false, observer).await?;
        Ok(Encoded { width: size.0, height: size.1, rows, reused, cancelled })
    }

    /// Runs tower and connector and keeps the embeds in a slot that the conversation does not use.
    async fn take_in(&mut self, pixels: &PixelValues, bytes: String) -> Result<ImageId> {
        let used = |id: ImageId| self.pending.contains(&id) || self.turns.iter().any(|t| t.images.contains(&id));
        let slots = self.model.image_slots();
        let free = (0..slots).find(|slot| self.known.iter().all(|k| k.slot != *slot));
        let slot = free.or_else(|| self.known.iter().find(|k| !used(k.id)).map(|k| k.slot));
        let Some(slot) = slot else {
            let hint = "start a new conversation";
            return Err(Error::new(Kind::ContextFull, "image", format!("{slots} pictures are all that fit")).hint(hint));
        };
        self.known.retain(|k| k.slot != slot);
        self.model.encode(&pixels.data, slot)?;
        self.model.device.wait_idle().await?;
        self.next_id += 1;
        let id = ImageId(self.next_id);
        self.known.push(Known { id, bytes, slot, size: (pixels.width, pixels.height) });
        Ok(id)
    }

    /// The rows of the next prompt that do not depend on its question.
    fn prefix(&self) -> Result<Vec<Row>> {
        let mut rows = self.rows_of("")?;
        let last = rows.iter().rposition(|row| matches!(row, Row::Image(..)));
        rows.truncate(last.map_or(0, |last| last + 1));
        self.fits(rows.len())?;
        Ok(rows)
    }

    /// The whole conversation so far with `question` after it, as rows.
    fn rows_of(&self, question: &str) -> Result<Vec<Row>> {
        let mut turns: Vec<Turn> = self.turns.iter().map(|t| t.turn.clone()).collect();
        turns.push(Turn { images: self.pending.len(), question: question.to_string(), answer: None });
        let images: Vec<ImageId> = self.turns.iter().flat_map(|t| &t.images).chain(&self.pending).copied().collect();
        let items = self.about.template.items(&turns, &self.tokenizer)?;
        Ok(self.expand(&items, &images))
    }

    fn expand(&self, items: &[PromptItem], images: &[ImageId]) -> Vec<Row> {
        let rows = self.model.config.image_rows();
        let expand = |item: &PromptItem| match *item {
            PromptItem::Token(id) => vec![Row::Token(id)],
            PromptItem::Image(index) => (0..rows).map(|row| Row::Image(images[index], row)).collect(),
        };
        items.iter().flat_map(expand).collect()
    }

    /// A prompt of `rows` rows leaves room for a token.
    fn fits(&self, rows: usize) -> Result<()> {
        let context = self.model.context;
        if rows as u64 + 1 > u64::from(context) {
            let message = format!("the conversation takes {rows} rows and a token; the context holds {context}");
            return Err(Error::new(Kind::ContextFull, "context", message).hint("start a new conversation"));
        }
        Ok(())
    }

    /// Reads what the cache lacks of `rows`, in chunks; with `head`, the logits of the last row. Returns whether
    /// the observer cancelled: what was read until then stays valid.
    async fn read<O: Observer>(&mut self, rows: &[Row], head: bool, observer: &mut O) -> Result<bool> {
        let shared = self.cache.shared(rows);
        if shared == rows.len() && !head || self.cache.ends_in_logits_of(rows) {
            return Ok(false); // what is cached begins like this
        }
        // The logits of the last row are wanted and not there: it is read again at least.
        let mut done = if head { shared.min(rows.len() - 1) } else { shared };
        self.cache.truncate(done);
        while done < rows.len() {
            let chunk = &rows[done..rows.len().min(done + self.model.chunk() as usize)];
            let last = done + chunk.len() == rows.len();
            let words: Vec<u32> = chunk.iter().map(|row| self.word(*row)).collect();
            let head_row = (head && last).then_some(chunk.len() as u32 - 1);
            self.model.make_room((done + chunk.len()) as u32).await?;
            self.model.prefill(&words, done as u32, head_row)?;
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

    fn word(&self, row: Row) -> u32 {
        match row {
            Row::Token(id) => id,
            Row::Image(id, row) => {
                let known = self.known.iter().find(|k| k.id == id);
                self.model.image_row(known.expect("pictures in use keep their slots").slot, row)
            }
        }
    }

    /// Reads ahead what is there of a question while it is being written, with the logits of the prompt's last row, so that
    /// a token can be chosen at once when just that is asked, and little is left to read when something else is. Nothing is
    /// said by that: the conversation stays as it is. Returns the rows that are read now.
    ///
    /// # Errors
    /// [`Kind::Prompt`] and [`Kind::ContextFull`] as in [`generate`](Self::generate); [`Kind::Gpu`].
    pub async fn prefill<O: Observer>(&mut self, question: &str, observer: &mut O) -> Result<u32> {
        let rows = self.rows_of(question)?;
        self.fits(rows.len())?;
        self.read(&rows, true, observer).await?;
        Ok(self.cache.len() as u32)
    }

    /// Answers `question` about the pictures taken in and what was said before.
    ///
    /// # Errors
    /// [`Kind::Argument`], [`Kind::Prompt`] and [`Kind::ContextFull`] before any work; [`Kind::Gpu`]. The
    /// conversation is then as it was.
    pub async fn generate<O: Observer>(
        &mut self,
        question: &str,
        options: &Options,
        observer: &mut O,
    ) -> Result<Answer> {
        let mut rows = self.rows_of(question)?;
        rows.extend(options.begin.iter().map(|id| Row::Token(*id)));
        let answer = self.answer(&rows, options, observer).await?;
        let kept = self.without_end(&answer.ids);
        let images = std::mem::take(&mut self.pending);
        let turn = Turn { images: images.len(), question: question.to_string(), answer: Some(kept) };
        self.turns.push(Spoken { images, turn });
        Ok(answer)
    }

    /// Continues `prompt` as it stands, special tokens and `<image>` marks included, outside any conversation.
    /// The marks take the pictures that wait for a question, in order.
    ///
    /// # Errors
    /// As [`generate`](Self::generate); [`Kind::Prompt`] when marks and pictures differ in number.
    pub async fn generate_raw<O: Observer>(
        &mut self,
        prompt: &str,
        options: &Options,
        observer: &mut O,
    ) -> Result<Answer> {
        let items = crate::prompt::raw(prompt, &self.tokenizer)?;
        let marks = items.iter().filter(|item| matches!(item, PromptItem::Image(_))).count();
        ensure!(
            marks == self.pending.len(),
            Prompt,
            "raw prompt",
            "{marks} <image> marks for {} pictures",
            self.pending.len()
        );
        let rows = self.expand(&items, &self.pending);
        self.answer(&rows, options, observer).await
    }

    async fn answer<O: Observer>(&mut self, rows: &[Row], options: &Options, observer: &mut O) -> Result<Answer> {
        options.check()?;
        let vocabulary = self.model.config.text.vocab_size;
        let unknown = options.begin.iter().find(|id| **id >= vocabulary);
        ensure!(unknown.is_none(), Argument, "begin", "{} is no token of {vocabulary}", unknown.unwrap());
        ensure!(!rows.is_empty(), Prompt, "prompt", "is empty");
        self.fits(rows.len())?;
        let image_token = self.model.config.image_token_index;
        let token = |row: &Row| if let Row::Token(id) = row { *id } else { image_token };
        let mut answer = Answer {
            text: String::new(),
            ids: Vec::new(),
            prompt_ids: rows[..rows.len() - options.begin.len()].iter().map(token).collect(),
            reused_rows: self.cache.shared(rows) as u32,
            stop: Stop::Cancelled,
            logits: Vec::new(),
        };
        if self.read(rows, true, observer).await? {
            return Ok(answer);
        }
        if options.keep_logits {
            answer.logits.push(self.model.logits().await?);
        }
        // Steps overwrite the logits.
        self.cache.forget_logits();
        self.decode(options, observer, &mut answer).await?;
        answer.text = answer.text.trim().to_string();
        Ok(answer)
    }

    /// Keeps the first `turns` turns; the pictures of the first one removed wait for a question again, so that
    /// `truncate(turns − 1)` and the same question regenerate an answer.
    ///
    /// # Errors
    /// [`Kind::Argument`] when there are fewer turns.
    pub fn truncate(&mut self, turns: usize) -> Result<()> {
        ensure!(turns <= self.turns.len(), Argument, "truncate", "{turns} turns; there are {}", self.turns.len());
        if turns < self.turns.len() {
            let removed = self.turns.split_off(turns);
            self.pending = removed.into_iter().next().map(|t| t.images).unwrap_or_default();
        }
        Ok(())
    }

    /// The conversation as it was, on a device that has just encoded its pictures in their order and knows nothing
    /// else; it is read when the next question needs it.
    ///
    /// # Errors
    /// [`Kind::Argument`] when pictures are missing or a token is none of the model's; nothing has changed then.
    pub fn restore(&mut self, turns: &[Restored]) -> Result<()> {
        let wanted: usize = turns.iter().map(|turn| turn.images).sum();
        let there = self.pending.len();
        ensure!(self.turns.is_empty(), State, "restore", "there is a conversation already");
        ensure!(wanted <= there, Argument, "restore", "{wanted} pictures are spoken of, {there} were encoded");
        let vocabulary = self.model.config.text.vocab_size;
        let known = turns.iter().flat_map(|turn| &turn.ids).all(|id| *id < vocabulary);
        ensure!(known, Argument, "restore", "an answer holds tokens outside the vocabulary of {vocabulary}");
        for Restored { question, ids, images } in turns {
            let answer = Some(self.without_end(ids));
            let turn = Turn { images: *images, question: question.clone(), answer };
            let images = self.pending.drain(..*images).collect();
            self.turns.push(Spoken { images, turn });
        }
        Ok(())
    }

    /// An answer's ids without those that end it.
    fn without_end(&self, ids: &[u32]) -> Vec<u32> {
        ids.iter().copied().filter(|id| !self.ends.contains(id)).collect()
    }

    /// Renders pictures so from now on. Pictures and conversation are forgotten.
    pub fn render(&mut self, rendering: Rendering) {
        self.reset();
        self.known.clear();
        self.preprocess.rendering = rendering;
    }

    /// Forgets the conversation. What the cache holds still serves a prompt that begins alike.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.pending.clear();
    }

    /// Every stage of a picture: (name, shape, values). The conversation is not touched.
    ///
    /// # Shapes
    /// `pixel_values` `[3, S, S]`, `image_features` `[P, C]`, `image_embeds` `[P, H]`.
    ///
    /// # Errors
    /// [`Kind::Image`]; [`Kind::Gpu`].
    pub async fn stages(&mut self, image: &[u8]) -> Result<Vec<(&'static str, Vec<u32>, Vec<f32>)>> {
        let pixels = preprocess(image, &self.preprocess)?;
        let (features, embeds) = self.model.stages(&pixels.data).await?;
        let config = &self.model.config;
        let (side, rows, c, h) =
            (config.vision.image_size, config.image_rows(), config.vision.hidden_size, config.text.hidden_size);
        Ok(vec![
            ("pixel_values", vec![3, side, side], pixels.data),
            ("image_features", vec![rows, c], features),
            ("image_embeds", vec![rows, h], embeds),
        ])
    }

    /// What runs, and how full it is.
    pub fn report(&self) -> Report {
        Report {
            model: self.about.name.clone(),
            parameters: self.about.parameters,
            notes: self.about.notes.clone(),
            backend: self.model.device.backend().into(),
            adapter: self.model.device.adapter(),
            device_bytes: self.model.device.allocated(),
            cache_type: self.model.cache_stored(),
            context: self.model.context,
            cached: self.cache.len() as u32,
            turns: self.turns.len() as u32,
            tuning: self.model.device.tuning(),
        }
    }

    /// Measures the model on its device ([`measure::bench`]); pictures and conversation are forgotten for it.
    ///
    /// # Errors
    /// Those of [`measure::bench`].
    pub async fn bench(
        &mut self,
        options: &measure::Options,
        now: Clock<'_>,
        tell: &mut dyn FnMut(Line),
    ) -> Result<()> {
        self.reset();
        self.known.clear();
        self.cache.truncate(0);
        measure::bench(&mut self.model, options, now, tell).await
    }

    /// The model underneath, for measurements and comparisons.
    pub fn model(&mut self) -> &mut Model {
        self.cache.forget_logits();
        &mut self.model
    }
}
