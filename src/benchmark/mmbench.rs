//! MMBench and MMBench-CN (dev): multiple choice, asked with the options in every rotation (circular evaluation).
//!
//! The rotations are rows of the table: the ids of a question's rows are equal modulo a million. A question counts only
//! if all its rows are right.

use crate::data::Data;
use crate::error::{Error, Kind, Result};
use crate::output::{Output, percent};
use crate::question::{Answers, Finish, LETTER, LETTER_CN, LONG_TOKENS, Mark, Picture, Question, Suite, options, with};
use crate::xlsx::{Cell, workbook};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Distance of the ids of a question's rotations.
const ROTATION: i64 = 1_000_000;
/// Columns that the upload leaves out.
const DROPPED: [&str; 6] = ["hint", "category", "source", "image", "comment", "l2-category"];
/// Column of the prediction in the upload.
const PREDICTION: usize = 6;
/// Texts that pandas reads as missing.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];
/// Marks that become blanks before an answer is cut into words.
const MARKS: &str = ".()[],:;!*#{}";

/// A row of the table.
#[derive(Debug, Clone)]
struct Row {
    index: i64,
    cells: Vec<String>,
    options: Vec<String>,
}

struct MmBench {
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// Returns the letter that an answer chooses, by VLMEvalKit's rules without its judge: the only option letter among the
/// words, if it is one of the last four; else the only option whose text the answer holds.
pub fn chosen(answer: &str, options: &[String]) -> Option<char> {
    let letters = || ('A'..).take(options.len());
    let spaced: String = answer.chars().map(|c| if MARKS.contains(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let place = |letter: char| words.iter().position(|word| word.chars().eq([letter]));
    let found: Vec<(char, usize)> = letters().filter_map(|letter| Some((letter, place(letter)?))).collect();
    if let [(letter, at)] = found[..]
        && at + 4 >= words.len()
    {
        return Some(letter);
    }
    let answer = answer.to_lowercase();
    if answer.chars().count() > 2 * options.iter().map(|option| option.chars().count()).sum::<usize>() {
        return None;
    }
    let mut held = letters().zip(options).filter(|(_, option)| answer.contains(&option.to_lowercase()));
    let (letter, _) = held.next()?;
    held.next().is_none().then_some(letter)
}

/// Returns a field, unless it is missing.
fn present<'a>(columns: &[String], cells: &'a [String], name: &str) -> Option<&'a str> {
    let text = cells.get(columns.iter().position(|column| column == name)?)?;
    let missing = MISSING.contains(&text.as_str()) || ["nan", "none"].contains(&text.to_lowercase().as_str());
    (!missing).then_some(text)
}

/// The number of a line, and its cells.
type Line = (u64, Vec<String>);

/// Reads the table: its columns, and its rows.
fn table(data: &Data, path: &Path) -> Result<(Vec<String>, Vec<Line>)> {
    let place = path.display().to_string();
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(data.files().open(path)?);
    let malformed = |e: csv::Error| {
        let at = e.position().map_or(place.clone(), |position| format!("{place}: line {}", position.line()));
        Error::new(Kind::Io, at, e.to_string())
    };
    let columns: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
    for name in ["index", "question", "image", "A", "B"] {
        if !columns.iter().any(|column| column == name) {
            return Err(Error::new(Kind::Io, format!("{place}: line 1"), format!("field `{name}` is missing")));
        }
    }
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.map_err(malformed)?;
        Ok((row.position().map_or(0, csv::Position::line), row.iter().map(str::to_owned).collect()))
    };
    let rows = reader.records().map(row).collect::<Result<_>>()?;
    Ok((columns, rows))
}

/// The pictures of the rows: equal ones once, and by the id of the row that holds them.
#[derive(Default)]
struct Pictures {
    by_text: HashMap<String, Arc<[u8]>>,
    by_index: HashMap<i64, Arc<[u8]>>,
}

