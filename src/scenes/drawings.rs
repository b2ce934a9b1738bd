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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Reads a file of `tests/`.
    fn file(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)).unwrap()
    }

    /// Means of red, green and blue over squares of 28 pixels.
    fn grid(picture: &Picture) -> Vec<f32> {
        let mut sums = vec![0.0; 16 * 16 * 3];
        for (at, p) in picture.rgb.chunks_exact(3).enumerate() {
            let cell = at / 448 / 28 * 16 + at % 448 / 28;
            (0..3).for_each(|c| sums[cell * 3 + c] += f32::from(p[c]));
        }
        sums.into_iter().map(|sum| sum / 784.0).collect()
    }

    #[test]
    fn there_are_three_different_drawings_of_every_thing() {
        let drawings = parse(&file("drawings.json")).unwrap();
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, drawing) in drawings.iter().enumerate() {
            *count.entry(&drawing.thing).or_default() += 1;
            assert!(drawings[..i].iter().all(|other| other.strokes != drawing.strokes), "{i} is twice there");
            let points = |own: &dyn Fn(&&Stroke) -> bool| -> usize {
                drawing.strokes.iter().filter(own).map(|s| s.points.len()).sum()
            };
            let own = points(&|s| s.colour == drawing.colour);
            assert!(2 * own > points(&|_| true), "{i}: most of it has another colour than {}", drawing.colour);
            let picture = render(drawing).unwrap();
            let inked = picture.rgb.chunks_exact(3).filter(|p| *p != [240, 240, 238]).count();
            assert!((3000..80_000).contains(&inked), "{i}: {inked} pixels");
        }
        assert!(drawings.len() >= 60 && count.len() == Sketch::ALL.len(), "{count:?}");
        assert!(count.values().all(|n| *n >= 3), "{count:?}");
    }

    #[test]
    fn the_pictures_are_those_of_the_pad() {
        let drawings = parse(&file("drawings.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&file("drawings-grid.json")).unwrap();
        for case in expected.as_array().unwrap() {
            let drawing = &drawings[case["index"].as_u64().unwrap() as usize];
            let found = grid(&render(drawing).unwrap());
            let wanted = case["grid"].as_array().unwrap();
            assert_eq!(wanted.len(), found.len());
            for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                let wanted = wanted.as_f64().unwrap() as f32;
                assert!((found - wanted).abs() < 0.11, "{} {i}: {found} {wanted}", drawing.thing);
            }
        }
    }

    #[test]
    fn every_question_about_a_drawing_has_the_true_answer() {
        let drawings = parse(&file("drawings.json")).unwrap();
        for (index, drawing) in drawings.iter().enumerate() {
            for item in items(drawing, index) {
                match item.kind {
                    QuestionKind::Thing => assert_eq!(item.answer, drawing.thing),
                    QuestionKind::Colour => assert_eq!(item.answer, drawing.colour),
                    QuestionKind::Existence => {
                        let named = item.question.contains(&format!(" {}?", drawing.thing));
                        assert_eq!(item.answer == "Yes", named, "{item:?}");
                    }
                    _ => panic!("{item:?}"),
                }
            }
        }
    }

    #[test]
    fn a_malformed_file_is_refused() {
        let with = |thing: &str, colour: &str, size: &str, points: &str| {
            format!(
                r#"{{"drawings":[{{"thing":"{thing}","colour":"red","strokes":[{{"colour":"{colour}","size":{size},"points":[{points}]}}]}}]}}"#
            )
        };
        assert!(parse(with("house", "red", "14", "1, 2, 3, 4").as_bytes()).is_ok());
        for (thing, colour, size, points) in [
            ("horse", "red", "14", "1, 2"),
            ("house", "pink", "14", "1, 2"),
            ("house", "red", "1", "1, 2"),
            ("house", "red", "61", "1, 2"),
            ("house", "red", "14", "1, 2, 3"),
            ("house", "red", "14", ""),
            ("house", "red", "14", "1, 449"),
            ("house", "red", "14", "-1, 2"),
            ("house", "red", "14", "null, 2"),
        ] {
            assert!(parse(with(thing, colour, size, points).as_bytes()).is_err(), "{thing} {colour} {size} {points}");
        }
        assert!(
            parse(b"{}").is_err() && parse(br#"{"drawings":[{"thing":"house","colour":"red","strokes":[]}]}"#).is_err()
        );
    }
}
