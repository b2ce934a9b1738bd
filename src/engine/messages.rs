//! Answers to messages: every call brings its whole conversation, and costs only the rows that the cache lacks.
//!
//! A picture is named by the SHA-256 of its file, which [`Engine::encode`] returns. An assistant's message whose
//! text is that of an answer of this engine takes the answer's own ids, so that its rows are found in the cache.

use super::cache::Row;
use super::picture_table::{Picture, PictureTable};
use super::prompt_format::PromptFormat;
use super::{Answer, Encoded, Engine, GenerateOptions, Observer};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::hash::sha256_hex;
use crate::preprocess::preprocess;
use crate::prompt::{Message, Part, PictureRow, PromptItem, Role, raw};
use std::collections::VecDeque;

/// Most tokens of all remembered answers.
const REMEMBERED_TOKENS: usize = 1 << 16;

/// The ids of the last answers, by their text: at most 65,536 tokens.
#[derive(Debug, Default)]
pub(super) struct AnswerMemory {
    /// Text without surrounding space and ids without those that end an answer, the newest first.
    list: VecDeque<(String, Vec<u32>)>,
}

impl AnswerMemory {
    /// Records an answer. The oldest are forgotten.
    pub fn remember(&mut self, text: &str, ids: Vec<u32>) {
        let text = text.trim();
        if text.is_empty() || ids.is_empty() {
            return;
        }
        self.list.retain(|(known, _)| known != text);
        self.list.push_front((text.to_string(), ids));
        let mut tokens = 0;
        self.list.retain(|(_, ids)| {
            tokens += ids.len();
            tokens <= REMEMBERED_TOKENS
        });
    }

    /// Returns the answers whose ids stand in `rows`.
    pub fn within(&self, rows: &[Row]) -> Vec<(String, Vec<u32>)> {
        let found = |ids: &[u32]| {
            rows.windows(ids.len()).any(|window| window.iter().zip(ids).all(|(row, id)| *row == Row::Token(*id)))
        };
        // The last token of the last answer has no row.
        let known = |ids: &[u32]| found(ids) || ids.split_last().is_some_and(|(_, before)| ends(rows, before));
        self.list.iter().filter(|(_, ids)| known(ids)).cloned().collect()
    }

    /// Returns the ids of the answer with this text.
    fn ids(&self, text: &str) -> Option<&Vec<u32>> {
        self.list.iter().find(|(known, _)| known == text.trim()).map(|(_, ids)| ids)
    }

    /// Returns `messages` with the texts of remembered answers replaced by their ids.
    fn recall(&self, messages: &[Message]) -> Vec<Message> {
        let recall = |message: &Message| match (message.role, &message.parts[..]) {
            (Role::Assistant, [Part::Text(text)]) => self.ids(text).map(|ids| Message::answer(ids)),
            _ => None,
        };
        messages.iter().map(|message| recall(message).unwrap_or_else(|| message.clone())).collect()
    }
}

/// Returns whether `rows` end with these tokens.
fn ends(rows: &[Row], ids: &[u32]) -> bool {
    ids.len() <= rows.len() && rows[rows.len() - ids.len()..].iter().zip(ids).all(|(row, id)| *row == Row::Token(*id))
}

/// Returns the rows of a prompt of `messages`.
///
/// # Errors
/// [`Kind::Prompt`] when the template cannot express it or a picture is unknown.
pub(super) fn message_rows(format: &PromptFormat, pictures: &PictureTable, messages: &[Message]) -> Result<Vec<Row>> {
    let mut images = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        for (part, found) in message.parts.iter().enumerate() {
            let place = || format!("messages[{index}].parts[{part}]");
            match found {
                Part::Image(sha256) => {
                    images.push(pictures.find(sha256).ok_or_else(|| not_encoded(place(), sha256))?);
                }
                Part::Ids(ids) => {
                    let (vocabulary, unknown) = (format.vocab_size, ids.iter().find(|id| **id >= format.vocab_size));
                    ensure!(unknown.is_none(), Prompt, place(), "{} is no token of {vocabulary}", unknown.unwrap());
                }
                Part::Text(_) => {}
            }
        }
    }
    Ok(expand(&format.template.items(messages, &format.tokenizer)?, &images))
}

