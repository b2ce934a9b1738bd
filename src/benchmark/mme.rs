//! MME: two questions about each picture, one with the answer yes and one with no, in 14 tasks.

use crate::data::{Data, inside};
use crate::error::{Error, Kind, Result};
use crate::output::{Output, percent};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Question, SHORT, Suite, llava_or, with};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The folder of the published archive.
const FOLDER: &str = "MME_Benchmark_release_version";
/// Tasks whose scores add up to perception.
const PERCEPTION: [&str; 10] =
    ["existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"];
/// Tasks whose scores add up to cognition.
const COGNITION: [&str; 4] = ["commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"];
/// End of every published question; LLaVA's prompts end in [`SHORT`] in its place.
const ENDING: &str = "Please answer yes or no.";

/// A question as it was published.
#[derive(Debug, Clone, PartialEq)]
struct Published {
    task: String,
    /// File of the picture's questions, which the tool names: `NAME.txt`.
    file: String,
    /// The question with its ending.
    question: String,
    truth: bool,
}

struct Mme {
    published: Vec<Published>,
    /// Whether the truths are those of the published files, not inferred from the order.
    known: bool,
}

/// Returns what an answer says: `None` for neither.
pub fn says(answer: &str) -> Option<bool> {
    let answer = answer.to_lowercase();
    match answer.as_str() {
        "yes" => return Some(true),
        "no" => return Some(false),
        _ => {}
    }
    let first: String = answer.chars().take(4).collect();
    if first.contains("yes") { Some(true) } else { first.contains("no").then_some(false) }
}

/// Returns accuracy and accuracy+ of a task, percent: of questions, and of pictures whose questions are all right.
/// `right` holds the picture's name and whether the answer is right.
pub fn task_scores(right: &[(&str, bool)]) -> [f64; 2] {
    let mut pictures: BTreeMap<&str, bool> = BTreeMap::new();
    for (picture, right) in right {
        *pictures.entry(picture).or_insert(true) &= right;
    }
    let each: Vec<bool> = right.iter().map(|(_, right)| *right).collect();
    [percent(&each), percent(&pictures.into_values().collect::<Vec<_>>())]
}

/// Returns the question as LLaVA asks it.
fn asked(published: &str) -> String {
    let question = published.strip_suffix(ENDING).map_or(published, str::trim_end);
    with(question, SHORT)
}

/// Reads the two lines of a picture.
fn pair(data: &Data, path: &Path, task: &str) -> Result<Vec<Published>> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = data.text(path)?;
    let line = |(number, line): (usize, &str)| {
        let wrong = |message: &str| Error::new(Kind::Io, format!("{}: line {}", path.display(), number + 1), message);
        let (question, answer) =
            line.rsplit_once('\t').ok_or_else(|| wrong("has no tab between question and answer"))?;
        let truth = match answer.trim() {
            "Yes" => true,
            "No" => false,
            other => return Err(wrong(&format!("field `answer` is `{other}`, neither Yes nor No"))),
        };
        Ok(Published { task: task.into(), file: file.clone(), question: question.trim().to_owned(), truth })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

/// Returns the names in a folder, sorted.
fn names(data: &Data, folder: &Path) -> Result<Vec<String>> {
    let missing = || Error::new(Kind::Io, folder.display().to_string(), "is no folder that can be read");
    data.files().names(folder).ok_or_else(missing)
}

/// Reads a task of the published folder: its questions, and the picture of each below `folder`.
fn task(data: &Data, folder: &Path, task: &str) -> Result<Vec<(String, Published)>> {
    let (mut images, mut texts) = (format!("{task}/images"), format!("{task}/questions_answers_YN"));
    if data.files().names(&folder.join(&texts)).is_none() {
        (images, texts) = (task.to_owned(), task.to_owned());
    }
    let files = names(data, &folder.join(&images))?;
    let mut found = Vec::new();
    for text in names(data, &folder.join(&texts))?.iter().filter(|name| name.ends_with(".txt")) {
        let stem = text.trim_end_matches("txt");
        let path = folder.join(&texts).join(text);
        let image = files
            .iter()
            .find(|name| name.starts_with(stem) && !name.ends_with(".txt") && !name[stem.len()..].contains('.'));
        let image =
            image.ok_or_else(|| Error::new(Kind::Io, path.display().to_string(), "has no picture of its name"))?;
        found.extend(pair(data, &path, task)?.into_iter().map(|question| (format!("{images}/{image}"), question)));
    }
    Ok(found)
}

/// Restores what was published from a line of LLaVA's file: the truth is yes for the first question of a picture.
fn restored(image: &str, text: &str, first: bool) -> Published {
    let task = image.split('/').next().unwrap_or_default().to_owned();
    let name = image.rsplit('/').next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let question = text.replace(SHORT, "").trim().to_owned() + "  " + ENDING;
    Published { task, file: format!("{stem}.txt"), question, truth: first }
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    data.split(&["all"])?;
    let pictures = data.pictures(FOLDER);
    let mut official = Vec::new();
    for name in PERCEPTION.iter().chain(&COGNITION).filter(|name| data.files().names(&pictures.join(name)).is_some()) {
        official.extend(task(data, &pictures, name)?);
    }
    let llava = data.find(&["llava_mme.jsonl"]);
    let known: HashMap<(String, String), Published> =
        official.iter().map(|(image, p)| ((image.clone(), asked(&p.question)), p.clone())).collect();
    let questions = llava_or(data, &["llava_mme.jsonl"], &pictures, || {
        if official.is_empty() {
            data.need(&["llava_mme.jsonl", FOLDER])?;
        }
        let question = |(image, published): &(String, Published)| {
            Question::new(image.as_str(), pictures.join(image), asked(&published.question))
        };
        Ok(official.iter().map(question).collect())
    })?;
    let mut published: Vec<Published> = official.into_iter().map(|(_, published)| published).collect();
    let mut all_known = true;
    if let Some(path) = llava {
        published.clear();
        let mut before = String::new();
        for (record, question) in data.lines(&path)?.iter().zip(&questions) {
            let image = record.text("image")?.to_owned();
            inside(&pictures, &image, record)?;
            let given = known.get(&(image.clone(), question.text.clone())).cloned();
            all_known &= given.is_some();
            published.push(given.unwrap_or_else(|| restored(&image, &question.text, image != before)));
            before = image;
        }
    }
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(Mme { published, known: all_known }) })
}

