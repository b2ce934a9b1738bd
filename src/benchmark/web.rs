//! The exported surface of the benchmarks' module, as JavaScript classes. Pictures are named, and the page reads them.

use crate::Benchmark;
use crate::data::Data;
use crate::error::{Error, Kind};
use crate::files::Listing;
use crate::hash::sha256_hex;
use crate::output::{Output, Row};
use crate::plan::Plan;
use crate::question::{Picture, Question, Suite};
use crate::xlsx::zip;
use crate::{progress, recognise};
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

/// Converts a value to a plain object.
fn to_js(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}

/// Converts an error, with all its fields, to the object that JavaScript catches.
fn thrown(error: Error) -> JsValue {
    to_js(&error)
}

/// A benchmark and one of its parts.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    part: &'static str,
}

fn part((benchmark, part): (Benchmark, &'static str)) -> Part {
    Part { name: benchmark.name(), part }
}

/// Returns every benchmark with its parts: `{ name, part }`.
#[wasm_bindgen(js_name = allParts, unchecked_return_type = "{ name: string, part: string }[]")]
pub fn all_parts() -> JsValue {
    to_js(&recognise::parts().map(part).collect::<Vec<_>>())
}

/// Returns the line of progress: answers, share, time for an answer, time left.
#[wasm_bindgen(js_name = progressLine)]
pub fn progress_line(name: &str, done: usize, before: usize, all: usize, elapsed_ms: f64) -> String {
    let elapsed = Duration::try_from_secs_f64(elapsed_ms / 1000.0).unwrap_or_default();
    progress::line(name, done.max(before), before, all.max(done), elapsed)
}

/// Returns the SHA-256 of a text, as 16 hex digits.
#[wasm_bindgen(js_name = hashOf)]
pub fn hash_of(text: &str) -> String {
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// The files of a folder: all names, and the contents of those that were wanted.
#[wasm_bindgen]
#[derive(Default)]
pub struct PublishedFiles {
    listing: Listing,
}

#[wasm_bindgen]
impl PublishedFiles {
    /// Makes an empty folder.
    #[wasm_bindgen(constructor)]
    pub fn new() -> PublishedFiles {
        Self::default()
    }

    /// Adds a file by its path inside the folder, with its contents or without.
    pub fn add(&mut self, path: &str, contents: Option<Vec<u8>>) {
        self.listing.add(path, contents);
    }

    /// Finds the benchmarks whose question files these are: `{ name, part }`, those with labels first.
    #[wasm_bindgen(unchecked_return_type = "{ name: string, part: string }[]")]
    pub fn recognise(&mut self) -> JsValue {
        let found = self.with("", recognise::recognise);
        to_js(&found.into_iter().map(part).collect::<Vec<_>>())
    }

    /// Reads a benchmark. Throws `{ kind, place, message, hint }`; where `wanted` then returns paths, their contents are
    /// to be added, and it is to be called again.
    pub fn open(&mut self, name: &str, split: &str) -> Result<BenchmarkRun> {
        let benchmark = Benchmark::ALL.into_iter().find(|benchmark| benchmark.name() == name);
        let unknown = || Error::new(Kind::Argument, "benchmark", format!("`{name}` is none"));
        let benchmark = benchmark.ok_or_else(unknown).map_err(thrown)?;
        self.listing.take_wanted();
        let suite = self.with(split, |data| benchmark.open(data)).map_err(thrown)?;
        let given = vec![None; suite.questions.len()];
        Ok(BenchmarkRun { suite, given })
    }

    /// Checks that the pictures of the first `limit` questions are there. Throws like `open`.
    #[wasm_bindgen(js_name = checkPictures)]
    pub fn check_pictures(&self, run: &BenchmarkRun, limit: usize) -> Result<()> {
        run.suite.check_pictures(&self.listing, limit).map_err(thrown)
    }

    /// Takes the paths whose contents were wanted.
    pub fn wanted(&self) -> Vec<String> {
        self.listing.take_wanted()
    }
}

impl PublishedFiles {
    /// Calls `work` with the part `split` of these files.
    fn with<T>(&mut self, split: &str, work: impl FnOnce(&Data) -> T) -> T {
        let files = Rc::new(std::mem::take(&mut self.listing));
        let split = Some(split).filter(|split| !split.is_empty()).map(str::to_owned);
        let result = work(&Data::new(files.clone(), "", split));
        self.listing = Rc::into_inner(files).unwrap_or_default();
        result
    }
}

/// A question as the page shows and asks it.
#[derive(Serialize)]
struct Asked<'a> {
    id: &'a serde_json::Value,
    /// Path of the picture; `null` where there is none, or a table holds it.
    picture: Option<String>,
    inline: bool,
    earlier: &'a [String],
    text: &'a str,
}

/// A score of the whole run.
#[derive(Serialize)]
struct Score<'a> {
    name: &'a str,
    value: f64,
    questions: usize,
    detail: bool,
}

fn score_of(row: &Row) -> Score<'_> {
    Score { name: &row.name, value: row.value, questions: row.questions, detail: row.detail }
}

/// Scores and remarks.
#[derive(Serialize)]
struct Scores<'a> {
    scores: Vec<Score<'a>>,
    notes: &'a [String],
}

