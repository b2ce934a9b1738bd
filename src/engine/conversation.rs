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
mod tests {
    use super::*;
    use crate::config::Config;

    const IMAGE_ROWS: u32 = 9;

    fn format() -> PromptFormat {
        let file =
            |name: &str| std::fs::read(format!("{}/tests/golden/mha/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let config = Config::parse(&file("config.json"), None).unwrap();
        PromptFormat {
            template: Template::VicunaV1,
            tokenizer: Tokenizer::parse(&file("tokenizer.json"), &config).unwrap(),
            end_ids: config.text.eos_token_ids.clone(),
            vocab_size: config.text.vocab_size,
        }
    }

    /// Encodes a picture of these bytes, as the engine does with two slots.
    fn encode(conversation: &mut Conversation, sha256: &str) -> Result<u32> {
        let id = match conversation.find_image(sha256) {
            Some(known) => known.id,
            None => {
                let slots = conversation.empty_slots(1, 2)?;
                let rows = (0..IMAGE_ROWS).map(PictureRow::Embed).collect();
                conversation.fill_slots(slots, sha256.into(), rows, [8, 6])
            }
        };
        conversation.attach(id);
        Ok(conversation.slot(id, 0))
    }

    fn images(rows: &[Row]) -> Vec<u64> {
        let first = |row: &Row| if let Row::Image(id, 0) = row { Some(id.0) } else { None };
        rows.iter().filter_map(first).collect()
    }

    #[test]
    fn a_prompt_begins_with_the_turns_before_and_the_rows_of_the_picture() {
        let format = format();
        let mut talk = Conversation::default();
        assert_eq!(talk.image_prefix(&format).unwrap(), []);
        encode(&mut talk, "a").unwrap();
        let prefix = talk.image_prefix(&format).unwrap();
        assert_eq!(prefix.last(), Some(&Row::Image(ImageId(1), IMAGE_ROWS - 1)));
        let first = talk.prompt_rows(&format, "what?").unwrap();
        assert!(first.starts_with(&prefix) && first.len() > prefix.len());
        talk.push_turn(&format, "what?", &[17, 18, format.end_ids[0]]);
        let second = talk.prompt_rows(&format, "and?").unwrap();
        assert!(second.starts_with(&[&first[..], &[Row::Token(17), Row::Token(18)]].concat()));
        assert_eq!(images(&second), [1]);
        // The picture attached to the second question comes after the first turn.
        encode(&mut talk, "b").unwrap();
        let third = talk.image_prefix(&format).unwrap();
        assert!(third.starts_with(&first) && images(&third) == [1, 2]);
    }

    #[test]
    fn a_slot_is_reused_only_when_its_picture_is_not_needed() {
        let mut talk = Conversation::default();
        let format = format();
        assert_eq!([encode(&mut talk, "a").unwrap(), encode(&mut talk, "b").unwrap()], [0, 1]);
        assert_eq!(encode(&mut talk, "a").unwrap(), 0, "the same picture");
        assert_eq!(encode(&mut talk, "c").unwrap_err().kind, Kind::ContextFull);
        talk.push_turn(&format, "?", &[]);
        assert_eq!(encode(&mut talk, "c").unwrap_err().kind, Kind::ContextFull, "a turn needs its pictures, too");
        talk.reset();
        assert_eq!([encode(&mut talk, "b").unwrap(), encode(&mut talk, "c").unwrap()], [1, 0]);
        assert!(talk.find_image("a").is_none());
        talk.clear();
        assert!(talk.find_image("b").is_none());
    }

    #[test]
    fn tiles_take_slots_of_several_pictures_that_are_not_needed() {
        let (mut talk, format) = (Conversation::default(), format());
        let fill = |talk: &mut Conversation, name: &str, tiles: u32| -> Result<ImageId> {
            let slots = talk.empty_slots(tiles, 5)?;
            let rows = vec![PictureRow::Token(7), PictureRow::Embed(IMAGE_ROWS), PictureRow::Newline];
            Ok(talk.fill_slots(slots, name.into(), rows, [8, 6]))
        };
        let [a, _, c] = [("a", 1), ("b", 2), ("c", 2)].map(|(name, tiles)| fill(&mut talk, name, tiles).unwrap());
        talk.attach(c);
        let rows = talk.prompt_rows(&format, "?").unwrap();
        let at = rows.iter().position(|row| *row == Row::Token(7)).unwrap();
        assert_eq!(rows[at + 1..at + 3], [Row::Image(c, IMAGE_ROWS), Row::Newline]);
        assert_eq!(talk.image_prefix(&format).unwrap().len(), at + 3, "the prefix ends with the picture");
        assert_eq!(fill(&mut talk, "d", 4).unwrap_err().kind, Kind::ContextFull);
        assert!(talk.find_image("a").is_some(), "a refused picture removes nothing");
        let d = fill(&mut talk, "d", 3).unwrap();
        let mut slots: Vec<u32> =
            (0..3).map(|tile| talk.slot(d, tile)).chain((0..2).map(|tile| talk.slot(c, tile))).collect();
        slots.sort_unstable();
        assert_eq!((slots, talk.find_image("a").is_none(), a), (vec![0, 1, 2, 3, 4], true, ImageId(1)));
    }

    #[test]
    fn truncating_returns_the_pictures_of_the_removed_turn() {
        let (format, mut talk) = (format(), Conversation::default());
        for picture in ["a", "b"] {
            encode(&mut talk, picture).unwrap();
            talk.push_turn(&format, picture, &[17]);
        }
        assert_eq!(talk.truncate(3).unwrap_err().kind, Kind::Argument);
        let before = talk.prompt_rows(&format, "?").unwrap();
        talk.truncate(2).unwrap();
        assert_eq!(talk.prompt_rows(&format, "?").unwrap(), before, "nothing to remove");
        talk.truncate(1).unwrap();
        assert_eq!((talk.turns(), images(&talk.prompt_rows(&format, "b").unwrap())), (1, vec![1, 2]));
        talk.push_turn(&format, "b", &[17]);
        assert_eq!(talk.prompt_rows(&format, "?").unwrap(), before);
    }

    #[test]
    fn a_restored_conversation_has_the_same_rows() {
        let (format, mut talk, mut again) = (format(), Conversation::default(), Conversation::default());
        let ids = vec![17, 18];
        let turn =
            |question: &str, images| RestoredTurn { question: question.into(), ids: ids.clone(), images, text: None };
        let turns = [turn("a", 1), turn("plain", 0), turn("b", 1)];
        assert_eq!(again.restore(&format, &turns).unwrap_err().kind, Kind::Argument, "pictures are missing");
        for RestoredTurn { question, ids, images, .. } in &turns {
            if *images > 0 {
                encode(&mut talk, question).unwrap();
                encode(&mut again, question).unwrap();
            }
            talk.push_turn(&format, question, ids);
        }
        let unknown = RestoredTurn { ids: vec![format.vocab_size], ..turn("?", 0) };
        assert_eq!(again.restore(&format, &[unknown]).unwrap_err().kind, Kind::Argument);
        again.restore(&format, &turns).unwrap();
        assert_eq!(again.prompt_rows(&format, "?").unwrap(), talk.prompt_rows(&format, "?").unwrap());
        // Turn by turn, each after its pictures, and an answer as text: the rows are the same.
        again.reset();
        for turn in &turns {
            if turn.images > 0 {
                encode(&mut again, &turn.question).unwrap();
            }
            again.restore(&format, std::slice::from_ref(turn)).unwrap();
        }
        assert_eq!(again.prompt_rows(&format, "?").unwrap(), talk.prompt_rows(&format, "?").unwrap());
    }

    #[test]
    fn an_answer_of_another_model_is_tokenised() {
        let (format, mut talk) = (format(), Conversation::default());
        let turn = |ids, text| RestoredTurn { question: "so?".into(), ids, text, images: 0 };
        let mut rows = |turn| {
            talk.reset();
            talk.restore(&format, &[turn]).unwrap();
            talk.prompt_rows(&format, "and?").unwrap()
        };
        let ids = format.tokenizer.encode_text("a red circle").unwrap();
        assert!(!ids.is_empty());
        assert_eq!(rows(turn(Vec::new(), Some("a red circle".into()))), rows(turn(ids, None)));
    }

    #[test]
    fn marks_of_a_raw_prompt_are_the_attached_pictures() {
        let (format, mut talk) = (format(), Conversation::default());
        encode(&mut talk, "a").unwrap();
        assert_eq!(images(&talk.raw_rows(&format, "x <image> y").unwrap()), [1]);
        for prompt in ["none", "<image> <image>"] {
            assert_eq!(talk.raw_rows(&format, prompt).unwrap_err().kind, Kind::Prompt);
        }
        talk.detach();
        assert!(images(&talk.raw_rows(&format, "none").unwrap()).is_empty());
    }
}