impl Pictures {
    /// Decodes a row's picture. Newer tables hold it once, and elsewhere the id of that row.
    fn decode(&mut self, index: i64, text: &str) -> std::result::Result<Picture, String> {
        if text.len() < 16
            && let Ok(other) = text.parse::<i64>()
        {
            let picture = self.by_index.get(&other).ok_or(format!("names row {other}, which holds no picture"))?;
            return Ok(Picture::Inline(picture.clone()));
        }
        let bytes = match self.by_text.get(text) {
            Some(bytes) => bytes.clone(),
            None => STANDARD.decode(text).map_err(|e| format!("is no base64: {e}"))?.into(),
        };
        self.by_text.entry(text.to_owned()).or_insert_with(|| bytes.clone());
        self.by_index.insert(index, bytes.clone());
        Ok(Picture::Inline(bytes))
    }
}

/// Reads the benchmark; `chinese` chooses MMBench-CN.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data, chinese: bool) -> Result<Suite> {
    let (names, suffix): (&[&str], _) = match chinese {
        true => (&["mmbench_dev_cn_20231003.tsv"], LETTER_CN),
        false => (&["mmbench_dev_20230712.tsv"], LETTER),
    };
    data.split(&["dev"])?;
    let path = data.need(names)?;
    let (columns, lines) = table(data, &path)?;
    let (mut pictures, mut rows, mut questions) = (Pictures::default(), Vec::new(), Vec::new());
    for (line, mut cells) in lines {
        let refused = |field: &str, why: &str| {
            Error::new(Kind::Io, format!("{}: line {line}", path.display()), format!("field `{field}` {why}"))
        };
        let field = |name: &str| present(&columns, &cells, name);
        let index = field("index").and_then(|text| text.parse::<i64>().ok());
        let index = index.filter(|index| *index >= 0).ok_or_else(|| refused("index", "is no whole number"))?;
        let picture = field("image").ok_or_else(|| refused("image", "is empty"))?;
        let picture = pictures.decode(index, picture).map_err(|why| refused("image", &why))?;
        let choices = choices_of(&columns, &cells);
        if choices.is_empty() {
            return Err(refused("A", "is empty"));
        }
        let question = field("question").ok_or_else(|| refused("question", "is empty"))?;
        let hint = field("hint").map_or(String::new(), |hint| format!("{hint}\n"));
        let prompt = hint + &options(question, &choices);
        let text = with(&prompt, suffix);
        questions.push(Question { id: json!(index), picture: Some(picture), earlier: Vec::new(), text, prompt });
        // The upload does without the picture, which is most of the table.
        columns.iter().zip(&mut cells).filter(|(name, _)| *name == "image").for_each(|(_, cell)| cell.clear());
        rows.push(Row { index, cells, options: choices });
    }
    if questions.is_empty() {
        return Err(Error::new(Kind::Io, path.display().to_string(), "holds no questions"));
    }
    Ok(Suite { questions, max_new_tokens: LONG_TOKENS, finish: Box::new(MmBench { columns, rows }) })
}

/// Returns the options of a row, up to the first that is missing.
fn choices_of(columns: &[String], cells: &[String]) -> Vec<String> {
    ["A", "B", "C", "D"].iter().map_while(|name| present(columns, cells, name)).map(str::to_owned).collect()
}

/// Returns whether each question is right by circular evaluation: all its rows are. `rows` holds id and correctness.
pub fn circular(rows: &[(i64, bool)]) -> BTreeMap<i64, bool> {
    let mut groups = BTreeMap::new();
    for (index, right) in rows {
        *groups.entry(index % ROTATION).or_insert(true) &= right;
    }
    groups
}

impl MmBench {
    /// Returns the rows of the upload, header first.
    fn upload(&self, answers: &Answers<'_>) -> Vec<Vec<Cell>> {
        let kept: Vec<usize> =
            (0..self.columns.len()).filter(|c| !DROPPED.contains(&self.columns[*c].as_str())).collect();
        let at = PREDICTION.min(kept.len());
        let mut header: Vec<Cell> = kept.iter().map(|c| Cell::Text(self.columns[*c].clone())).collect();
        header.insert(at, Cell::Text("prediction".into()));
        let mut sheet = vec![header];
        for (i, row) in self.rows.iter().enumerate() {
            let cell = |c: &usize| match (self.columns[*c].as_str(), row.cells.get(*c)) {
                ("index", _) => Cell::Number(row.index),
                (name, Some(_)) => {
                    present(&self.columns, &row.cells, name).map_or(Cell::Empty, |t| Cell::Text(t.into()))
                }
                (_, None) => Cell::Empty,
            };
            let mut cells: Vec<Cell> = kept.iter().map(cell).collect();
            cells.insert(at, answers.get(i).map_or(Cell::Empty, |text| Cell::Text(text.to_owned())));
            sheet.push(cells);
        }
        sheet
    }
}

