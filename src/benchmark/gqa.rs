//! GQA (balanced testdev): exact match, by structure and meaning of the question.
//!
//! # Source
//! `eval.py` of GQA. Consistency, validity, plausibility and grounding take files that testdev does not have.

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::{Output, percent};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Question, SHORT, Suite, llava_or, with};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// What the scorer reads about a question.
struct Label {
    answer: String,
    structural: String,
    semantic: String,
    group: Option<String>,
    balanced: bool,
    /// Words of the question.
    words: usize,
    /// Operations of the question's program, as the scorer counts them; `None` where the file has no programs.
    steps: Option<usize>,
}

struct Gqa {
    labels: HashMap<String, Label>,
}

/// Returns the prediction that the scorer compares: without trailing full stops, in lower case.
pub fn prediction(text: &str) -> String {
    text.trim_end_matches('.').to_lowercase()
}

/// Counts the operations of a program, without those that only name or look for an object.
fn steps(mut record: Record) -> Result<Option<usize>> {
    let Ok(program) = record.take("semantic") else { return Ok(None) };
    let counts = |step: Record| {
        let text = format!("{}: {}", step.text("operation")?, step.text("argument")?);
        Ok(!["exist", "query: name", "choose name"].iter().any(|part| text.contains(part)))
    };
    let counted = program.into_list()?.into_iter().map(counts).collect::<Result<Vec<bool>>>()?;
    Ok(Some(counted.into_iter().filter(|counts| *counts).count()))
}

fn label(mut record: Record) -> Result<Label> {
    let (types, groups) = (record.take("types")?, record.take("groups")?);
    Ok(Label {
        answer: record.text("answer")?.to_owned(),
        structural: types.text("structural")?.to_owned(),
        semantic: types.text("semantic")?.to_owned(),
        group: groups.maybe_text("global")?.map(str::to_owned),
        balanced: record.flag("isBalanced")?,
        words: record.text("question")?.split_whitespace().count(),
        steps: steps(record)?,
    })
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    const FILE: &str = "testdev_balanced_questions.json";
    data.split(&["testdev"])?;
    let pictures = data.pictures("images");
    let mut official = match data.find(&[FILE, "questions/testdev_balanced_questions.json"]) {
        Some(path) => data.json(&path)?.into_map()?,
        None => Vec::new(),
    };
    let questions = llava_or(data, &["llava_gqa_testdev_balanced.jsonl"], &pictures, || {
        data.need(&[FILE, "questions/testdev_balanced_questions.json"])?;
        let question = |(id, record): &(String, Record)| {
            let image = inside(&pictures, &format!("{}.jpg", record.text("imageId")?), record)?;
            Ok(Question::new(id.as_str(), image, with(record.text("question")?, SHORT)))
        };
        official.iter().map(question).collect()
    })?;
    let labels = official.drain(..).map(|(id, record)| Ok((id, label(record)?))).collect::<Result<_>>()?;
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(Gqa { labels }) })
}

/// Counts of answers by group.
type Histogram<'a> = BTreeMap<&'a str, BTreeMap<String, f64>>;

/// Returns the chi-square statistic of the predicted answers against the true ones, averaged over groups by their size,
/// divided by 100 as GQA prints it. Lower is better.
fn distribution(truth: &Histogram<'_>, predicted: &Histogram<'_>) -> f64 {
    let (mut sum, mut all) = (0.0, 0.0);
    for (group, answers) in truth {
        let size: f64 = answers.values().sum();
        let found = |answer: &String| predicted.get(group).and_then(|answers| answers.get(answer)).unwrap_or(&0.0);
        let score: f64 = answers.iter().map(|(answer, n)| (found(answer) - n).powi(2) / n).sum();
        sum += score * size;
        all += size;
    }
    sum / f64::max(all, 1.0) / 100.0
}

/// Returns the id of a question as the official file has it.
fn id(question: &Question) -> String {
    question.id.as_str().map_or_else(|| question.id.to_string(), str::to_owned)
}

