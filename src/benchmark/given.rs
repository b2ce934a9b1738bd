//! Answers that were given elsewhere: LLaVA's answer files, to be scored here.

use crate::data::{Record, text_of};
use crate::error::{Error, Kind, Result};
use crate::question::Question;
use llava_web::native::read_file;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::path::Path;

/// Returns an id as text: LLaVA's files have numbers where the official ones have texts.
fn key(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// Reads an answer file (`question_id`, `prompt`, `text` a line), and returns the answer to each question. Of answers
/// with equal ids, the one with the question's prompt is taken; of several such, one after another.
///
/// # Errors
/// [`Kind::Io`] for a malformed line, and when no answer belongs to a question.
pub fn read(path: &Path, questions: &[Question]) -> Result<Vec<Option<String>>> {
    let mut by_id: HashMap<String, VecDeque<(String, String)>> = HashMap::new();
    for line in Record::lines(&text_of(read_file(path)?, path)?, &path.display().to_string())? {
        let prompt = line.maybe_text("prompt")?.unwrap_or_default().to_owned();
        by_id.entry(key(&line.id("question_id")?)).or_default().push_back((prompt, line.text("text")?.to_owned()));
    }
    let answer = |question: &Question| {
        let answers = by_id.get_mut(&key(&question.id))?;
        let own = answers.iter().position(|(prompt, _)| *prompt == question.prompt);
        let at = own.or((answers.len() == 1).then_some(0))?;
        answers.remove(at).map(|(_, text)| text)
    };
    let given: Vec<Option<String>> = questions.iter().map(answer).collect();
    if given.iter().all(Option::is_none) {
        let message = "holds no answer to a question of this benchmark, by id and prompt";
        return Err(Error::new(Kind::Io, path.display().to_string(), message));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_found_by_id_and_prompt() {
        let question = |id: Value, text: &str| Question::new(id, "a.jpg".into(), text.into());
        let questions = [
            question(json!("x"), "one"),
            question(json!("x"), "two"),
            question(json!("7"), "three"),
            question(json!(8), "four"),
        ];
        let lines = [
            json!({ "question_id": "x", "prompt": "two", "text": "2" }),
            json!({ "question_id": "x", "prompt": "one", "text": "1" }),
            json!({ "question_id": 7, "prompt": "with another suffix", "text": "3" }),
        ];
        let path = std::env::temp_dir().join(format!("llava-given-{}.jsonl", std::process::id()));
        std::fs::write(&path, lines.map(|line| line.to_string()).join("\n")).unwrap();
        let given = read(&path, &questions).unwrap();
        assert_eq!(
            given,
            ["1", "2", "3"].map(|text| Some(text.to_owned())).into_iter().chain([None]).collect::<Vec<_>>()
        );
        assert!(read(&path, &questions[3..]).unwrap_err().to_string().contains("holds no answer"));
        std::fs::write(&path, "{\"question_id\": 7}\n").unwrap();
        assert!(read(&path, &questions).unwrap_err().to_string().contains("line 1: field `text` is missing"));
        std::fs::remove_file(&path).unwrap();
    }
}
