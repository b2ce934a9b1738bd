//! The examination of the shipped model: scenes drawn by `train data`, scored as `train eval` scores them.

use crate::data::{Data, Record, inside};
use crate::output::Output;
use crate::question::{Answers, Finish, Question, Suite};
use llava_web::error::Result;
use llava_web::scenes::answers::is_right;
use llava_web::scenes::dataset::{AnswerForm, Item, read};
use serde_json::json;
use std::collections::BTreeMap;

/// Longest answer of `train eval`, tokens.
const MAX_NEW_TOKENS: u32 = 100;

struct Examination {
    items: Vec<Item>,
}

/// Reads the questions of `train data`.
///
/// # Errors
/// [`llava_web::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    data.split(&["all"])?;
    let items = read(&data.folder)?;
    let question = |(index, item): (usize, &Item)| {
        let line = Record::new(format!("questions.jsonl: line {}", index + 1), json!({}));
        let picture = inside(&data.folder, &item.image, &line)?;
        let question = Question::new(index, picture, item.question.clone());
        Ok(Question { earlier: item.earlier.clone(), ..question })
    };
    let questions = items.iter().enumerate().map(question).collect::<Result<Vec<_>>>()?;
    llava_web::ensure!(!questions.is_empty(), Io, data.folder.display().to_string(), "questions.jsonl is empty");
    Ok(Suite { questions, max_new_tokens: MAX_NEW_TOKENS, finish: Box::new(Examination { items }) })
}

impl Finish for Examination {
    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let (mut by_kind, mut all) = (BTreeMap::new(), Vec::new());
        for (index, _, text) in answers.iter() {
            let item = &self.items[index];
            let right = is_right(item.kind, item.form == AnswerForm::Short, &item.answer, text);
            by_kind.entry(item.kind).or_insert_with(Vec::new).push(right);
            all.push(right);
        }
        by_kind.iter().for_each(|(kind, right)| out.accuracy(kind.name(), right));
        out.accuracy("all", &all);
        Ok(())
    }
}
