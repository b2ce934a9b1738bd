use super::*;
use crate::config::Config;

const IMAGE_ROWS: u32 = 9;

fn format() -> PromptFormat {
    let file = |name: &str| std::fs::read(format!("{}/tests/golden/mha/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
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
