use super::super::picture_table::ImageId;
use super::*;
use crate::config::Config;
use crate::prompt::Template;
use crate::tokenizer::Tokenizer;

const PICTURE: &str = "picture";
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

/// Pictures whose ids are `names`, of one tile each.
fn pictures<const N: usize>(names: [&str; N]) -> PictureTable {
    let mut table = PictureTable::default();
    for (slot, name) in (0..).zip(names) {
        table.insert(name, vec![slot], (0..IMAGE_ROWS).map(PictureRow::Embed).collect(), [8, 6]);
    }
    table
}

/// Returns the numbers of the pictures in `rows`.
fn images(rows: &[Row]) -> Vec<u64> {
    let first = |row: &Row| if let Row::Image(id, 0) = row { Some(id.0) } else { None };
    rows.iter().filter_map(first).collect()
}

fn typed(role: Role, text: &str) -> Message {
    Message::text(role, text)
}

#[test]
fn an_answer_that_is_remembered_takes_its_own_ids() {
    let (format, table, mut answers) = (format(), PictureTable::default(), AnswerMemory::default());
    let messages = [typed(Role::User, "a"), typed(Role::Assistant, "b c"), typed(Role::User, "d")];
    let rows = |answers: &AnswerMemory| message_rows(&format, &table, &answers.recall(&messages)).unwrap();
    let plain = rows(&answers);
    answers.remember(" b c\n", vec![17, 18, 19]);
    let own = rows(&answers);
    let ids = [17, 18, 19].map(Row::Token);
    assert!(plain != own && own.windows(3).any(|rows| rows == ids));
    answers.remember("b c", vec![20]);
    assert!(rows(&answers).contains(&Row::Token(20)), "the newest of the same text");
    answers.remember("", vec![21]);
    assert_eq!(answers.list.len(), 1);
}

#[test]
fn a_prompt_begins_with_the_messages_before_and_the_rows_of_the_picture() {
    let (format, table) = (format(), pictures(["a", "b"]));
    let rows = |messages: &[Message]| message_rows(&format, &table, messages).unwrap();
    let about = |image: &str, text: &str| Message::user(&[image.to_string()], text);
    // The rows up to the picture do not depend on what follows it.
    let (first, typing) = (rows(&[about("a", "what?")]), rows(&[about("a", "")]));
    let last = first.iter().rposition(|row| matches!(row, Row::Image(..))).unwrap();
    assert_eq!((first[last], &typing[..=last]), (Row::Image(ImageId(1), IMAGE_ROWS - 1), &first[..=last]));
    assert!(first.len() > last + 1);
    let answer = Message::answer(&format.without_end(&[17, 18, format.end_ids[0]]));
    let before = [about("a", "what?"), answer];
    let second = rows(&[&before[..], &[typed(Role::User, "and?")]].concat());
    assert!(second.starts_with(&[&first[..], &[Row::Token(17), Row::Token(18)]].concat()));
    assert_eq!(images(&second), [1]);
    // The picture of the second question comes after the first turn.
    let third = rows(&[&before[..], &[about("b", "and?")]].concat());
    assert!(third.starts_with(&first) && images(&third) == [1, 2]);
}

#[test]
fn an_answer_of_another_model_is_tokenised() {
    let (format, table) = (format(), PictureTable::default());
    let rows = |answer: Message| {
        let messages = [typed(Role::User, "so?"), answer, typed(Role::User, "and?")];
        message_rows(&format, &table, &messages).unwrap()
    };
    let ids = format.tokenizer.encode_text(" a red circle").unwrap();
    assert!(!ids.is_empty());
    assert_eq!(rows(typed(Role::Assistant, "a red circle")), rows(Message::answer(&ids)));
}

#[test]
fn marks_of_a_raw_prompt_are_its_pictures() {
    let (format, table) = (format(), pictures(["a"]));
    let raw = |images: &[String], prompt: &str| raw_rows(&format, &table, images, prompt);
    let [known, unknown] = ["a", "b"].map(|name| [name.to_string()]);
    assert_eq!(images(&raw(&known, "x <image> y").unwrap()), [1]);
    for prompt in ["none", "<image> <image>"] {
        assert_eq!(raw(&known, prompt).unwrap_err().kind, Kind::Prompt);
    }
    assert_eq!(raw(&unknown, "x <image> y").unwrap_err().kind, Kind::Prompt);
    assert!(images(&raw(&[], "none").unwrap()).is_empty());
}

#[test]
fn the_memory_of_answers_is_bounded() {
    let mut answers = AnswerMemory::default();
    for n in 0..9 {
        answers.remember(&n.to_string(), vec![0; REMEMBERED_TOKENS / 8]);
    }
    assert!(answers.ids("0").is_none() && answers.ids("1").is_some());
}

#[test]
fn errors_name_message_and_part() {
    let (format, mut table) = (format(), PictureTable::default());
    let messages = [Message::user(&[PICTURE.into()], "q"), Message::answer(&[1 << 20]), typed(Role::User, "r")];
    let place = |table: &PictureTable, messages: &[Message]| {
        let error = message_rows(&format, table, messages).unwrap_err();
        assert_eq!(error.kind, Kind::Prompt, "{error}");
        error.place
    };
    assert_eq!(place(&table, &messages), "messages[0].parts[0]");
    table.insert(PICTURE, Vec::new(), vec![PictureRow::Embed(0)], [1, 1]);
    assert_eq!(place(&table, &messages), "messages[1].parts[0]");
    assert_eq!(place(&table, &[]), "messages");
}
