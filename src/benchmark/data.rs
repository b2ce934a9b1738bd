//! Published files: where they lie, and their fields.
//!
//! Every field is read through a [`Record`], whose errors name the file, the line or the place in it, and the field.

use crate::error::{Error, Kind, Result};
use crate::files::Files;
use crate::{ensure, fail};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Folders below the data folder in which published archives keep their files.
const BELOW: [&str; 5] = ["", "data", "coco", "output/coco", "mm-vet"];

/// The folder of a benchmark's published files, and the part of it that is asked.
#[derive(Debug, Clone)]
pub struct Data {
    /// The folder; empty where `files` are named relative to it.
    pub folder: PathBuf,
    /// Name of the part; `None` for the usual one.
    pub split: Option<String>,
    /// Its files.
    files: Rc<dyn Files>,
}

impl Data {
    /// Makes the part `split` of what `files` has in `folder`.
    pub fn new(files: Rc<dyn Files>, folder: impl Into<PathBuf>, split: Option<String>) -> Self {
        Self { folder: folder.into(), split, files }
    }

    /// Returns the folder's name for errors.
    pub fn place(&self) -> String {
        if self.folder.as_os_str().is_empty() { "the folder".into() } else { self.folder.display().to_string() }
    }

    /// Returns the files.
    pub fn files(&self) -> &dyn Files {
        &*self.files
    }

    /// Finds the first of `names` in the folder, or in one of the folders that archives make below it.
    pub fn find(&self, names: &[&str]) -> Option<PathBuf> {
        let places = names.iter().flat_map(|name| BELOW.map(|below| self.folder.join(below).join(name)));
        places.into_iter().find(|path| self.files.exists(path))
    }

    /// Finds the first of `names`.
    ///
    /// # Errors
    /// [`Kind::Io`] with all names when there is none.
    pub fn need(&self, names: &[&str]) -> Result<PathBuf> {
        self.find(names).ok_or_else(|| {
            let message = format!("holds no {}", names.join(" and no "));
            Error::new(Kind::Io, self.place(), message)
                .hint("src/docs/benchmarks.md lists the files of every benchmark")
        })
    }

    /// Returns the folder of pictures called `name`, whether it exists or not.
    pub fn pictures(&self, name: &str) -> PathBuf {
        self.find(&[name]).unwrap_or_else(|| self.folder.join(name))
    }

    /// Returns the part that is asked; the first of `known` is the usual one.
    ///
    /// # Errors
    /// [`Kind::Argument`] for a name that is not among them.
    pub fn split<'a>(&self, known: &[&'a str]) -> Result<&'a str> {
        let Some(wanted) = &self.split else { return Ok(known.first().copied().unwrap_or_default()) };
        match known.iter().find(|name| *name == wanted) {
            Some(name) => Ok(name),
            None => fail!(Argument, "--split", "`{wanted}` is not a part of this benchmark: {}", known.join(", ")),
        }
    }

    /// Reads a file that is one JSON value.
    ///
    /// # Errors
    /// [`Kind::Io`] when it cannot be read, or is no JSON, with line and column.
    pub fn json(&self, path: &Path) -> Result<Record> {
        let place = path.display().to_string();
        let malformed = |e: serde_json::Error| Error::new(Kind::Io, &*place, format!("is no JSON: {e}"));
        let value = serde_json::from_str(&self.text(path)?).map_err(malformed)?;
        Ok(Record { place, value })
    }

    /// Reads a file of JSON lines. Blank lines are skipped.
    ///
    /// # Errors
    /// [`Kind::Io`] when it cannot be read, or a line is no JSON object, with the line's number.
    pub fn lines(&self, path: &Path) -> Result<Vec<Record>> {
        Record::lines(&self.text(path)?, &path.display().to_string())
    }

    /// Reads a text file in UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// [`Kind::Io`], naming it.
    pub fn text(&self, path: &Path) -> Result<String> {
        text_of(self.files.read(path)?, path)
    }
}

