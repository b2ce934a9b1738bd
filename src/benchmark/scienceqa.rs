//! ScienceQA (test): multiple choice with hints; the published figure counts the questions with a picture (`img`).

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::Output;
use crate::question::{Answers, Finish, LETTER, LONG_TOKENS, Mark, Picture, Question, Suite, options, with};
use serde_json::{Map, json};
use std::collections::HashMap;
use std::path::Path;

/// Letters of options that the scorer knows.
const LETTERS: [&str; 5] = ["A", "B", "C", "D", "E"];

struct ScienceQa {
    /// Index of the right choice and number of choices, by id.
    labels: HashMap<String, (usize, usize)>,
    everything: bool,
}

/// Returns the letter that an answer chooses.
pub fn parsed(answer: &str) -> Option<&str> {
    let known = |letter: &str| LETTERS.contains(&letter);
    if known(answer) {
        return Some(answer);
    }
    if answer.is_char_boundary(1) && answer[1..].starts_with(". ") && known(&answer[..1]) {
        return Some(&answer[..1]);
    }
    let letter = |rest: &'_ str| {
        let mut characters = rest.chars();
        let letter = characters.next().is_some_and(|c| c.is_ascii_uppercase());
        letter && characters.next().is_some_and(|c| c != '\n')
    };
    let mut found = answer.split("The answer is ").skip(1).filter(|rest| letter(rest)).map(|rest| &rest[..1]);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Returns the human turn of LLaVA's file, without the mark of the picture: hint, question, choices.
fn asked(record: &Record) -> Result<String> {
    let hint = record.maybe_text("hint")?.unwrap_or_default();
    let context = if hint.is_empty() { String::new() } else { format!("Context: {hint}\n") };
    Ok(context + &options(record.text("question")?, &record.texts("choices")?))
}

/// Makes a question of its human turn.
fn question(id: &str, image: Option<std::path::PathBuf>, turn: &str) -> Question {
    let text = with(turn.replace("<image>", "").trim(), LETTER);
    let prompt = if image.is_some() { format!("<image>\n{text}") } else { text.clone() };
    Question { id: id.into(), picture: image.map(Picture::File), earlier: Vec::new(), text, prompt }
}

/// Reads LLaVA's file: `{ id, image?, conversations: [{ from, value }, …] }`.
fn llava(data: &Data, path: &Path, pictures: &Path) -> Result<Vec<Question>> {
    let read = |mut record: Record| {
        let image = record.maybe_text("image")?.map(|name| inside(pictures, name, &record)).transpose()?;
        let id = record.text("id")?.to_owned();
        let turns = record.take("conversations")?.into_list()?;
        let turn = turns.first().ok_or_else(|| record.refused("conversations", "is empty"))?;
        Ok(question(&id, image, turn.text("value")?))
    };
    data.json(path)?.into_list()?.into_iter().map(read).collect()
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    let everything = data.split(&["img", "all"])? == "all";
    let pictures = data.pictures("images/test");
    let problems: HashMap<String, Record> =
        data.json(&data.need(&["problems.json"])?)?.into_map()?.into_iter().collect();
    let label = |(id, record): (&String, &Record)| {
        let (answer, choices) = (record.integer("answer")?, record.texts("choices")?.len());
        let index = usize::try_from(answer).ok().filter(|index| *index < choices.min(LETTERS.len()));
        let index = index.ok_or_else(|| record.refused("answer", &format!("is {answer}, for {choices} choices")))?;
        Ok((id.clone(), (index, choices)))
    };
    let labels = problems.iter().map(label).collect::<Result<HashMap<_, _>>>()?;
    let mut questions = match data.find(&["llava_test_CQM-A.json"]) {
        Some(path) => llava(data, &path, &pictures)?,
        None => {
            let splits = data.json(&data.need(&["pid_splits.json"])?)?;
            let question = |id: String| {
                let record =
                    problems.get(&id).ok_or_else(|| splits.refused("test", &format!("names `{id}`, no problem")))?;
                let image = record.maybe_text("image")?.map(|name| inside(&pictures, &format!("{id}/{name}"), record));
                Ok(question(&id, image.transpose()?, &asked(record)?))
            };
            splits.texts("test")?.into_iter().map(question).collect::<Result<Vec<_>>>()?
        }
    };
    questions.retain(|question| everything || question.picture.is_some());
    Ok(Suite { questions, max_new_tokens: LONG_TOKENS, finish: Box::new(ScienceQa { labels, everything }) })
}

