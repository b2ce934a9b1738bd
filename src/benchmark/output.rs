//! Answer files and scores of a run.

use crate::question::Answers;
use llava_web::error::Result;
use llava_web::native::io_error;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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

/// What a benchmark hands back: files in a folder, scores, and remarks.
#[derive(Debug)]
pub struct Output {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Name of the model in file names and answers.
    pub model: String,
    /// Scores.
    pub rows: Vec<Row>,
    /// Remarks on what the scores cover.
    pub notes: Vec<String>,
    /// Written files, with what takes them.
    pub files: Vec<(PathBuf, String)>,
}

impl Output {
    /// Starts with an existing folder and no scores.
    pub fn new(folder: &Path, model: &str) -> Self {
        let (folder, model) = (folder.to_owned(), model.to_owned());
        Self { folder, model, rows: Vec::new(), notes: Vec::new(), files: Vec::new() }
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

    /// Writes a file; `purpose` says what takes it.
    ///
    /// # Errors
    /// [`llava_web::error::Kind::Io`], naming it.
    pub fn file(&mut self, name: &str, contents: &[u8], purpose: &str) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| io_error(folder, &e))?;
        }
        std::fs::write(&path, contents).map_err(|e| io_error(&path, &e))?;
        self.files.push((path, purpose.to_owned()));
        Ok(())
    }

    /// Writes a file of one JSON value.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn json(&mut self, name: &str, value: &Value, purpose: &str) -> Result<()> {
        self.file(name, value.to_string().as_bytes(), purpose)
    }

    /// Writes a file of JSON lines.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn lines(&mut self, name: &str, lines: impl Iterator<Item = Value>, purpose: &str) -> Result<()> {
        self.file(name, lines.map(|line| format!("{line}\n")).collect::<String>().as_bytes(), purpose)
    }

    /// Writes LLaVA's answer file; `more` are the further fields of the answer to question `index`.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn answers(&mut self, answers: &Answers<'_>, more: &dyn Fn(usize) -> Option<Value>) -> Result<()> {
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
        self.lines("answers.jsonl", answers.iter().map(line), "LLaVA's scripts in llava/eval and scripts")
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
