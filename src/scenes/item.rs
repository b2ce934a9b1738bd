//! The lines of `questions.jsonl`.

use super::questions::QuestionKind;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// One line of `questions.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// File name of the picture, in the same folder.
    pub image: String,
    /// The question, suffix included.
    pub question: String,
    /// The short form of the right answer, or the whole caption.
    pub answer: String,
    /// Kind of the question.
    #[serde(rename = "type")]
    pub kind: QuestionKind,
    /// Form of answer that the question asks for.
    pub form: AnswerForm,
    /// Earlier questions of the same conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
}

/// The form of an answer, `short` or `sentence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AnswerForm {
    Short,
    Sentence,
}

impl Item {
    /// Parses the lines of a file; `place` names it.
    ///
    /// # Errors
    /// [`Kind::Io`] when a line is not an item, with its number.
    pub fn parse_lines(text: &str, place: &str) -> Result<Vec<Self>> {
        let item = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| Error::new(Kind::Io, place, format!("line {}: {e}", number + 1)))
        };
        text.lines().enumerate().map(item).collect()
    }
}
