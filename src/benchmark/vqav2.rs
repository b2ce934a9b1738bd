//! VQAv2: COCO pictures, ten human answers. The published part (`test`) is scored by a server; `val` is scored here.

use crate::data::{Data, Record};
use crate::error::Result;
use crate::output::{Output, mean};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Question, SHORT, Suite, llava_or, with};
use crate::vqa_text::{m4c, official_accuracy};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a person said about a question of val2014.
struct Label {
    question_type: String,
    answer_type: String,
    answers: Vec<String>,
}

struct Vqa {
    /// Ids of every question of test2015, in the order of the file; of the asked ones where that is not at hand.
    upload: Vec<Value>,
    whole: bool,
    labels: HashMap<String, Label>,
}

/// Reads the questions of an official file: `(question_id, image_id, question)`.
fn official(data: &Data, path: &Path) -> Result<Vec<(i64, i64, String)>> {
    let read = |q: Record| Ok((q.integer("question_id")?, q.integer("image_id")?, q.text("question")?.to_owned()));
    data.json(path)?.take("questions")?.into_list()?.into_iter().map(read).collect()
}

fn labels(data: &Data, path: &Path) -> Result<HashMap<String, Label>> {
    let read = |a: Record| {
        let [question_type, answer_type] = ["question_type", "answer_type"].map(|f| a.text(f).map(str::to_owned));
        let label = Label { question_type: question_type?, answer_type: answer_type?, answers: a.human_answers()? };
        Ok((a.integer("question_id")?.to_string(), label))
    };
    data.json(path)?.take("annotations")?.into_list()?.into_iter().map(read).collect()
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    let test = data.split(&["test", "val"])? == "test";
    let (folder, official_names, llava): (_, &[&str], &[&str]) = match test {
        true => (
            "test2015",
            &["v2_OpenEnded_mscoco_test-dev2015_questions.json"],
            &["llava_vqav2_mscoco_test-dev2015.jsonl"],
        ),
        false => ("val2014", &["v2_OpenEnded_mscoco_val2014_questions.json"], &[]),
    };
    let pictures = data.pictures(folder);
    let questions = llava_or(data, llava, &pictures, || {
        let question = |(id, image, text): (i64, i64, String)| {
            Question::new(id, pictures.join(format!("COCO_{folder}_{image:012}.jpg")), with(&text, SHORT))
        };
        Ok(official(data, &data.need(official_names)?)?.into_iter().map(question).collect())
    })?;
    let labels = match test {
        true => HashMap::new(),
        false => labels(data, &data.need(&["v2_mscoco_val2014_annotations.json"])?)?,
    };
    let all = match data.find(&["v2_OpenEnded_mscoco_test2015_questions.json"]) {
        Some(path) if test => Some(official(data, &path)?.into_iter().map(|(id, ..)| json!(id)).collect()),
        _ => match data.find(&["llava_vqav2_mscoco_test2015.jsonl"]) {
            Some(path) if test => Some(data.lines(&path)?.iter().map(|q| q.id("question_id")).collect::<Result<_>>()?),
            _ => None,
        },
    };
    let whole = all.is_some() || !test;
    let upload = all.unwrap_or_else(|| questions.iter().map(|question| question.id.clone()).collect());
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(Vqa { upload, whole, labels }) })
}

impl Finish for Vqa {
    fn mark(&self, _: usize, question: &Question, text: &str) -> Option<Mark> {
        let people = &self.labels.get(&question.id.to_string())?.answers;
        Some(Mark::of_people(people, official_accuracy(text, people)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let given: HashMap<String, &str> = answers.iter().map(|(_, q, text)| (q.id.to_string(), text)).collect();
        let entry = |id: &Value| {
            let text = given.get(&id.to_string()).map(|text| m4c(text)).unwrap_or_default();
            json!({ "question_id": id, "answer": text })
        };
        let upload: Vec<Value> = self.upload.iter().map(entry).collect();
        out.json("vqav2_upload.json", &upload.into(), "EvalAI, challenge 830, phase test-dev");
        if !self.whole {
            out.note("the question file of all of test2015 is not in the folder: EvalAI refuses a list without them");
        }
        let mut by_answer: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut by_question: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut all = Vec::new();
        for (_, question, text) in answers.iter() {
            let Some(label) = self.labels.get(&question.id.to_string()) else { continue };
            let score = 100.0 * official_accuracy(text, &label.answers);
            by_answer.entry(&label.answer_type).or_default().push(score);
            by_question.entry(&label.question_type).or_default().push(score);
            all.push(score);
        }
        if all.is_empty() {
            return Ok(());
        }
        out.row("accuracy", mean(&all), all.len());
        by_answer.iter().for_each(|(name, scores)| out.row(format!("accuracy, {name}"), mean(scores), scores.len()));
        by_question
            .iter()
            .for_each(|(name, scores)| out.detail(format!("accuracy, {name}"), mean(scores), scores.len()));
        Ok(())
    }
}
