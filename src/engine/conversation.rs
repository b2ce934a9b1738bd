//! The conversation as data: its turns, its pictures, and the rows of the prompt that follow from them.
//!
//! Nothing here touches a device: a slot is the number of a place on it, where the engine keeps the embeds of a
//! picture.

use super::RestoredTurn;
use super::cache::Row;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::prompt::{PictureRow, PromptItem, Template, Turn, raw};
use crate::tokenizer::Tokenizer;

/// A picture that this engine has encoded. Equal bytes are the same picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageId(pub u64);

/// Everything that a model prescribes for its prompts.
pub(super) struct PromptFormat {
    pub template: Template,
    pub tokenizer: Tokenizer,
    /// Tokens that end an answer: those of the checkpoint, and the template's end of a turn.
    pub end_ids: Vec<u32>,
    /// `V`.
    pub vocab_size: u32,
}

impl PromptFormat {
    /// Returns an answer's ids without those that end it.
    fn without_end(&self, ids: &[u32]) -> Vec<u32> {
        ids.iter().copied().filter(|id| !self.end_ids.contains(id)).collect()
    }
}

/// A picture whose embeds are on the device.
#[derive(Debug)]
pub(super) struct EncodedPicture {
    pub id: ImageId,
    /// SHA-256 of the picture's file.
    sha256: String,
    /// Slot of each tile.
    pub slots: Vec<u32>,
    /// Its rows in a prompt.
    pub rows: Vec<PictureRow>,
    /// Width and height, pixels.
    pub size: [u32; 2],
}

/// A turn and its pictures.
#[derive(Debug)]
struct TurnRecord {
    images: Vec<ImageId>,
    turn: Turn,
}

/// Turns and pictures so far.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    turns: Vec<TurnRecord>,
    /// Pictures of the next question.
    pending: Vec<ImageId>,
    /// Pictures on the device, the oldest first.
    encoded: Vec<EncodedPicture>,
    last_id: u64,
}

impl Conversation {
    /// Returns the number of turns.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Returns the rows of the whole conversation with `question` as its next turn.
    ///
    /// # Errors
    /// [`Kind::Prompt`] when the template cannot express it.
    pub fn prompt_rows(&self, format: &PromptFormat, question: &str) -> Result<Vec<Row>> {
        let mut turns: Vec<Turn> = self.turns.iter().map(|t| t.turn.clone()).collect();
        turns.push(Turn { images: self.pending.len(), question: question.to_string(), answer: None });
        let images: Vec<ImageId> = self.turns.iter().flat_map(|t| &t.images).chain(&self.pending).copied().collect();
        Ok(self.expand(&format.template.items(&turns, &format.tokenizer)?, &images))
    }

