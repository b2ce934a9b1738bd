//! The examination: accuracy by question type, against two baselines.

use super::answers::is_right;
use super::dataset::{Form, Item, items, read};
use super::questions::Kind;
use super::scenes::TRAIN_SEED;
use crate::error::{Error, Kind as ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Something that answers questions about a picture.
pub trait Answerer {
    /// The answer to `question` about the PNG `image`, after the `earlier` questions, whose answers are the
    /// answerer's own.
    ///
    /// # Errors
    /// Whatever goes wrong; the examination stops.
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String>;
}

/// Right answers and questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Right answers.
    pub right: usize,
    /// Questions.
    pub all: usize,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }
    /// In percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row {
    /// The model.
    pub model: Score,
    /// The same model shown the mean colour instead of the picture.
    pub blank: Score,
    /// Always the commonest answer of the training scenes to questions of this type.
    pub commonest: Score,
}

/// The commonest short answer by type over `scenes` training scenes.
pub fn commonest_answers(scenes: u64) -> BTreeMap<Kind, String> {
    let mut counts: BTreeMap<Kind, BTreeMap<String, usize>> = BTreeMap::new();
    for item in (0..scenes).flat_map(|i| items(TRAIN_SEED | 1, i).1) {
        *counts.entry(item.kind).or_default().entry(item.answer).or_default() += 1;
    }
    let commonest = |(kind, answers): (Kind, BTreeMap<String, usize>)| {
        answers.into_iter().max_by_key(|(_, n)| *n).map(|(answer, _)| (kind, answer))
    };
    counts.into_iter().filter_map(commonest).collect()
}

/// What an examination asks.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// At most so many questions.
    pub limit: Option<usize>,
    /// Also ask with the picture blanked.
    pub blank: bool,
}

/// Asks every question of the data set in `dir`; `each` sees every item with its answer.
///
/// # Errors
/// When the data set cannot be read, or the answerer fails.
pub fn examine(
    answerer: &mut dyn Answerer,
    dir: &Path,
    options: Options,
    mut each: impl FnMut(&Item, &str, bool),
) -> Result<BTreeMap<Kind, Row>> {
    let mut table: BTreeMap<Kind, Row> = BTreeMap::new();
    let commonest = commonest_answers(1000);
    for item in read(dir)?.iter().take(options.limit.unwrap_or(usize::MAX)) {
        let path = dir.join(&item.image);
        let fail = |e: String| Error::new(ErrorKind::Io, path.display().to_string(), e);
        let png = std::fs::read(&path).map_err(|e| fail(e.to_string()))?;
        let row = table.entry(item.kind).or_default();
        let short = item.form == Form::Short;
        let given = answerer.answer(&png, &item.earlier, &item.question)?;
        let right = is_right(item.kind, short, &item.answer, &given);
        row.model.add(right);
        each(item, &given, right);
        let guess = commonest.get(&item.kind).map_or("", String::as_str);
        row.commonest.add(is_right(item.kind, true, &item.answer, guess));
        if options.blank {
            let given = answerer.answer(&blank(&png).map_err(fail)?, &item.earlier, &item.question)?;
            row.blank.add(is_right(item.kind, short, &item.answer, &given));
        }
    }
    Ok(table)
}

/// A PNG of the same size in the mean colour.
fn blank(png: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let picture = image::load_from_memory(png).map_err(|e| e.to_string())?;
    let plain = image::RgbImage::from_pixel(picture.width(), picture.height(), image::Rgb([122, 116, 104]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    plain.write_to(&mut bytes, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}

/// The table in Markdown.
pub fn table(rows: &BTreeMap<Kind, Row>) -> String {
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