/// Returns the rows of a raw prompt; its `<image>` marks stand for `images`, in order.
///
/// # Errors
/// [`Kind::Prompt`] when marks and pictures differ in number.
pub(super) fn raw_rows(
    format: &PromptFormat,
    pictures: &PictureTable,
    images: &[String],
    prompt: &str,
) -> Result<Vec<Row>> {
    let items = raw(prompt, &format.tokenizer)?;
    let marks = items.iter().filter(|item| matches!(item, PromptItem::Image(_))).count();
    ensure!(marks == images.len(), Prompt, "raw prompt", "{marks} <image> marks for {} pictures", images.len());
    let found = images.iter().map(|image| pictures.find(image).ok_or_else(|| not_encoded("raw prompt".into(), image)));
    Ok(expand(&items, &found.collect::<Result<Vec<_>>>()?))
}

/// Replaces each picture of `items` by its rows.
fn expand(items: &[PromptItem], images: &[&Picture]) -> Vec<Row> {
    let mut rows = Vec::new();
    for item in items {
        match *item {
            PromptItem::Token(id) => rows.push(Row::Token(id)),
            PromptItem::Image(index) => {
                let picture = images[index];
                rows.extend(picture.rows.iter().map(|row| match *row {
                    PictureRow::Token(id) => Row::Token(id),
                    PictureRow::Embed(row) => Row::Image(picture.id, row),
                    PictureRow::Newline => Row::Newline,
                }));
            }
        }
    }
    rows
}

fn not_encoded(place: String, sha256: &str) -> Error {
    Error::new(Kind::Prompt, place, format!("the picture {sha256} is not on the device"))
        .hint("encode it before the question")
}

impl Engine {
    /// Encodes a picture: preprocesses it, runs tower and connector, and keeps its image embeds on the device. Messages
    /// name it by the returned id. Embeds of older pictures make room where they must, except those of `needed` (ids).
    ///
    /// # Errors
    /// [`Kind::Image`]; [`Kind::ContextFull`] when the context has no room for it beside those that are needed.
    pub async fn encode<O: Observer>(&mut self, image: &[u8], needed: &[String], observer: &mut O) -> Result<Encoded> {
        let sha256 = sha256_hex(image);
        let reused = self.pictures.find(&sha256).is_some_and(Picture::is_resident);
        if !reused {
            let pixels = preprocess(image, &self.preprocess)?;
            if !self.encode_tiles(&pixels, &sha256, needed, observer).await? {
                return Ok(Encoded { id: sha256, cancelled: true, ..Encoded::default() });
            }
        }
        let Some(picture) = self.pictures.find(&sha256) else {
            return Err(not_encoded("image".into(), &sha256));
        };
        let ([width, height], rows, tiles) = (picture.size, picture.rows.len() as u32, picture.slots.len() as u32);
        Ok(Encoded { id: sha256, width, height, rows, reused, tiles, cancelled: false })
    }

    /// Returns the ids of the pictures of `messages` that must be encoded before [`generate`](Self::generate) or
    /// [`prefill`](Self::prefill): those whose rows are not cached and whose embeds are not on the device.
    ///
    /// # Errors
    /// [`Kind::Prompt`] when the template cannot express the messages.
    pub fn missing_pictures(&self, messages: &[Message]) -> Result<Vec<String>> {
        let known = |image: &&String| self.pictures.find(image).is_some();
        let mut missing: Vec<String> = if messages.iter().flat_map(Message::images).all(|image| known(&image)) {
            let rows = message_rows(&self.format, &self.pictures, &self.answers.recall(messages))?;
            self.absent_pictures(&rows).iter().map(|picture| picture.sha256.clone()).collect()
        } else {
            let resident = |image: &&String| self.pictures.find(image).is_some_and(Picture::is_resident);
            messages.iter().flat_map(Message::images).filter(|image| !resident(image)).cloned().collect()
        };
        missing.sort_unstable();
        missing.dedup();
        Ok(missing)
    }