    /// Replaces each picture of `items` by its rows.
    fn expand(&self, items: &[PromptItem], images: &[ImageId]) -> Vec<Row> {
        let mut rows = Vec::new();
        for item in items {
            match *item {
                PromptItem::Token(id) => rows.push(Row::Token(id)),
                PromptItem::Image(index) => {
                    let picture = self.picture(images[index]);
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

    /// Returns the rows of the next prompt up to its last picture: they do not depend on the question.
    ///
    /// # Errors
    /// As [`prompt_rows`](Self::prompt_rows).
    pub fn image_prefix(&self, format: &PromptFormat) -> Result<Vec<Row>> {
        let mut rows = self.prompt_rows(format, "")?;
        let last = rows.iter().rposition(|row| matches!(row, Row::Image(..) | Row::Newline));
        rows.truncate(last.map_or(0, |last| last + 1));
        Ok(rows)
    }

    /// Returns the rows of a raw prompt; its `<image>` marks stand for the pictures of the next question, in order.
    ///
    /// # Errors
    /// [`Kind::Prompt`] when marks and pictures differ in number.
    pub fn raw_rows(&self, format: &PromptFormat, prompt: &str) -> Result<Vec<Row>> {
        let items = raw(prompt, &format.tokenizer)?;
        let marks = items.iter().filter(|item| matches!(item, PromptItem::Image(_))).count();
        let images = self.pending.len();
        ensure!(marks == images, Prompt, "raw prompt", "{marks} <image> marks for {images} pictures");
        Ok(self.expand(&items, &self.pending))
    }

    /// Finds the picture with this hash among those on the device.
    pub fn find_image(&self, sha256: &str) -> Option<&EncodedPicture> {
        self.encoded.iter().find(|p| p.sha256 == sha256)
    }

    /// Empties `wanted` of `count` slots and returns them: unused ones, then those of the oldest pictures that the
    /// conversation does not need.
    ///
    /// # Errors
    /// [`Kind::ContextFull`] when the conversation needs too many of them.
    pub fn empty_slots(&mut self, wanted: u32, count: u32) -> Result<Vec<u32>> {
        let needed = |id: ImageId| self.pending.contains(&id) || self.turns.iter().any(|t| t.images.contains(&id));
        let mut removable = self.encoded.iter().filter(|p| !needed(p.id));
        let mut free: Vec<u32> = (0..count).filter(|n| !self.encoded.iter().any(|p| p.slots.contains(n))).collect();
        let mut removed = Vec::new();
        while free.len() < wanted as usize {
            let Some(picture) = removable.next() else {
                let message =
                    format!("a picture of {wanted} tiles; of {count} places the conversation leaves {}", free.len());
                return Err(Error::new(Kind::ContextFull, "image", message).hint("start a new conversation"));
            };
            free.extend(&picture.slots);
            removed.push(picture.id);
        }
        self.encoded.retain(|p| !removed.contains(&p.id));
        free.truncate(wanted as usize);
        Ok(free)
    }

    /// Records that `slots` hold the embeds of a picture's tiles.
    pub fn fill_slots(&mut self, slots: Vec<u32>, sha256: String, rows: Vec<PictureRow>, size: [u32; 2]) -> ImageId {
        self.last_id += 1;
        let id = ImageId(self.last_id);
        self.encoded.push(EncodedPicture { id, sha256, slots, rows, size });
        id
    }

    /// Returns the slot of a tile of a picture of the conversation.
    ///
    /// # Panics
    /// As [`picture`](Self::picture).
    pub fn slot(&self, id: ImageId, tile: u32) -> u32 {
        self.picture(id).slots[tile as usize]
    }

    /// Returns a picture of the conversation.
    ///
    /// # Panics
    /// When it is not on the device, which no input can cause: pictures of the conversation keep their slots.
    pub fn picture(&self, id: ImageId) -> &EncodedPicture {
        self.encoded.iter().find(|p| p.id == id).expect("pictures in use keep their slots")
    }

    /// Adds a picture to the next question.
    pub fn attach(&mut self, id: ImageId) {
        self.pending.push(id);
    }

    /// Removes the picture that was attached last.
    pub fn detach(&mut self) {
        self.pending.pop();
    }

    /// Appends the turn of `question`, its pictures and the answer `ids`.
    pub fn push_turn(&mut self, format: &PromptFormat, question: &str, ids: &[u32]) {
        let images = self.pending.len();
        self.push_turn_with(format, question, ids, images);
    }

    /// Appends a turn with the first `images` of the attached pictures.
    fn push_turn_with(&mut self, format: &PromptFormat, question: &str, ids: &[u32], images: usize) {
        let answer = Some(format.without_end(ids));
        let turn = Turn { images, question: question.to_string(), answer };
        let images = self.pending.drain(..images).collect();
        self.turns.push(TurnRecord { images, turn });
    }

    /// Keeps the first `turns` turns; the pictures of the first removed turn are attached to the next question.
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

    /// Appends `turns` of an earlier conversation; they use the attached pictures in order.
    ///
    /// # Errors
    /// [`Kind::Argument`] when pictures are missing or an id is outside the vocabulary; [`Kind::Prompt`] for a text
    /// that cannot be tokenised. Nothing has changed then.
    pub fn restore(&mut self, format: &PromptFormat, turns: &[RestoredTurn]) -> Result<()> {
        let needed: usize = turns.iter().map(|turn| turn.images).sum();
        let attached = self.pending.len();
        ensure!(needed <= attached, Argument, "restore", "the turns have {needed} pictures; {attached} were encoded");
        let vocabulary = format.vocab_size;
        let known = turns.iter().flat_map(|turn| &turn.ids).all(|id| *id < vocabulary);
        ensure!(known, Argument, "restore", "an answer has tokens outside the vocabulary of {vocabulary}");
        let tokens = |turn: &RestoredTurn| match &turn.text {
            Some(text) => format.tokenizer.encode_text(text),
            None => Ok(turn.ids.clone()),
        };
        let answers: Vec<_> = turns.iter().map(tokens).collect::<Result<_>>()?;
        for (turn, ids) in turns.iter().zip(answers) {
            self.push_turn_with(format, &turn.question, &ids, turn.images);
        }
        Ok(())
    }

    /// Removes turns and attached pictures; the slots keep their pictures.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.pending.clear();
    }

    /// Removes turns and pictures, and empties the slots.
    pub fn clear(&mut self) {
        self.reset();
        self.encoded.clear();
    }
}

#[cfg(test)]
mod tests;
