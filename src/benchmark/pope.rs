//! POPE: is an object in the picture? Three sets of questions about COCO's val2014.

use crate::data::{Data, inside};
use crate::error::Result;
use crate::output::{Output, mean};
use crate::question::{Answers, Finish, LOADER_TOKENS, Mark, Question, SHORT, Suite, llava_or, with};
use serde_json::json;

/// The sets in the order of LLaVA's file, and what it adds to their ids.
const SETS: [(&str, i64); 3] = [("adversarial", 0), ("random", 10_000_000), ("popular", 20_000_000)];

struct Pope {
    /// For each question: its set, its wording without suffix, and whether the object is there.
    labels: Vec<(&'static str, String, bool)>,
}

/// Returns what an answer says: no if its first sentence has the word `No`, `no` or `not`, else yes.
pub fn says_yes(answer: &str) -> bool {
    let sentence = answer.split('.').next().unwrap_or_default().replace(',', "");
    !sentence.split(' ').any(|word| ["No", "not", "no"].contains(&word))
}

/// Scores of a set, percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// True positives among objects that were said to be in the picture.
    pub precision: f64,
    /// True positives among objects in the picture.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Right answers.
    pub accuracy: f64,
    /// Answers that say yes.
    pub yes: f64,
}

/// Scores pairs of (given, true); yes is the positive class.
pub fn scores(pairs: &[(bool, bool)]) -> Scores {
    let count = |given: bool, truth: bool| pairs.iter().filter(|pair| **pair == (given, truth)).count() as f64;
    let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    let (hits, alarms, misses, rejections) =
        (count(true, true), count(true, false), count(false, true), count(false, false));
    let all = pairs.len() as f64;
    Scores {
        precision: share(hits, hits + alarms),
        recall: share(hits, hits + misses),
        f1: share(2.0 * hits, 2.0 * hits + alarms + misses),
        accuracy: share(hits + rejections, all),
        yes: share(hits + alarms, all),
    }
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    data.split(&["coco"])?;
    let pictures = data.pictures("val2014");
    let mut labels = Vec::new();
    let mut official = Vec::new();
    for (set, first_id) in SETS {
        for record in data.lines(&data.need(&[&format!("coco_pope_{set}.json")])?)? {
            let (text, label) = (record.text("text")?.to_owned(), record.text("label")?);
            if !["yes", "no"].contains(&label) {
                return Err(record.refused("label", &format!("is `{label}`, neither yes nor no")));
            }
            let image = inside(&pictures, record.text("image")?, &record)?;
            official.push(Question::new(first_id + record.integer("question_id")?, image, with(&text, SHORT)));
            labels.push((set, text, label == "yes"));
        }
    }
    let questions = llava_or(data, &["llava_pope_test.jsonl"], &pictures, || Ok(official))?;
    let different = questions.iter().zip(&labels).position(|(q, (_, text, _))| q.text != with(text, SHORT));
    let different = different.or((questions.len() != labels.len()).then_some(questions.len().min(labels.len())));
    if let Some(index) = different {
        let message =
            format!("question {} of llava_pope_test.jsonl is another one than that of the three sets", index + 1);
        return Err(crate::error::Error::new(crate::error::Kind::Io, data.place(), message)
            .hint("POPE changed its questions: LLaVA's file belongs to commit e3e39262"));
    }
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(Pope { labels }) })
}

impl Finish for Pope {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let (.., truth) = *self.labels.get(index)?;
        Some(Mark::new(if truth { "yes" } else { "no" }, says_yes(text) == truth))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let mut f1 = Vec::new();
        for (set, _) in SETS {
            let own = || answers.iter().filter(|(index, ..)| self.labels[*index].0 == set);
            let line = |(index, _, text): (usize, &Question, &str)| json!({ "question": self.labels[index].1, "answer": text });
            out.lines(&format!("coco_pope_{set}_answers.json"), own().map(line), "POPE's evaluate.py");
            let pairs: Vec<_> = own().map(|(index, _, text)| (says_yes(text), self.labels[index].2)).collect();
            if pairs.is_empty() {
                continue;
            }
            let Scores { precision, recall, f1: f, accuracy, yes } = scores(&pairs);
            for (name, value) in
                [("F1", f), ("accuracy", accuracy), ("precision", precision), ("recall", recall), ("yes ratio", yes)]
            {
                out.row(format!("{set}: {name}"), value, pairs.len());
            }
            f1.push(f);
        }
        if f1.len() == SETS.len() {
            out.row("F1, mean of the three sets", mean(&f1), answers.iter().count());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_words_of_the_first_sentence_mean_no() {
        for (answer, yes) in [
            ("Yes", true),
            ("No", false),
            ("no, there is not.", false),
            ("There is no dog.", false),
            ("It is not", false),
            ("Yes. There is no cat.", true),
            ("NO", true),
            ("nope", true),
            ("", true),
            ("Nothing", true),
            ("No,", false),
        ] {
            assert_eq!(says_yes(answer), yes, "{answer}");
        }
    }

    #[test]
    fn scores_of_a_worked_example() {
        // 3 hits, 1 false alarm, 2 misses, 4 rejections.
        let pairs =
            [vec![(true, true); 3], vec![(true, false)], vec![(false, true); 2], vec![(false, false); 4]].concat();
        let found = scores(&pairs);
        // precision 3/4, recall 3/5, F1 = 2 · 0.75 · 0.6 / 1.35 = 2/3, accuracy 7/10, yes 4/10.
        let wanted = [75.0, 60.0, 200.0 / 3.0, 70.0, 40.0];
        let found = [found.precision, found.recall, found.f1, found.accuracy, found.yes];
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        let none = scores(&[(false, false); 2]);
        assert_eq!([none.precision, none.recall, none.f1, none.accuracy], [0.0, 0.0, 0.0, 100.0]);
    }
}