/// The mark of an answer.
#[derive(Serialize)]
struct Marked {
    expected: String,
    score: f64,
}

/// A file of a run.
#[wasm_bindgen(getter_with_clone)]
pub struct AnswerFile {
    /// Name.
    pub name: String,
    /// What takes it.
    pub purpose: String,
    /// Contents.
    pub contents: Vec<u8>,
}

/// The questions of a benchmark, and the answers so far.
#[wasm_bindgen]
pub struct BenchmarkRun {
    suite: Suite,
    given: Vec<Option<String>>,
}

#[wasm_bindgen]
impl BenchmarkRun {
    /// Number of questions.
    #[wasm_bindgen(getter)]
    pub fn count(&self) -> usize {
        self.given.len()
    }

    /// Number of answers.
    #[wasm_bindgen(getter)]
    pub fn answered(&self) -> usize {
        self.given.iter().flatten().count()
    }

    /// Longest answer, tokens.
    #[wasm_bindgen(getter, js_name = maxNewTokens)]
    pub fn max_new_tokens(&self) -> u32 {
        self.suite.max_new_tokens
    }

    /// A hash of everything that is asked, except the pictures' contents.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> String {
        self.suite.fingerprint()
    }

    /// Returns a question: `{ id, picture, inline, earlier, text }`.
    #[wasm_bindgen(
        unchecked_return_type = "{ id: string | number, picture: string | null, inline: boolean, earlier: string[], text: string } | null"
    )]
    pub fn question(&self, index: usize) -> JsValue {
        let Some(Question { id, picture, earlier, text, .. }) = self.suite.questions.get(index) else {
            return JsValue::NULL;
        };
        let path = match picture {
            Some(Picture::File(path)) => Some(path.to_string_lossy().into_owned()),
            _ => None,
        };
        let inline = matches!(picture, Some(Picture::Inline(_)));
        to_js(&Asked { id, picture: path, inline, earlier, text })
    }

    /// Returns the picture of a question whose table holds it.
    pub fn picture(&self, index: usize) -> Option<Vec<u8>> {
        match self.suite.questions.get(index)?.picture.as_ref()? {
            Picture::Inline(bytes) => Some(bytes.to_vec()),
            Picture::File(_) => None,
        }
    }

    /// Plans the first `limit` questions: answers those that are equal to an answered one, and returns the indices of the
    /// others, with the questions on a picture together.
    pub fn plan(&mut self, limit: usize) -> Vec<u32> {
        let plan = Plan::new(&self.suite.questions, &self.given, limit);
        for (index, text) in plan.known {
            self.given[index] = Some(text);
        }
        plan.groups.iter().flatten().map(|ask| ask.index as u32).collect()
    }

    /// Records the answer to a question and to those of the first `limit` that are equal to it.
    pub fn answer(&mut self, index: usize, text: &str, limit: usize) {
        let Some(asked) = self.suite.questions.get(index) else { return };
        for (question, given) in self.suite.questions.iter().zip(&mut self.given).take(limit.max(index + 1)) {
            if given.is_none() && question.asked() == asked.asked() {
                *given = Some(text.to_owned());
            }
        }
    }

    /// Marks the answer to a question: `{ expected, score }`; `null` where the labels are not at hand.
    #[wasm_bindgen(unchecked_return_type = "{ expected: string, score: number } | null")]
    pub fn mark(&self, index: usize) -> JsValue {
        let marked = || {
            let (question, text) = (self.suite.questions.get(index)?, self.given.get(index)?.as_deref()?);
            let mark = self.suite.finish.mark(index, question, text)?;
            Some(Marked { expected: mark.expected, score: mark.score })
        };
        to_js(&marked())
    }

    /// Scores the answers so far: `{ scores: [{ name, value, questions, detail }], notes }`.
    #[wasm_bindgen(
        unchecked_return_type = "{ scores: { name: string, value: number, questions: number, detail: boolean }[], notes: string[] }"
    )]
    pub fn scores(&self) -> Result<JsValue> {
        let out = self.finished("model", "null")?;
        Ok(to_js(&Scores { scores: out.rows.iter().map(score_of).collect(), notes: &out.notes }))
    }

    /// Makes the files of the answers so far: for scorers and servers, LLaVA's own, and the scores with `settings`, a JSON
    /// value.
    pub fn files(&self, model: &str, settings: &str) -> Result<Vec<AnswerFile>> {
        let files = self.finished(model, settings)?.files.into_iter();
        Ok(files.map(|file| AnswerFile { name: file.name, purpose: file.purpose, contents: file.contents }).collect())
    }
}

#[wasm_bindgen]
impl BenchmarkRun {
    /// Makes a ZIP file of these files.
    pub fn archive(&self, model: &str, settings: &str) -> Result<Vec<u8>> {
        let files = self.finished(model, settings)?.files;
        let entries: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.contents.as_slice())).collect();
        Ok(zip(&entries))
    }
}

impl BenchmarkRun {
    fn finished(&self, model: &str, settings: &str) -> Result<Output> {
        let settings = serde_json::from_str(settings)
            .map_err(|e| thrown(Error::new(Kind::Argument, "settings", format!("are no JSON: {e}"))))?;
        let mut out = Output::new(model);
        out.finish(&self.suite, &self.given, &settings).map_err(thrown)?;
        Ok(out)
    }
}
