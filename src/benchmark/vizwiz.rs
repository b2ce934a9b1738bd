//! VizWiz: photographs and questions of blind people. `test` is scored by a server; `val` is scored here.

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::{Output, mean};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Picture, Question, SHORT, Suite, capitalize, llava_or};
use crate::vqa_text::{m4c, official_accuracy};
use serde_json::{Value, json};

/// What the model says about a picture that does not show the answer.
const UNANSWERABLE: &str = "When the provided information is insufficient, respond with 'Unanswerable'.";

struct VizWiz {
    /// Ten answers for each question of `val`; none for `test`.
    labels: Vec<Vec<String>>,
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    let split = data.split(&["test", "val"])?;
    let (file, llava): (String, &[&str]) =
        (format!("{split}.json"), if split == "test" { &["llava_test.jsonl"] } else { &[] });
    let pictures = data.pictures(split);
    let mut labels = Vec::new();
    let questions = llava_or(data, llava, &pictures, || {
        let records = data.json(&data.need(&[&file])?)?.into_list()?;
        let question = |(index, record): (usize, &Record)| {
            let text = format!("{}\n{UNANSWERABLE}\n{SHORT}", capitalize(record.text("question")?));
            Ok(Question::new(index, inside(&pictures, record.text("image")?, record)?, text))
        };
        if split == "val" {
            labels = records.iter().map(Record::human_answers).collect::<Result<_>>()?;
        }
        records.iter().enumerate().map(question).collect()
    })?;
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(VizWiz { labels }) })
}

impl Finish for VizWiz {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let people = self.labels.get(index)?;
        Some(Mark::of_people(people, official_accuracy(text, people)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let name = |question: &Question| match &question.picture {
            Some(Picture::File(path)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            _ => String::new(),
        };
        let entry =
            |(_, question, text): (usize, &Question, &str)| json!({ "image": name(question), "answer": m4c(text) });
        let upload: Vec<Value> = answers.iter().map(entry).collect();
        out.json("vizwiz_upload.json", &upload.into(), "EvalAI, challenge 2185, which takes all 8,000 answers of test");
        let scored =
            answers.iter().filter_map(|(index, _, text)| Some(official_accuracy(text, self.labels.get(index)?)));
        let scores: Vec<f64> = scored.map(|score| 100.0 * score).collect();
        if !scores.is_empty() {
            out.row("accuracy", mean(&scores), scores.len());
        }
        Ok(())
    }
}
