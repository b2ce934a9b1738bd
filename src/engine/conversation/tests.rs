use super::super::cache::Row;
use super::super::messages::{message_rows, picture_prefix, raw_rows};
use super::super::picture_table::{ImageId, PictureTable};
use super::*;
use crate::config::Config;
use crate::error::Kind;
use crate::prompt::PictureRow;

const IMAGE_ROWS: u32 = 9;

pub(in crate::engine) fn format() -> PromptFormat {
    let file = |name: &str| std::fs::read(format!("{}/tests/golden/mha/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let config = Config::parse(&file("config.json"), None).unwrap();
    PromptFormat {
        template: Template::VicunaV1,
        tokenizer: Tokenizer::parse(&file("tokenizer.json"), &config).unwrap(),
        end_ids: config.text.eos_token_ids.clone(),
        vocab_size: config.text.vocab_size,
    }
}

/// A conversation and its pictures, as an engine with two slots keeps them.
struct Talk {
    format: PromptFormat,
    talk: Conversation,
    pictures: PictureTable,
}

impl Talk {
    fn new() -> Self {
        Self { format: format(), talk: Conversation::default(), pictures: PictureTable::default() }
    }

    /// Encodes a picture of these bytes.
    fn encode(&mut self, sha256: &str) -> Result<u32> {
        let id = match self.pictures.find(sha256).filter(|picture| picture.is_resident()) {
            Some(known) => known.id,
            None => {
                let slots = self.pictures.empty_slots(1, 2, |sha256| self.talk.needs(sha256))?;
                let rows = (0..IMAGE_ROWS).map(PictureRow::Embed).collect();
                self.pictures.insert(sha256, slots, rows, [8, 6])
            }
        };
        self.talk.attach(sha256);
        Ok(self.pictures.slot(id, 0).unwrap())
    }

    fn push(&mut self, question: &str, ids: &[u32]) {
        self.talk.push_turn(&self.format, question, ids);
    }

    fn rows(&self, question: &str) -> Vec<Row> {
        message_rows(&self.format, &self.pictures, &self.talk.messages(question)).unwrap()
    }

    fn prefix(&self) -> Vec<Row> {
        picture_prefix(&self.format, &self.pictures, &self.talk.messages("")).unwrap()
    }
}

fn images(rows: &[Row]) -> Vec<u64> {
    let first = |row: &Row| if let Row::Image(id, 0) = row { Some(id.0) } else { None };
    rows.iter().filter_map(first).collect()
}

#[test]
fn a_prompt_begins_with_the_turns_before_and_the_rows_of_the_picture() {
    let mut talk = Talk::new();
    assert_eq!(talk.prefix(), []);
    talk.encode("a").unwrap();
    let prefix = talk.prefix();
    assert_eq!(prefix.last(), Some(&Row::Image(ImageId(1), IMAGE_ROWS - 1)));
    let first = talk.rows("what?");
    assert!(first.starts_with(&prefix) && first.len() > prefix.len());
    talk.push("what?", &[17, 18, talk.format.end_ids[0]]);
    let second = talk.rows("and?");
    assert!(second.starts_with(&[&first[..], &[Row::Token(17), Row::Token(18)]].concat()));
    assert_eq!(images(&second), [1]);
    // The picture attached to the second question comes after the first turn.
    talk.encode("b").unwrap();
    let third = talk.prefix();
    assert!(third.starts_with(&first) && images(&third) == [1, 2]);
}

#[test]
fn a_slot_is_reused_only_when_its_picture_is_not_needed() {
    let mut talk = Talk::new();
    assert_eq!([talk.encode("a").unwrap(), talk.encode("b").unwrap()], [0, 1]);
    assert_eq!(talk.encode("a").unwrap(), 0, "the same picture");
    assert_eq!(talk.encode("c").unwrap_err().kind, Kind::ContextFull);
    talk.push("?", &[]);
    assert_eq!(talk.encode("c").unwrap_err().kind, Kind::ContextFull, "a turn needs its pictures, too");
    talk.talk.reset();
    assert_eq!([talk.encode("b").unwrap(), talk.encode("c").unwrap()], [1, 0]);
    assert!(!talk.pictures.find("a").unwrap().is_resident());
}

#[test]
fn truncating_returns_the_pictures_of_the_removed_turn() {
    let mut talk = Talk::new();
    for picture in ["a", "b"] {
        talk.encode(picture).unwrap();
        talk.push(picture, &[17]);
    }
    assert_eq!(talk.talk.truncate(3).unwrap_err().kind, Kind::Argument);
    let before = talk.rows("?");
    talk.talk.truncate(2).unwrap();
    assert_eq!(talk.rows("?"), before, "nothing to remove");
    talk.talk.truncate(1).unwrap();
    assert_eq!((talk.talk.turns(), images(&talk.rows("b"))), (1, vec![1, 2]));
    talk.push("b", &[17]);
    assert_eq!(talk.rows("?"), before);
}

#[test]
fn a_restored_conversation_has_the_same_rows() {
    let (mut talk, mut again) = (Talk::new(), Talk::new());
    let ids = vec![17, 18];
    let turn =
        |question: &str, images| RestoredTurn { question: question.into(), ids: ids.clone(), images, text: None };
    let turns = [turn("a", 1), turn("plain", 0), turn("b", 1)];
    let format = format();
    assert_eq!(again.talk.restore(&format, &turns).unwrap_err().kind, Kind::Argument, "pictures are missing");
    for RestoredTurn { question, ids, images, .. } in &turns {
        if *images > 0 {
            talk.encode(question).unwrap();
            again.encode(question).unwrap();
        }
        talk.push(question, ids);
    }
    let unknown = RestoredTurn { ids: vec![format.vocab_size], ..turn("?", 0) };
    assert_eq!(again.talk.restore(&format, &[unknown]).unwrap_err().kind, Kind::Argument);
    again.talk.restore(&format, &turns).unwrap();
    assert_eq!(again.rows("?"), talk.rows("?"));
    // Turn by turn, each after its pictures, and an answer as text: the rows are the same.
    again.talk.reset();
    for turn in &turns {
        if turn.images > 0 {
            again.encode(&turn.question).unwrap();
        }
        again.talk.restore(&format, std::slice::from_ref(turn)).unwrap();
    }
    assert_eq!(again.rows("?"), talk.rows("?"));
}

#[test]
fn an_answer_of_another_model_is_tokenised() {
    let mut talk = Talk::new();
    let format = format();
    let turn = |ids, text| RestoredTurn { question: "so?".into(), ids, text, images: 0 };
    let mut rows = |turn| {
        talk.talk.reset();
        talk.talk.restore(&format, &[turn]).unwrap();
        talk.rows("and?")
    };
    let ids = format.tokenizer.encode_text(" a red circle").unwrap();
    assert!(!ids.is_empty());
    assert_eq!(rows(turn(Vec::new(), Some("a red circle".into()))), rows(turn(ids, None)));
}

#[test]
fn marks_of_a_raw_prompt_are_the_attached_pictures() {
    let mut talk = Talk::new();
    talk.encode("a").unwrap();
    let raw = |talk: &Talk, prompt: &str| raw_rows(&talk.format, &talk.pictures, talk.talk.pending(), prompt);
    assert_eq!(images(&raw(&talk, "x <image> y").unwrap()), [1]);
    for prompt in ["none", "<image> <image>"] {
        assert_eq!(raw(&talk, prompt).unwrap_err().kind, Kind::Prompt);
    }
    talk.talk.detach();
    assert!(images(&raw(&talk, "none").unwrap()).is_empty());
}
