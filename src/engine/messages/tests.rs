use super::super::conversation::tests::format;
use super::*;

const PICTURE: &str = "picture";

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
