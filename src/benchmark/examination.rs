//! The examination of the shipped model: scenes drawn by `train data`, scored as `train eval` scores them.

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::Output;
use crate::question::{Answers, Finish, Mark, Question, Suite};
use crate::scenes::answers::is_right;
use crate::scenes::item::{AnswerForm, Item};
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
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    data.split(&["all"])?;
    let path = data.need(&["questions.jsonl"])?;
    let items = Item::parse_lines(&data.text(&path)?, &path.display().to_string())?;
    let question = |(index, item): (usize, &Item)| {
        let line = Record::new(format!("questions.jsonl: line {}", index + 1), json!({}));
        let picture = inside(path.parent().unwrap_or(&data.folder), &item.image, &line)?;
        let question = Question::new(index, picture, item.question.clone());
        Ok(Question { earlier: item.earlier.clone(), ..question })
    };
    let questions = items.iter().enumerate().map(question).collect::<Result<Vec<_>>>()?;
    crate::ensure!(!questions.is_empty(), Io, data.place(), "questions.jsonl is empty");
    Ok(Suite { questions, max_new_tokens: MAX_NEW_TOKENS, finish: Box::new(Examination { items }) })
}

impl Finish for Examination {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let Item { kind, form, answer, .. } = self.items.get(index)?;
        Some(Mark::new(answer.as_str(), is_right(*kind, *form == AnswerForm::Short, answer, text)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let (mut by_kind, mut all) = (BTreeMap::new(), Vec::new());
        for (index, question, text) in answers.iter() {
            let Some(mark) = self.mark(index, question, text) else { continue };
            let right = mark.right();
            by_kind.entry(self.items[index].kind).or_insert_with(Vec::new).push(right);
            all.push(right);
        }
        by_kind.iter().for_each(|(kind, right)| out.accuracy(kind.name(), right));
        out.accuracy("all", &all);
        Ok(())
    }
}
