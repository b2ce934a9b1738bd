//! What a benchmark asks, in the terms that all have in common.

use crate::data::{Data, Record, inside};
use crate::error::{Error, Kind, Result};
use crate::files::Files;
use crate::hash::sha256_hex;
use crate::output::Output;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Suffix that asks for a word or a phrase.
pub const SHORT: &str = "Answer the question using a single word or phrase.";
/// Suffix that asks for the letter of an option.
pub const LETTER: &str = "Answer with the option's letter from the given choices directly.";
/// The same in Chinese, for MMBench-CN.
pub const LETTER_CN: &str = "请直接回答选项字母。";
/// Longest answer of LLaVA's `model_vqa_loader`, tokens.
pub const LOADER_TOKENS: u32 = 128;
/// Longest answer of LLaVA's other evaluation scripts, tokens.
pub const LONG_TOKENS: u32 = 1024;

/// The picture of a question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// A file's bytes, where a table holds them.
    Inline(Arc<[u8]>),
}

/// A question about at most one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Id in the answer file: a text or a number. Not always unique.
    pub id: Value,
    /// The picture.
    pub picture: Option<Picture>,
    /// Earlier questions of the same conversation; the model answers them first.
    pub earlier: Vec<String>,
    /// What the user says, suffix included, without the mark of the picture.
    pub text: String,
    /// The field `prompt` of LLaVA's answer file.
    pub prompt: String,
}

impl Question {
    /// Makes a question whose answer file repeats its text, as those of `model_vqa_loader` and `model_vqa` do.
    pub fn new(id: impl Into<Value>, picture: PathBuf, text: String) -> Self {
        let (id, prompt) = (id.into(), text.clone());
        Self { id, picture: Some(Picture::File(picture)), earlier: Vec::new(), text, prompt }
    }

    /// Returns all that an answer depends on: questions of which it is equal are asked once.
    pub fn asked(&self) -> (Option<&Picture>, &[String], &str) {
        (self.picture.as_ref(), &self.earlier, &self.text)
    }
}

/// The mark of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The expected answer; of ten people's, the most frequent.
    pub expected: String,
    /// Score, 0 to 1.
    pub score: f64,
}

impl Mark {
    /// Marks an answer that is right or wrong.
    pub fn new(expected: impl Into<String>, right: bool) -> Self {
        Self { expected: expected.into(), score: f64::from(u8::from(right)) }
    }

    /// Marks an answer by those of ten people.
    pub fn of_people(people: &[String], score: f64) -> Self {
        let times = |answer: &&String| people.iter().filter(|other| other == answer).count();
        // Of equally frequent ones the first.
        let expected = people.iter().rev().max_by_key(times).cloned().unwrap_or_default();
        Self { expected, score }
    }

    /// Returns whether it is right in full.
    pub fn right(&self) -> bool {
        self.score >= 1.0
    }
}

/// A benchmark that has been read.
pub struct Suite {
    /// Questions in the order of their file.
    pub questions: Vec<Question>,
    /// Longest answer, tokens.
    pub max_new_tokens: u32,
    /// Writes the answer files and scores.
    pub finish: Box<dyn Finish>,
}

impl Suite {
    /// Checks that the pictures of the first `limit` questions are there.
    ///
    /// # Errors
    /// [`Kind::Io`] with the first that is not.
    pub fn check_pictures(&self, files: &dyn Files, limit: usize) -> Result<()> {
        let missing =
            |question: &&Question| matches!(&question.picture, Some(Picture::File(path)) if !files.exists(path));
        let mut missing = self.questions.iter().take(limit).filter(missing);
        let Some(Question { id, picture: Some(Picture::File(path)), .. }) = missing.next() else { return Ok(()) };
        let message = format!("does not exist; question {id} is about it, and {} more lack theirs", missing.count());
        Err(Error::new(Kind::Io, path.display().to_string(), message))
    }

