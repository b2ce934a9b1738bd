//! TextVQA (val): questions about writing in pictures, asked with the words that an OCR system (Rosetta) read.

use crate::data::{Data, Record};
use crate::error::Result;
use crate::output::{Output, mean};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Question, SHORT, Suite, capitalize, llava_or};
use crate::vqa_text::m4c_accuracy;
use serde_json::Value;
use std::collections::HashMap;

struct TextVqa {
    /// Ten answers by id of the picture and the question in lower case.
    labels: HashMap<(String, String), Vec<String>>,
}

/// Returns the user's text: question, words, suffix.
pub fn prompt(question: &str, words: &[String]) -> String {
    format!("{}\nReference OCR token: {}\n{SHORT}", capitalize(question), words.join(", "))
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    data.split(&["val"])?;
    let pictures = data.pictures("train_images");
    let file = data.find(&["TextVQA_0.5.1_val.json"]);
    let official = match &file {
        Some(path) => data.json(path)?.take("data")?.into_list()?,
        None => Vec::new(),
    };
    let questions = llava_or(data, &["llava_textvqa_val_v051_ocr.jsonl"], &pictures, || {
        data.need(&["TextVQA_0.5.1_val.json"])?;
        let read = data.json(&data.need(&["TextVQA_Rosetta_OCR_v0.2_val.json"])?)?.take("data")?.into_list()?;
        let words = read.iter().map(|r| Ok((r.text("image_id")?.to_owned(), r.texts("ocr_tokens")?)));
        let words: HashMap<String, Vec<String>> = words.collect::<Result<_>>()?;
        let question = |record: &Record| {
            let image = record.text("image_id")?;
            let words = words.get(image).ok_or_else(|| record.refused("image_id", "has no entry in the OCR file"))?;
            let file = crate::data::inside(&pictures, &format!("{image}.jpg"), record)?;
            Ok(Question::new(image, file, prompt(record.text("question")?, words)))
        };
        official.iter().map(question).collect()
    })?;
    let label = |record: &Record| {
        let key = (record.text("image_id")?.to_owned(), record.text("question")?.to_lowercase());
        Ok((key, record.ten(record.texts("answers")?)?))
    };
    let labels = official.iter().map(label).collect::<Result<_>>()?;
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(TextVqa { labels }) })
}

impl TextVqa {
    /// Returns ten people's answers, by the picture and the first line of the prompt.
    fn people(&self, question: &Question) -> Option<&Vec<String>> {
        let first = question.prompt.split('\n').next().unwrap_or_default().to_lowercase();
        self.labels.get(&(question.id.as_str()?.to_owned(), first))
    }
}

impl Finish for TextVqa {
    fn mark(&self, _: usize, question: &Question, text: &str) -> Option<Mark> {
        let people = self.people(question)?;
        Some(Mark::of_people(people, m4c_accuracy(text, people)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let mut scores = Vec::new();
        let mut unknown = 0;
        for (_, question, text) in answers.iter() {
            let Value::String(_) = &question.id else { continue };
            match self.people(question) {
                Some(people) => scores.push(100.0 * m4c_accuracy(text, people)),
                None => unknown += 1,
            }
        }
        match scores.is_empty() {
            true => out.note("no labels: TextVQA_0.5.1_val.json is not in the folder"),
            false => out.row("accuracy", mean(&scores), scores.len()),
        }
        if unknown > 0 && !scores.is_empty() {
            out.note(format!("{unknown} questions have no label in TextVQA_0.5.1_val.json and are not scored"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_end_their_first_line_where_the_scorer_looks() {
        let words = ["NOKIA".to_owned(), "12:34".to_owned()];
        assert_eq!(
            prompt("what is the brand of this CAMERA?", &words),
            "What is the brand of this camera?\nReference OCR token: NOKIA, 12:34\n\
             Answer the question using a single word or phrase."
        );
        assert!(prompt("x", &[]).contains("\nReference OCR token: \n"), "the blank stays without words");
    }
}