    /// Returns the pictures without embeds on the device whose rows would have to be computed.
    fn absent_pictures(&self, rows: &[Row]) -> Vec<&Picture> {
        let done = self.cached_rows(rows).min(rows.len().saturating_sub(1));
        let ids = rows[done..].iter().filter_map(|row| if let Row::Image(id, _) = row { Some(*id) } else { None });
        let mut absent: Vec<&Picture> = Vec::new();
        for id in ids {
            if absent.last().is_none_or(|picture| picture.id != id) {
                absent.extend(self.pictures.get(id).filter(|picture| !picture.is_resident()));
            }
        }
        absent
    }

    /// Returns the rows of `messages`, and checks that each can be computed or is cached.
    fn checked_rows(&self, messages: &[Message]) -> Result<Vec<Row>> {
        let rows = message_rows(&self.format, &self.pictures, messages)?;
        let Some(absent) = self.absent_pictures(&rows).first().map(|picture| &picture.sha256) else {
            return Ok(rows);
        };
        let parts =
            messages.iter().enumerate().flat_map(|(i, m)| m.parts.iter().enumerate().map(move |(j, p)| (i, j, p)));
        let mut named = parts.filter(|(.., part)| matches!(part, Part::Image(id) if id == absent));
        let place = named.next().map_or("messages".into(), |(i, j, _)| format!("messages[{i}].parts[{j}]"));
        Err(not_encoded(place, absent))
    }

    /// Prefills messages, up to the logits of the last row, so that an answer to the same messages starts immediately.
    /// Returns the number of cached rows.
    ///
    /// # Errors
    /// [`Kind::Prompt`] and [`Kind::ContextFull`] as [`generate`](Self::generate); [`Kind::Gpu`].
    pub async fn prefill<O: Observer>(&mut self, messages: &[Message], observer: &mut O) -> Result<u32> {
        let rows = self.checked_rows(&self.answers.recall(messages))?;
        self.check_context(rows.len())?;
        self.prefill_rows(&rows, true, observer).await?;
        Ok(self.cache.len() as u32)
    }

    /// Answers `messages`. Where the last one is an assistant's, its text is continued, and the answer is what follows
    /// it.
    ///
    /// # Errors
    /// [`Kind::Prompt`] when the template cannot express the messages, or a picture is neither cached nor on the device
    /// ([`missing_pictures`](Self::missing_pictures)); the error names message and part. [`Kind::Argument`] and
    /// [`Kind::ContextFull`], before any work; [`Kind::Gpu`].
    pub async fn generate<O: Observer>(
        &mut self,
        messages: &[Message],
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let messages = self.answers.recall(messages);
        let mut rows = self.checked_rows(&messages)?;
        rows.extend(options.answer_prefix.iter().map(|id| Row::Token(*id)));
        let begun = match messages.last() {
            Some(last) if last.role == Role::Assistant => {
                self.format.template.answer_ids(last, &self.format.tokenizer)?
            }
            _ => Vec::new(),
        };
        let whole = GenerateOptions {
            answer_prefix: [&begun[..], &options.answer_prefix].concat(),
            max_new_tokens: options.max_new_tokens.saturating_add(begun.len() as u32),
            ..options.clone()
        };
        let mut answer = self.answer(&rows, &whole, observer).await?;
        self.answers.remember(&answer.text, self.format.without_end(&self.turn_ids(&answer)?));
        if !begun.is_empty() {
            answer.prompt_ids.extend(&begun);
            answer.ids = answer.ids.split_off(begun.len().min(answer.ids.len()));
            let before = self.format.tokenizer.decode(&begun);
            answer.text = answer.text.strip_prefix(before.trim_start()).unwrap_or_default().to_string();
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
