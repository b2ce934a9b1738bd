//! Answers as they come, in a file from which a run that was ended continues.
//!
//! The first line holds the settings of the run; every other one an answer. A line that a killed run wrote half is cut off.

use crate::question::Question;
use llava_web::error::{Error, Kind, Result};
use llava_web::native::io_error;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file's name in the folder of a run.
pub const NAME: &str = "journal.jsonl";

/// An open journal. It is locked: two runs do not write to one.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or begins the journal in `folder`, and returns the answers that it holds, by question.
    ///
    /// # Errors
    /// [`Kind::State`] when another run has it open, or it belongs to other settings; [`Kind::Io`] when it cannot be
    /// read or written, or a line of it is malformed, with the line's number.
    pub fn open(folder: &Path, settings: &Value, questions: &[Question]) -> Result<(Self, Vec<Option<String>>)> {
        let path = folder.join(NAME);
        let io = |e: std::io::Error| io_error(&path, &e);
        std::fs::create_dir_all(folder).map_err(|e| io_error(folder, &e))?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        if file.try_lock().is_err() {
            let error = Error::new(Kind::State, path.display().to_string(), "another run is writing it");
            return Err(error.hint("wait for it, or choose another folder with --out"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = whole_lines(&bytes);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::Start(whole as u64)).map_err(io)?;
        let mut journal = Self { file, path };
        let mut given = vec![None; questions.len()];
        if whole == 0 {
            journal.write(settings)?;
            return Ok((journal, given));
        }
        for (number, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let place = || format!("{}: line {}", journal.path.display(), number + 1);
            let value: Value = serde_json::from_slice(line)
                .map_err(|e| Error::new(Kind::Io, place(), format!("is no JSON: {e}")).hint("delete the file"))?;
            match number {
                0 => same_settings(&journal.path, settings, &value)?,
                _ => answer(&value, questions, &mut given)
                    .map_err(|why| Error::new(Kind::Io, place(), why).hint("delete the file"))?,
            }
        }
        Ok((journal, given))
    }

    /// Writes the answer to question `index`.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn record(&mut self, index: usize, question: &Question, text: &str) -> Result<()> {
        self.write(&json!({ "index": index, "question_id": question.id, "text": text }))
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        // One write: a run that is killed leaves whole lines, except where the disk itself stops.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|e| io_error(&self.path, &e))
    }
}

/// Returns the length of the lines that are whole.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

/// Reads a line with an answer into its place.
fn answer(line: &Value, questions: &[Question], given: &mut [Option<String>]) -> std::result::Result<(), String> {
    let index = line["index"].as_u64().and_then(|index| usize::try_from(index).ok());
    let index = index.filter(|index| *index < given.len()).ok_or("field `index` is no question's")?;
    let text = line["text"].as_str().ok_or("field `text` is no text")?;
    if line["question_id"] != questions[index].id {
        return Err(format!("field `question_id` is {}, not {}", line["question_id"], questions[index].id));
    }
    if given[index].replace(text.to_owned()).is_some() {
        return Err(format!("question {index} was answered before"));
    }
    Ok(())
}

/// Checks that a journal was begun with these settings.
fn same_settings(path: &Path, settings: &Value, found: &Value) -> Result<()> {
    let fields = settings.as_object().into_iter().flatten();
    for (name, wanted) in fields {
        if found[name] != *wanted {
            let message = format!("was begun with {name} {}, not {wanted}", found[name]);
            return Err(Error::new(Kind::State, path.display().to_string(), message)
                .hint("choose another folder with --out, or delete the file"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(n: usize) -> Vec<Question> {
        (0..n).map(|i| Question::new(i * 10, format!("{i}.png").into(), "What?".into())).collect()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("llava-journal-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn torn_lines_are_cut_and_whole_ones_kept() {
        let (folder, questions, settings) = (folder("torn"), questions(3), json!({ "model": "m" }));
        let (mut journal, given) = Journal::open(&folder, &settings, &questions).unwrap();
        assert_eq!(given, [None, None, None]);
        journal.record(1, &questions[1], "a\nb").unwrap();
        let whole = std::fs::read(folder.join(NAME)).unwrap();
        journal.file.write_all(b"{\"index\":2,\"question_id\":20,\"te").unwrap();
        drop(journal);
        let (mut journal, given) = Journal::open(&folder, &settings, &questions).unwrap();
        assert_eq!(given, [None, Some("a\nb".to_owned()), None]);
        assert_eq!(std::fs::read(folder.join(NAME)).unwrap(), whole);
        journal.record(2, &questions[2], "c").unwrap();
        drop(journal);
        let (_, given) = Journal::open(&folder, &settings, &questions).unwrap();
        assert_eq!(given[2].as_deref(), Some("c"));
    }

    #[test]
    fn other_settings_other_questions_and_other_runs_are_refused() {
        let (folder, questions, settings) = (folder("other"), questions(2), json!({ "model": "m", "limit": 3 }));
        let (mut journal, _) = Journal::open(&folder, &settings, &questions).unwrap();
        journal.record(0, &questions[0], "a").unwrap();
        let error = Journal::open(&folder, &settings, &questions).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        drop(journal);
        let error = Journal::open(&folder, &json!({ "model": "n", "limit": 3 }), &questions).unwrap_err().to_string();
        assert!(error.contains("was begun with model \"m\", not \"n\""), "{error}");
        let mut renumbered = questions.clone();
        renumbered[0].id = json!("x");
        let error = Journal::open(&folder, &settings, &renumbered).unwrap_err().to_string();
        assert!(error.contains("line 2: field `question_id` is 0, not \"x\""), "{error}");
        let twice = std::fs::read_to_string(folder.join(NAME)).unwrap();
        let last = twice.lines().last().unwrap();
        std::fs::write(folder.join(NAME), format!("{twice}{last}\n")).unwrap();
        let error = Journal::open(&folder, &settings, &questions).unwrap_err().to_string();
        assert!(error.contains("line 3: question 0 was answered before"), "{error}");
    }
}