impl Finish for Gqa {
    fn mark(&self, _: usize, question: &Question, text: &str) -> Option<Mark> {
        let label = self.labels.get(&id(question))?;
        Some(Mark::new(label.answer.as_str(), prediction(text) == label.answer))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let entry =
            |(_, q, text): (usize, &Question, &str)| json!({ "questionId": id(q), "prediction": prediction(text) });
        let predictions: Vec<Value> = answers.iter().map(entry).collect();
        out.json("testdev_balanced_predictions.json", &predictions.into(), "GQA's eval.py --tier testdev_balanced");
        let mut rights: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        let (mut truth, mut predicted) = (Histogram::new(), Histogram::new());
        for (_, question, text) in answers.iter() {
            let Some(label) = self.labels.get(&id(question)).filter(|label| label.balanced) else { continue };
            let given = prediction(text);
            let kind = if label.structural == "query" { "open" } else { "binary" };
            let types = [format!("structural: {}", label.structural), format!("semantic: {}", label.semantic)];
            let words = format!("words: {:02}", label.words);
            let steps = label.steps.map(|steps| format!("steps: {steps:02}"));
            let names = ["all".to_owned(), kind.to_owned(), words].into_iter().chain(types).chain(steps);
            for name in names {
                rights.entry(name).or_default().push(given == label.answer);
            }
            if let Some(group) = &label.group {
                *truth.entry(group).or_default().entry(label.answer.clone()).or_default() += 1.0;
                *predicted.entry(group).or_default().entry(given).or_default() += 1.0;
            }
        }
        let Some(all) = rights.remove("all") else {
            out.note("no labels: testdev_balanced_questions.json is not in the folder");
            return Ok(());
        };
        out.accuracy("accuracy", &all);
        for (name, right) in &rights {
            match name.contains(':') {
                true => out.detail(format!("accuracy, {name}"), percent(right), right.len()),
                false => out.accuracy(format!("accuracy, {name}"), right),
            }
        }
        out.row("distribution (lower is better)", distribution(&truth, &predicted), all.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_leave_out_what_only_names_an_object() {
        let step = |operation: &str, argument: &str| json!({ "operation": operation, "argument": argument });
        let program =
            [step("select", "dog (1)"), step("verify color", "red"), step("exist", "?"), step("query", "name")];
        let record = |value: Value| Record::new("q", value);
        assert_eq!(steps(record(json!({ "semantic": program }))).unwrap(), Some(2));
        assert_eq!(steps(record(json!({}))).unwrap(), None);
        let error = steps(record(json!({ "semantic": [{ "operation": "select" }] }))).unwrap_err().to_string();
        assert_eq!(error, "q: `semantic`[0]: field `argument` is missing");
    }

    #[test]
    fn predictions_lose_trailing_stops_and_case_only() {
        assert_eq!(prediction("Yes."), "yes");
        assert_eq!(prediction("No..."), "no");
        assert_eq!(prediction("St. Bernard"), "st. bernard");
        assert_eq!(prediction("a cat"), "a cat", "articles stay");
    }

    #[test]
    fn the_distribution_of_a_worked_example() {
        let histogram = |list: &[(&'static str, &str, f64)]| {
            let mut all = Histogram::new();
            list.iter().for_each(|(group, answer, n)| {
                all.entry(group).or_default().insert((*answer).to_owned(), *n);
            });
            all
        };
        let truth = histogram(&[("colour", "red", 3.0), ("colour", "blue", 1.0), ("animal", "cat", 2.0)]);
        let predicted = histogram(&[("colour", "red", 1.0), ("colour", "green", 3.0), ("animal", "cat", 2.0)]);
        // colour: (1 - 3)²/3 + (0 - 1)²/1 = 7/3 over 4 questions; animal: 0 over 2. (7/3 · 4 + 0) / 6 / 100.
        assert!((distribution(&truth, &predicted) - 7.0 / 3.0 * 4.0 / 6.0 / 100.0).abs() < 1e-12);
    }
}