impl Finish for MmBench {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let row = self.rows.get(index)?;
        let truth = present(&self.columns, &row.cells, "answer")?.chars().next();
        Some(Mark::new(truth.map(String::from).unwrap_or_default(), chosen(text, &row.options) == truth))
    }

    fn more(&self, index: usize) -> Option<Value> {
        let options = &self.rows.get(index)?.options;
        let letters: Vec<String> = ('A'..).take(options.len()).map(String::from).collect();
        Some(json!({ "round_id": 0, "options": options, "option_char": letters }))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let name = format!("{}.xlsx", out.model);
        out.file(&name, workbook(&self.upload(answers))?, "mmbench.opencompass.org.cn");
        let field = |i: usize, name: &str| present(&self.columns, &self.rows[i].cells, name);
        let mark = |(i, question, text): (usize, &Question, &str)| Some((i, self.mark(i, question, text)?.right()));
        let scored: Vec<(usize, bool)> = answers.iter().filter_map(mark).collect();
        // A question whose rows were not all asked does not count.
        let incomplete: Vec<i64> =
            (0..self.rows.len()).filter(|i| answers.get(*i).is_none()).map(|i| self.rows[i].index % ROTATION).collect();
        let rows = scored.iter().map(|(i, right)| (self.rows[*i].index, *right));
        let mut groups = circular(&rows.collect::<Vec<_>>());
        groups.retain(|group, _| !incomplete.contains(group));
        if scored.is_empty() {
            out.note("no answers in the table: the server scores the workbook");
            return Ok(());
        }
        out.accuracy("circular accuracy", &groups.values().copied().collect::<Vec<_>>());
        out.accuracy("accuracy of single rows", &scored.iter().map(|(_, right)| *right).collect::<Vec<_>>());
        for column in ["l2-category", "category"] {
            let mut parts: BTreeMap<&str, BTreeMap<i64, bool>> = BTreeMap::new();
            for (i, row) in self.rows.iter().enumerate() {
                let group = row.index % ROTATION;
                if let (Some(name), Some(right)) = (field(i, column), groups.get(&group)) {
                    parts.entry(name).or_default().insert(group, *right);
                }
            }
            for (name, groups) in parts {
                let right: Vec<bool> = groups.into_values().collect();
                out.detail(format!("circular accuracy, {column}: {name}"), percent(&right), right.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn letters_and_texts_choose_options() {
        let options = texts(&["a red star", "a blue circle", "nothing"]);
        for (answer, wanted) in [
            ("B", Some('B')),
            ("(C).", Some('C')),
            ("The right answer is: B", Some('B')),
            // `A` is a word here, and not among the last four.
            ("A star is what I can see here", None),
            ("A or B", None),
            // The last four words: the first of four, and the first of five.
            ("B is right here", Some('B')),
            ("B is the right one", None),
            ("It is a blue circle", Some('B')),
            ("a red star and a blue circle", None),
            ("D", None),
            ("", None),
            (&"nothing ".repeat(20), None),
        ] {
            assert_eq!(chosen(answer, &options), wanted, "{answer}");
        }
    }

    #[test]
    fn a_question_is_right_when_every_rotation_is() {
        let rows = [(7, true), (1_000_007, true), (8, true), (1_000_008, false), (9, true)];
        assert_eq!(circular(&rows), BTreeMap::from([(7, true), (8, false), (9, true)]));
    }

    #[test]
    fn missing_cells_are_those_of_pandas() {
        let columns = texts(&["A", "B", "C", "D"]);
        let cells = texts(&["1", "NA", "3", "nAn"]);
        assert_eq!(choices_of(&columns, &cells), ["1"]);
        assert_eq!(present(&columns, &cells, "D"), None, "LLaVA's own check has any case");
        assert_eq!(present(&columns, &cells, "E"), None);
    }
}