/// Returns the text of a file in UTF-8, without a byte order mark.
///
/// # Errors
/// [`Kind::Io`], naming it.
pub fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let text = String::from_utf8(bytes);
    let text = text.map_err(|e| Error::new(Kind::Io, path.display().to_string(), format!("is no UTF-8 text: {e}")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A JSON value and its place: a file, a line of it, a path of fields.
#[derive(Debug, Clone)]
pub struct Record {
    /// Place, for errors.
    pub place: String,
    value: Value,
}

impl Record {
    /// Wraps a value that was read at `place`.
    pub fn new(place: impl Into<String>, value: Value) -> Self {
        Self { place: place.into(), value }
    }

    /// Reads JSON lines; `place` names their file. Blank lines are skipped.
    ///
    /// # Errors
    /// [`Kind::Io`] when a line is no JSON object, with the line's number.
    pub fn lines(text: &str, place: &str) -> Result<Vec<Self>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let record = |(number, line): (usize, &str)| {
            let place = format!("{place}: line {}", number + 1);
            let value = serde_json::from_str(line);
            let value: Value = value.map_err(|e| Error::new(Kind::Io, &*place, format!("is no JSON: {e}")))?;
            ensure!(value.is_object(), Io, place, "is no JSON object");
            Ok(Self { place, value })
        };
        lines.map(record).collect()
    }

    fn object(&self) -> Result<&Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.wrong("is no JSON object".into()))
    }

    fn wrong(&self, message: String) -> Error {
        Error::new(Kind::Io, &*self.place, message)
    }

    /// Returns an error about a field.
    pub fn refused(&self, field: &str, message: &str) -> Error {
        self.wrong(format!("field `{field}` {message}"))
    }

    fn field(&self, name: &str) -> Result<&Value> {
        self.object()?.get(name).ok_or_else(|| self.refused(name, "is missing"))
    }

    /// Returns the items of an array.
    ///
    /// # Errors
    /// [`Kind::Io`] for another type.
    pub fn into_list(self) -> Result<Vec<Self>> {
        match self.value {
            Value::Array(list) => {
                let item = |(i, value)| Self { place: format!("{}[{i}]", self.place), value };
                Ok(list.into_iter().enumerate().map(item).collect())
            }
            _ => Err(self.wrong("is no list".into())),
        }
    }

    /// Returns the entries of an object, in the order of the file.
    ///
    /// # Errors
    /// [`Kind::Io`] for another type.
    pub fn into_map(self) -> Result<Vec<(String, Self)>> {
        match self.value {
            Value::Object(map) => {
                let entry = |(key, value)| {
                    let place = format!("{}: `{key}`", self.place);
                    (key, Self { place, value })
                };
                Ok(map.into_iter().map(entry).collect())
            }
            _ => Err(self.wrong("is no JSON object".into())),
        }
    }

    /// Takes a field out, and leaves null.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing.
    pub fn take(&mut self, name: &str) -> Result<Self> {
        self.field(name)?;
        let value = self.value.get_mut(name).map(Value::take).unwrap_or_default();
        Ok(Self { place: format!("{}: `{name}`", self.place), value })
    }

    /// Returns a text.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing, or of another type.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.field(name)?.as_str().ok_or_else(|| self.refused(name, "is no text"))
    }

    /// Returns a text that may be absent, or null.
    ///
    /// # Errors
    /// [`Kind::Io`] for another type.
    pub fn maybe_text(&self, name: &str) -> Result<Option<&str>> {
        match self.object()?.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.refused(name, "is no text")),
        }
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing, or of another type.
    pub fn integer(&self, name: &str) -> Result<i64> {
        self.field(name)?.as_i64().ok_or_else(|| self.refused(name, "is no whole number"))
    }

    /// Returns true or false.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing, or of another type.
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.field(name)?.as_bool().ok_or_else(|| self.refused(name, "is neither true nor false"))
    }

    /// Returns an id: a text or a whole number.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing, or of another type.
    pub fn id(&self, name: &str) -> Result<Value> {
        match self.field(name)? {
            id @ (Value::String(_) | Value::Number(_)) => Ok(id.clone()),
            _ => Err(self.refused(name, "is neither a text nor a number")),
        }
    }

    /// Returns a list of texts.
    ///
    /// # Errors
    /// [`Kind::Io`] when it is missing, or of another type.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let list = self.field(name)?.as_array().ok_or_else(|| self.refused(name, "is no list"))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        list.iter()
            .map(text)
            .collect::<Option<_>>()
            .ok_or_else(|| self.refused(name, "holds something that is no text"))
    }

    /// Returns the answers of ten people to a question, as VQAv2 and VizWiz list them: `answers: [{ answer, … }]`.
    ///
    /// # Errors
    /// [`Kind::Io`] when they are missing, or not ten.
    pub fn human_answers(&self) -> Result<Vec<String>> {
        let list = self.field("answers")?.as_array().ok_or_else(|| self.refused("answers", "is no list"))?;
        let text = |value: &Value| value.get("answer").and_then(Value::as_str).map(str::to_owned);
        let answers: Option<Vec<String>> = list.iter().map(text).collect();
        let answers = answers.ok_or_else(|| self.refused("answers", "holds an item without the text `answer`"))?;
        self.ten(answers)
    }

    /// Checks that there are ten answers.
    ///
    /// # Errors
    /// [`Kind::Io`] when there are not.
    pub fn ten(&self, answers: Vec<String>) -> Result<Vec<String>> {
        match answers.len() {
            10 => Ok(answers),
            n => Err(self.refused("answers", &format!("holds {n} answers; VQA's accuracy takes 10"))),
        }
    }
}

/// Returns the name of an image file whose path comes from a published file, inside `folder`.
///
/// # Errors
/// [`Kind::Io`] for a path that leaves the folder.
pub fn inside(folder: &Path, name: &str, record: &Record) -> Result<PathBuf> {
    let normal = |c| matches!(c, std::path::Component::Normal(_));
    let path = Path::new(name);
    if name.is_empty() || !path.components().all(normal) {
        return Err(record.refused("image", &format!("`{name}` is no file inside the folder of pictures")));
    }
    Ok(folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_place_and_field() {
        let record =
            Record::new("a.jsonl: line 7", json!({"n": 1, "t": "x", "l": ["a", 2], "answers": [{"answer": "a"}]}));
        let message = |error: Error| error.to_string();
        assert_eq!(message(record.text("image").unwrap_err()), "a.jsonl: line 7: field `image` is missing");
        assert_eq!(message(record.text("n").unwrap_err()), "a.jsonl: line 7: field `n` is no text");
        assert_eq!(message(record.integer("t").unwrap_err()), "a.jsonl: line 7: field `t` is no whole number");
        assert!(message(record.texts("l").unwrap_err()).contains("`l` holds something that is no text"));
        assert!(message(record.flag("t").unwrap_err()).contains("`t` is neither true nor false"));
        assert!(message(record.id("l").unwrap_err()).contains("`l` is neither"));
        assert!(message(record.human_answers().unwrap_err()).contains("holds 1 answers; VQA's accuracy takes 10"));
        assert_eq!(record.maybe_text("none").unwrap(), None);
        assert!(record.maybe_text("n").is_err());
        for wrong in ["../a.jpg", "/etc/passwd", ""] {
            assert!(inside(Path::new("d"), wrong, &record).is_err(), "{wrong}");
        }
        assert_eq!(inside(Path::new("d"), "train/a.jpg", &record).unwrap(), Path::new("d/train/a.jpg"));
    }
}
