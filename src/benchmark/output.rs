//! Answer files and scores of a run.

use crate::error::Result;
use crate::question::{Answers, Suite};
use serde_json::{Value, json};

/// A score.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What is scored.
    pub name: String,
    /// Percent, unless the name says otherwise.
    pub value: f64,
    /// Number of questions, or of what is averaged over.
    pub questions: usize,
    /// Whether the printed table leaves it out.
    pub detail: bool,
}

/// A file for a scorer, a server or a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Name; with a slash where it lies in a folder.
    pub name: String,
    /// Contents.
    pub contents: Vec<u8>,
    /// What takes it.
    pub purpose: String,
}

/// What a benchmark hands back: files, scores, and remarks.
#[derive(Debug)]
pub struct Output {
    /// Name of the model in file names and answers.
    pub model: String,
    /// Scores.
    pub rows: Vec<Row>,
    /// Remarks on what the scores cover.
    pub notes: Vec<String>,
    /// Files.
    pub files: Vec<File>,
}

impl Output {
    /// Starts without files and scores.
    pub fn new(model: &str) -> Self {
        Self { model: model.to_owned(), rows: Vec::new(), notes: Vec::new(), files: Vec::new() }
    }

    /// Adds a score.
    pub fn row(&mut self, name: impl Into<String>, value: f64, questions: usize) {
        self.rows.push(Row { name: name.into(), value, questions, detail: false });
    }

    /// Adds a score that only `scores.json` has.
    pub fn detail(&mut self, name: impl Into<String>, value: f64, questions: usize) {
        self.rows.push(Row { name: name.into(), value, questions, detail: true });
    }

    /// Adds the accuracy in percent of some right answers.
    pub fn accuracy(&mut self, name: impl Into<String>, right: &[bool]) {
        self.row(name, percent(right), right.len());
    }

    /// Adds a remark.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a file; `purpose` says what takes it.
    pub fn file(&mut self, name: &str, contents: Vec<u8>, purpose: &str) {
        self.files.push(File { name: name.to_owned(), contents, purpose: purpose.to_owned() });
    }

    /// Adds a file of one JSON value.
    pub fn json(&mut self, name: &str, value: &Value, purpose: &str) {
        self.file(name, value.to_string().into_bytes(), purpose);
    }

    /// Adds a file of JSON lines.
    pub fn lines(&mut self, name: &str, lines: impl Iterator<Item = Value>, purpose: &str) {
        self.file(name, lines.map(|line| format!("{line}\n")).collect::<String>().into_bytes(), purpose);
    }

    /// Adds LLaVA's answer file; `more` are the further fields of the answer to question `index`.
    pub fn answers(&mut self, answers: &Answers<'_>, more: &dyn Fn(usize) -> Option<Value>) {
        let model = self.model.clone();
        let line = |(index, question, text): (usize, &crate::question::Question, &str)| {
            let mut line = json!({
                "question_id": question.id, "prompt": question.prompt, "text": text,
                "answer_id": format!("{index:06}"), "model_id": model, "metadata": {},
            });
            if let (Value::Object(line), Some(Value::Object(more))) = (&mut line, more(index)) {
                line.extend(more);
            }
            line
        };
        self.lines("answers.jsonl", answers.iter().map(line), "LLaVA's scripts in llava/eval and scripts");
    }

    /// Adds all that a run has made: LLaVA's answer file, the files for scorers and servers, the scores with `settings`.
    ///
    /// # Errors
    /// Those of the benchmark's last step.
    pub fn finish(&mut self, suite: &Suite, given: &[Option<String>], settings: &Value) -> Result<()> {
        let answers = Answers { questions: &suite.questions, given };
        self.answers(&answers, &|index| suite.finish.more(index));
        suite.finish.finish(&answers, self)?;
        if !answers.complete() {
            self.note(format!("{} of {} questions were asked", answers.iter().count(), suite.questions.len()));
        }
        let mut scores = self.scores();
        scores["settings"] = settings.clone();
        self.file("scores.json", format!("{scores:#}\n").into_bytes(), "reading");
        Ok(())
    }

    /// Returns the printed table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        if self.rows.iter().any(|row| !row.detail) {
            text += "| score | value | n |\n|---|---|---|\n";
        }
        for Row { name, value, questions, .. } in self.rows.iter().filter(|row| !row.detail) {
            text += &format!("| {name} | {value:.2} | {questions} |\n");
        }
        text
    }

    /// Returns the scores for `scores.json`.
    pub fn scores(&self) -> Value {
        let row = |row: &Row| json!({ "name": row.name, "value": row.value, "questions": row.questions });
        json!({ "scores": self.rows.iter().map(row).collect::<Vec<_>>(), "notes": self.notes })
    }
}

/// Returns the share of right answers, percent; 0 of none.
pub fn percent(right: &[bool]) -> f64 {
    100.0 * right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
}

/// Returns the mean; 0 of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
