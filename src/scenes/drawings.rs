//! Drawings made on the page's pad, kept as strokes, and a data set of them.
//!
//! The file is `{"drawings": [{"thing", "colour", "strokes": [{"colour", "size", "points": [x, y, x, y, …]}]}]}`. Points
//! and the pen's size are pixels of the pad, [`SIDE`] wide and high. The rendering follows `www/page/drawing-pad.js`:
//! round lines from point to point over [`PAPER`].

use super::dataset::{AnswerForm, Item, write_all};
use super::draw::Picture;
use super::drawn::PAPER;
use super::questions::{QuestionKind, SUFFIX, article, yes};
use super::scene::Colour;
use super::sketch::Sketch;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::path::Path;
use tiny_skia::{Color, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Stroke as Pen, Transform};

/// Side of the pad, pixels.
pub const SIDE: u32 = 448;
/// Smallest and largest size of the pad's brush, pixels.
const BRUSH: [f32; 2] = [2.0, 60.0];

/// One stroke of the pen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stroke {
    /// Name of its colour.
    pub colour: String,
    /// Width, pixels.
    pub size: f32,
    /// x and y of the points, pixels.
    pub points: Vec<f32>,
}

/// One drawing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    /// Name of the thing that is drawn.
    pub thing: String,
    /// Name of the colour of most of it.
    pub colour: String,
    /// Its strokes, in their order.
    pub strokes: Vec<Stroke>,
}

/// A file of drawings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    drawings: Vec<Drawing>,
}

/// Finds a colour by its name.
fn colour(name: &str) -> Option<Colour> {
    Colour::ALL.into_iter().find(|colour| colour.name() == name)
}

/// Parses a file of drawings.
///
/// # Errors
/// [`Kind::Argument`] for bytes that are no such file: an unknown thing or colour, a point outside the pad, a pen that
/// the pad does not have.
pub fn parse(bytes: &[u8]) -> Result<Vec<Drawing>> {
    let File { drawings } =
        serde_json::from_slice(bytes).map_err(|e| Error::new(Kind::Argument, "drawings", e.to_string()))?;
    for (i, drawing) in drawings.iter().enumerate() {
        let place = format!("drawing {i}");
        ensure!(Sketch::from_name(&drawing.thing).is_some(), Argument, place, "`{}` is no thing", drawing.thing);
        ensure!(!drawing.strokes.is_empty(), Argument, place, "has no stroke");
        let mut colours = drawing.strokes.iter().map(|s| &s.colour).chain([&drawing.colour]);
        ensure!(colours.all(|name| colour(name).is_some()), Argument, place, "has an unknown colour");
        for stroke in &drawing.strokes {
            let inside = stroke.points.iter().all(|x| (0.0..=SIDE as f32).contains(x));
            ensure!(inside, Argument, place, "leaves the pad");
            let even = stroke.points.len() >= 2 && stroke.points.len().is_multiple_of(2);
            ensure!(even, Argument, place, "has a stroke of {} numbers", stroke.points.len());
            ensure!((BRUSH[0]..=BRUSH[1]).contains(&stroke.size), Argument, place, "has a pen of {}", stroke.size);
        }
    }
    Ok(drawings)
}

/// Renders a drawing as the pad does.
///
/// # Errors
/// [`Kind::OutOfMemory`] when the picture cannot be allocated; [`Kind::Argument`] for an unknown colour.
pub fn render(drawing: &Drawing) -> Result<Picture> {
    let mut pixmap =
        Pixmap::new(SIDE, SIDE).ok_or_else(|| Error::new(Kind::OutOfMemory, "drawing", "no memory for the picture"))?;
    let [r, g, b] = PAPER.map(|v| v as u8);
    pixmap.fill(Color::from_rgba8(r, g, b, 255));
    for stroke in &drawing.strokes {
        let Some(colour) = colour(&stroke.colour) else {
            return Err(Error::new(Kind::Argument, "drawing", format!("`{}` is no colour", stroke.colour)));
        };
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        let [r, g, b] = colour.rgb().map(|v| v as u8);
        paint.set_color_rgba8(r, g, b, 255);
        let pen = Pen { width: stroke.size, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Pen::default() };
        let points: Vec<[f32; 2]> = stroke.points.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        // The pad draws a dot where the pointer goes down, then a line per move, each shifted by 0.01 at its end.
        for (i, to) in points.iter().enumerate() {
            let from = points[i.saturating_sub(1)];
            let mut path = PathBuilder::new();
            path.move_to(from[0], from[1]);
            path.line_to(to[0], to[1] + 0.01);
            if let Some(path) = path.finish() {
                pixmap.stroke_path(&path, &paint, &pen, Transform::identity(), None);
            }
        }
    }
    let rgb = pixmap.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Ok(Picture { width: SIDE, height: SIDE, rgb })
}

/// Returns the questions about drawing `index`: what it is, in a word and in a sentence, its colour, and whether a thing
/// is there that is (even index) or is not (odd index).
fn items(drawing: &Drawing, index: usize) -> Vec<Item> {
    let image = format!("hand-{index:03}.png");
    let thing = drawing.thing.as_str();
    let item = |kind, question: String, answer: &str, form| Item {
        image: image.clone(),
        question,
        answer: answer.to_owned(),
        kind,
        form,
        earlier: Vec::new(),
    };
    let here = index.is_multiple_of(2);
    let own = Sketch::ALL.iter().position(|s| s.name() == thing).unwrap_or(0);
    let other = Sketch::ALL[(own + 1 + index % (Sketch::ALL.len() - 1)) % Sketch::ALL.len()].name();
    let asked = if here { thing } else { other };
    vec![
        item(QuestionKind::Thing, format!("What is drawn here?\n{SUFFIX}"), thing, AnswerForm::Short),
        item(QuestionKind::Thing, "What is drawn here?".to_owned(), thing, AnswerForm::Sentence),
        item(QuestionKind::Colour, format!("What color is the {thing}?\n{SUFFIX}"), &drawing.colour, AnswerForm::Short),
        item(
            QuestionKind::Existence,
            format!("Is there {} {asked}?\n{SUFFIX}", article(asked)),
            yes(here),
            AnswerForm::Short,
        ),
    ]
}

/// Writes the drawings of `file` as pictures with questions into `out`; returns the number of questions.
///
/// # Errors
/// Those of [`parse`] and [`render`]; [`Kind::Io`] when a file cannot be read or written.
pub fn write(file: &Path, out: &Path) -> Result<usize> {
    let bytes = std::fs::read(file).map_err(|e| Error::new(Kind::Io, file.display().to_string(), e.to_string()))?;
    let mut pictures = Vec::new();
    for (index, drawing) in parse(&bytes)?.iter().enumerate() {
        pictures.push((format!("hand-{index:03}.png"), render(drawing)?, items(drawing, index)));
    }
    write_all(pictures.into_iter(), out)
}