/// Returns the index of the choice that an answer means, of `choices`.
fn choice(answer: &str, choices: usize) -> Option<usize> {
    let letter = parsed(answer)?;
    LETTERS.iter().position(|known| *known == letter).filter(|index| *index < choices)
}

impl Finish for ScienceQa {
    fn mark(&self, _: usize, question: &Question, text: &str) -> Option<Mark> {
        let (label, choices) = *self.labels.get(question.id.as_str()?)?;
        Some(Mark::new(LETTERS[label], choice(text, choices) == Some(label)))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let (mut all, mut with_picture) = (Vec::new(), Vec::new());
        let (mut correct, mut incorrect) = (Vec::new(), Vec::new());
        let (mut results, mut outputs) = (Map::new(), Map::new());
        for (_, question, text) in answers.iter() {
            let id = question.id.as_str().unwrap_or_default();
            let Some((label, choices)) = self.labels.get(id).copied() else { continue };
            let letter = parsed(text);
            let index = choice(text, choices);
            let item = json!({
                "question_id": id, "parsed_ans": letter.unwrap_or("FAILED"), "ground_truth": LETTERS[label],
                "question": question.prompt, "pred": text, "is_multimodal": question.picture.is_some(),
            });
            let right = index == Some(label);
            if right { &mut correct } else { &mut incorrect }.push(item);
            results.insert(id.to_owned(), index.map_or(json!(-1), |index| json!(index)));
            outputs.insert(id.to_owned(), json!(text));
            all.push(right);
            if question.picture.is_some() {
                with_picture.push(right);
            }
        }
        let (n, accuracy) = (correct.len(), crate::output::percent(&all));
        out.json("scienceqa_output.json", &json!({ "correct": correct, "incorrect": incorrect }), "reading");
        let result =
            json!({ "acc": accuracy, "correct": n, "count": all.len(), "results": results, "outputs": outputs });
        out.json("scienceqa_result.json", &result, "reading; ScienceQA's own tools");
        out.accuracy("accuracy, questions with a picture", &with_picture);
        if self.everything {
            out.accuracy("accuracy, all questions", &all);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_of_an_answer_are_understood() {
        for (answer, wanted) in [
            ("B", Some("B")),
            ("A. acquired", Some("A")),
            ("The answer is C.", Some("C")),
            ("I think The answer is D!", Some("D")),
            ("The answer is A. The answer is B.", None),
            ("The answer is A", None),
            ("F", None),
            ("F. other", None),
            ("b", None),
            ("A.acquired", None),
            ("", None),
            ("é. x", None),
        ] {
            assert_eq!(parsed(answer), wanted, "{answer}");
        }
    }

    #[test]
    fn prompts_have_hint_and_picture_only_where_there_are() {
        let record = |hint| Record::new("p", json!({ "hint": hint, "question": "Which?", "choices": ["red", "blue"] }));
        let turn = asked(&record("Look.")).unwrap();
        assert_eq!(turn, "Context: Look.\nWhich?\nA. red\nB. blue");
        assert_eq!(asked(&record("")).unwrap(), "Which?\nA. red\nB. blue");
        let with_image = question("5", Some("5/image.png".into()), &format!("<image>\n{turn}"));
        assert_eq!(with_image.text, format!("{turn}\n{LETTER}"));
        assert_eq!(with_image.prompt, format!("<image>\n{turn}\n{LETTER}"));
        let without = question("6", None, &turn);
        assert_eq!((without.picture.clone(), &without.prompt), (None, &without.text));
    }
}