    /// Returns a hash of everything that is asked, except the pictures' contents.
    pub fn fingerprint(&self) -> String {
        let mut all = String::new();
        for Question { id, picture, earlier, text, .. } in &self.questions {
            let picture = match picture {
                Some(Picture::File(path)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                Some(Picture::Inline(bytes)) => bytes.len().to_string(),
                None => String::new(),
            };
            all += &json!([id, picture, earlier, text]).to_string();
        }
        sha256_hex(all.as_bytes())[..16].to_owned()
    }
}

/// The last step of a benchmark: answer files and scores.
pub trait Finish {
    /// Adds the files that scorers and servers take, and scores where the labels are at hand.
    ///
    /// # Errors
    /// [`Kind::Argument`] for more answers than a file's format takes.
    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()>;

    /// Marks the answer `text` to question `index`; `None` where the labels are not at hand, or a judge decides.
    fn mark(&self, _index: usize, _question: &Question, _text: &str) -> Option<Mark> {
        None
    }

    /// Returns the further fields of LLaVA's answer file for question `index`.
    fn more(&self, _index: usize) -> Option<Value> {
        None
    }
}

/// Questions and the answers given so far.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// All questions.
    pub questions: &'a [Question],
    /// An answer for each that was asked, in the same order.
    pub given: &'a [Option<String>],
}

impl<'a> Answers<'a> {
    /// Returns index, question and answer of those that were answered.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a Question, &'a str)> + use<'a> {
        let pairs = self.questions.iter().zip(self.given).enumerate();
        pairs.filter_map(|(index, (question, given))| Some((index, question, given.as_deref()?)))
    }

    /// Returns the answer to question `index`.
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.given.get(index)?.as_deref()
    }

    /// Returns whether every question was answered.
    pub fn complete(&self) -> bool {
        self.given.iter().all(Option::is_some)
    }
}

/// Reads LLaVA's own question file: `question_id`, `image`, `text` with its suffix.
///
/// # Errors
/// [`Kind::Io`] for a malformed line, with its number and the field.
pub fn llava_lines(data: &Data, path: &Path, pictures: &Path) -> Result<Vec<Question>> {
    let question = |line: Record| {
        let picture = inside(pictures, line.text("image")?, &line)?;
        Ok(Question::new(line.id("question_id")?, picture, line.text("text")?.to_owned()))
    };
    data.lines(path)?.into_iter().map(question).collect()
}

/// Returns the questions of LLaVA's own file where it is at hand, else those that `official` makes.
///
/// # Errors
/// As [`llava_lines`], and those of `official`.
pub fn llava_or(
    data: &Data,
    names: &[&str],
    pictures: &Path,
    official: impl FnOnce() -> Result<Vec<Question>>,
) -> Result<Vec<Question>> {
    let questions = match data.find(names) {
        Some(path) => llava_lines(data, &path, pictures)?,
        None => official()?,
    };
    if questions.is_empty() {
        return Err(Error::new(Kind::Io, data.place(), "the question file holds no questions"));
    }
    Ok(questions)
}

/// Changes case as Python's `capitalize()`: the first character upper, all others lower.
pub fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &characters.as_str().to_lowercase()
}

/// Returns a question with a suffix on a line of its own.
pub fn with(question: &str, suffix: &str) -> String {
    format!("{question}\n{suffix}")
}

/// Returns the question and its options, one a line behind its letter: `A. …`.
pub fn options<S: AsRef<str>>(question: &str, options: &[S]) -> String {
    let lines = options.iter().zip('A'..).map(|(option, letter)| format!("\n{letter}. {}", option.as_ref()));
    lines.fold(question.to_owned(), |text, line| text + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_built_as_the_scripts_build_it() {
        assert_eq!(capitalize("what is the BRAND? "), "What is the brand? ");
        assert_eq!(capitalize(" what"), " what", "a leading blank is the first character");
        assert_eq!(capitalize(""), "");
        assert_eq!(options("Which?", &["red", "blue"]), "Which?\nA. red\nB. blue");
        assert_eq!(with("Is it?", SHORT), "Is it?\nAnswer the question using a single word or phrase.");
    }

    #[test]
    fn people_expect_what_most_of_them_said() {
        let people = ["red", "blue", "red", "green", "blue", "x"].map(str::to_owned);
        assert_eq!(Mark::of_people(&people, 0.3), Mark { expected: "red".into(), score: 0.3 });
        assert!(Mark::new("a", true).right() && !Mark::new("a", false).right() && !Mark::of_people(&[], 0.9).right());
    }
}
