//! Evaluation: accuracy by question kind, beside two baselines.

use super::answers::is_right;
use super::dataset::{AnswerForm, Item, drawn_items, items, read};
use super::questions::QuestionKind;
use super::scene::TRAIN_SEED;
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// A model for visual question answering.
pub trait VqaModel {
    /// Answers `question` about the PNG file `image`, after answering the `earlier` questions of the conversation.
    ///
    /// # Errors
    /// Errors of the model; they end the evaluation.
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String>;
}

/// Counts of right answers and of questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Right answers.
    pub right: usize,
    /// All questions.
    pub all: usize,
}

impl Score {
    /// Counts one answer.
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }
    /// Returns the accuracy, percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

/// One row of the accuracy table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row {
    /// Score of the model.
    pub model: Score,
    /// Score of the model when the picture is replaced by the mean colour.
    pub blank: Score,
    /// Score of the commonest answer of the training scenes to questions of this kind.
    pub commonest: Score,
}

/// Finds the commonest short answer by question kind over `scenes` training scenes.
pub fn commonest_answers(scenes: u64) -> BTreeMap<QuestionKind, String> {
    let mut counts: BTreeMap<QuestionKind, BTreeMap<String, usize>> = BTreeMap::new();
    let drawn = (0..scenes).flat_map(|i| drawn_items(TRAIN_SEED | 1, i, &[QuestionKind::Thing]).1);
    for item in (0..scenes).flat_map(|i| items(TRAIN_SEED | 1, i).1).chain(drawn) {
        *counts.entry(item.kind).or_default().entry(item.answer).or_default() += 1;
    }
    let commonest = |(kind, answers): (QuestionKind, BTreeMap<String, usize>)| {
        answers.into_iter().max_by_key(|(_, n)| *n).map(|(answer, _)| (kind, answer))
    };
    counts.into_iter().filter_map(commonest).collect()
}

/// Options of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct EvalOptions {
    /// Maximum number of questions; `None` for all.
    pub limit: Option<usize>,
    /// Whether to ask again with the picture replaced by the mean colour.
    pub blank: bool,
}

/// Evaluates `model` on the data set in `dir`; calls `each` with every item, its answer, and whether it is right.
///
/// # Errors
/// When the data set cannot be read, or the model fails.
pub fn evaluate(
    model: &mut dyn VqaModel,
    dir: &Path,
    options: EvalOptions,
    mut each: impl FnMut(&Item, &str, bool),
) -> Result<BTreeMap<QuestionKind, Row>> {
    let mut table: BTreeMap<QuestionKind, Row> = BTreeMap::new();
    let commonest = commonest_answers(1000);
    for item in read(dir)?.iter().take(options.limit.unwrap_or(usize::MAX)) {
        let path = dir.join(&item.image);
        let fail = |e: String| Error::new(Kind::Io, path.display().to_string(), e);
        let png = std::fs::read(&path).map_err(|e| fail(e.to_string()))?;
        let row = table.entry(item.kind).or_default();
        let short = item.form == AnswerForm::Short;
        let given = model.answer(&png, &item.earlier, &item.question)?;
        let right = is_right(item.kind, short, &item.answer, &given);
        row.model.add(right);
        each(item, &given, right);
        let guess = commonest.get(&item.kind).map_or("", String::as_str);
        row.commonest.add(is_right(item.kind, true, &item.answer, guess));
        if options.blank {
            let given = model.answer(&blank(&png).map_err(fail)?, &item.earlier, &item.question)?;
            row.blank.add(is_right(item.kind, short, &item.answer, &given));
        }
    }
    Ok(table)
}

/// Returns a PNG file of the same size in the mean colour.
fn blank(png: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let picture = image::load_from_memory(png).map_err(|e| e.to_string())?;
    let plain = image::RgbImage::from_pixel(picture.width(), picture.height(), image::Rgb([122, 116, 104]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    plain.write_to(&mut bytes, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}

/// Formats the accuracy table in Markdown.
pub fn table(rows: &BTreeMap<QuestionKind, Row>) -> String {
    let cell = |score: Score| if score.all == 0 { "–".to_owned() } else { format!("{:.1}", score.percent()) };
    let mut text =
        String::from("| question | n | model % | picture blanked % | commonest answer % |\n|---|---|---|---|---|\n");
    let mut total = Row::default();
    for (kind, row) in rows {
        let Row { model, blank, commonest } = *row;
        let name = kind.name();
        text += &format!("| {name} | {} | {} | {} | {} |\n", model.all, cell(model), cell(blank), cell(commonest));
        for (sum, score) in [(&mut total.model, model), (&mut total.blank, blank), (&mut total.commonest, commonest)] {
            sum.right += score.right;
            sum.all += score.all;
        }
    }
    text + &format!(
        "| **all** | {} | {} | {} | {} |\n",
        total.model.all,
        cell(total.model),
        cell(total.blank),
        cell(total.commonest)
    )
}
