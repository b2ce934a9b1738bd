//! LLaVA-Bench (in the wild) and MM-Vet: long answers, which a judge model scores. Only the answers are written here.

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::Output;
use crate::question::{Answers, Finish, LONG_TOKENS, Question, Suite, llava_lines, llava_or};
use serde_json::{Map, Value, json};

/// A benchmark whose answer file is LLaVA's own.
struct Wild;

struct MmVet;

/// Reads LLaVA-Bench (in the wild).
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open_wild(data: &Data) -> Result<Suite> {
    data.split(&["all"])?;
    let path = data.need(&["questions.jsonl"])?;
    let questions = llava_lines(data, &path, &data.pictures("images"))?;
    crate::ensure!(!questions.is_empty(), Io, path.display().to_string(), "holds no questions");
    Ok(Suite { questions, max_new_tokens: LONG_TOKENS, finish: Box::new(Wild) })
}

/// Reads MM-Vet.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open_mm_vet(data: &Data) -> Result<Suite> {
    data.split(&["all"])?;
    let pictures = data.pictures("images");
    let questions = llava_or(data, &["llava-mm-vet.jsonl"], &pictures, || {
        let question = |(key, record): (String, Record)| {
            let number = key.strip_prefix("v1_").and_then(|number| number.parse::<u32>().ok());
            let number = number.ok_or_else(|| record.refused(&key, "is no key like v1_0"))?;
            let image = inside(&pictures, record.text("imagename")?, &record)?;
            Ok(Question::new(number, image, record.text("question")?.to_owned()))
        };
        data.json(&data.need(&["mm-vet.json"])?)?.into_map()?.into_iter().map(question).collect()
    })?;
    Ok(Suite { questions, max_new_tokens: LONG_TOKENS, finish: Box::new(MmVet) })
}

impl Finish for Wild {
    fn finish(&self, _: &Answers<'_>, out: &mut Output) -> Result<()> {
        out.note("a judge model scores answers.jsonl: llava/eval/eval_gpt_review_bench.py");
        Ok(())
    }
}

impl Finish for MmVet {
    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let entry = |(_, question, text): (usize, &Question, &str)| (format!("v1_{}", question.id), json!(text));
        let answers: Map<String, Value> = answers.iter().map(entry).collect();
        let name = format!("{}.json", out.model);
        out.json(&name, &answers.into(), "MM-Vet's evaluator, with a judge model");
        out.note("a judge model scores the file: MM-Vet's evaluator");
        Ok(())
    }
}