/// Returns an answer on one line, as the tool reads it.
fn on_one_line(answer: &str) -> String {
    answer.replace(['\t', '\n', '\r'], " ")
}

impl Finish for Mme {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let Published { truth, .. } = *self.published.get(index)?;
        Some(Mark::new(if truth { "Yes" } else { "No" }, says(&on_one_line(text)) == Some(truth)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        let mut right: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
        for (index, _, text) in answers.iter() {
            let Published { task, file, question, truth } = &self.published[index];
            let answer = on_one_line(text);
            let label = if *truth { "Yes" } else { "No" };
            *lines.entry(task).or_default() += &format!("{file}\t{question}\t{label}\t{answer}\n");
            right.entry(task).or_default().push((file, says(&answer) == Some(*truth)));
        }
        for (task, text) in lines {
            out.file(&format!("mme/{task}.txt"), text.into_bytes(), "MME's calculation.py --results_dir");
        }
        for (name, tasks) in [("perception", &PERCEPTION[..]), ("cognition", &COGNITION[..])] {
            let mut total = (0.0, 0);
            for task in tasks.iter().filter_map(|task| right.get_key_value(task)) {
                let [accuracy, plus] = task_scores(task.1);
                out.row(format!("{}: accuracy", task.0), accuracy, task.1.len());
                out.row(format!("{}: accuracy+", task.0), plus, task.1.len() / 2);
                total = (total.0 + accuracy + plus, total.1 + task.1.len());
            }
            if total.1 > 0 {
                out.row(format!("{name} (points, at most {})", 200 * tasks.len()), total.0, total.1);
            }
        }
        if !self.known {
            out.note("some truths are inferred from the order (yes, then no): MME's own folder is not there");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_characters_decide() {
        for (answer, wanted) in [
            ("Yes", Some(true)),
            ("no", Some(false)),
            ("Yes, it is", Some(true)),
            ("No.", Some(false)),
            ("It is no", None),
            ("not", Some(false)),
            (" yes", Some(true)),
            ("eyes", Some(true)),
            ("Unknown", None),
            ("", None),
        ] {
            assert_eq!(says(answer), wanted, "{answer}");
        }
    }

    #[test]
    fn a_picture_counts_when_both_answers_are_right() {
        // 3 of 4 questions, 1 of 2 pictures.
        assert_eq!(task_scores(&[("a", true), ("a", true), ("b", true), ("b", false)]), [75.0, 50.0]);
    }

    #[test]
    fn questions_lose_their_ending_and_get_it_back() {
        let question = "Is there a red star?  Please answer yes or no.";
        let asked = asked(question);
        assert_eq!(asked, "Is there a red star?\nAnswer the question using a single word or phrase.");
        let restored = restored("posters/images/a.b.jpg", &asked, true);
        assert_eq!((&*restored.question, &*restored.file, &*restored.task), (question, "a.b.txt", "posters"));
    }
}
