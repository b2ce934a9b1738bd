//! Data sets as files: pictures as PNG, questions in `questions.jsonl`.

use super::draw::{Picture, draw};
use super::drawn::sample_drawn;
use super::questions::{Conversation, QuestionKind, conversation};
use super::scene::{Scene, TRAIN_SEED, sample, scene_rng};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::path::Path;

pub use super::item::{AnswerForm, Item};

/// Returns the line of a conversation about the picture `image`.
fn item(image: &str, conversation: Conversation) -> Option<Item> {
    let Conversation { kind, mut turns, short, wants_short } = conversation;
    let last = turns.pop()?;
    let earlier = turns.into_iter().map(|t| t.question).collect();
    let form = if wants_short { AnswerForm::Short } else { AnswerForm::Sentence };
    Some(Item { image: image.to_owned(), question: last.question, answer: short, kind, form, earlier })
}

/// Returns the file name of scene `index`.
fn scene_name(index: u64) -> String {
    format!("{index:05}.png")
}

/// Returns the file name of drawing `index`.
fn drawing_name(index: u64) -> String {
    format!("drawn-{index:05}.png")
}

/// Draws `scene` as the file `name`, and asks questions of the given kinds about it, at most one of each.
fn about(scene: &Scene, name: &str, kinds: &[QuestionKind], rng: &mut ChaCha8Rng) -> (Picture, Vec<Item>) {
    let side = rng.random_range(192..400);
    let ask = |&kind| conversation(scene, kind, rng).and_then(|c| item(name, c));
    let items = kinds.iter().filter_map(ask).collect();
    (draw(scene, side), items)
}

/// Draws scene `index` of data set `seed` and asks questions about it, at most one of each kind.
pub fn items(seed: u64, index: u64) -> (Picture, Vec<Item>) {
    let mut rng = scene_rng(seed, index);
    about(&sample(&mut rng), &scene_name(index), &QuestionKind::ALL, &mut rng)
}

/// First stream of the drawings of a data set; the scenes of [`items`] have the streams below.
const DRAWN_STREAM: u64 = 1 << 40;

/// Draws drawing `index` of data set `seed` and asks questions of the given kinds about it, at most one of each.
pub fn drawn_items(seed: u64, index: u64, kinds: &[QuestionKind]) -> (Picture, Vec<Item>) {
    let mut rng = scene_rng(seed, DRAWN_STREAM | index);
    about(&sample_drawn(&mut rng), &drawing_name(index), kinds, &mut rng)
}

/// Writes `count` scenes of data set `seed` and their questions into `out`; returns the number of questions.
///
/// # Errors
/// [`Kind::Argument`] for a seed that is reserved for training, [`Kind::Io`] when a file cannot be written.
pub fn write(seed: u64, count: u64, out: &Path) -> Result<usize> {
    write_with_drawings(seed, count, 0, &[], out)
}

/// Writes `count` scenes and `drawings` drawings of data set `seed` into `out`, the scenes with questions of every kind,
/// the drawings with questions of `kinds`; returns the number of questions.
///
/// # Errors
/// [`Kind::Argument`] for a seed that is reserved for training, [`Kind::Io`] when a file cannot be written.
pub fn write_with_drawings(seed: u64, count: u64, drawings: u64, kinds: &[QuestionKind], out: &Path) -> Result<usize> {
    ensure!(seed < TRAIN_SEED, Argument, "--seed", "{seed} is reserved for training; take one below {TRAIN_SEED}");
    let scenes = (0..count).map(|i| (scene_name(i), items(seed, i)));
    let drawings = (0..drawings).map(|i| (drawing_name(i), drawn_items(seed, i, kinds)));
    write_all(scenes.chain(drawings).map(|(name, (picture, items))| (name, picture, items)), out)
}

/// Writes named pictures and their questions into `out`; returns the number of questions.
///
/// # Errors
/// [`Kind::Io`] when a file cannot be written.
pub fn write_all(pictures: impl Iterator<Item = (String, Picture, Vec<Item>)>, out: &Path) -> Result<usize> {
    let io = |e: std::io::Error| Error::new(Kind::Io, out.display().to_string(), e.to_string());
    std::fs::create_dir_all(out).map_err(io)?;
    let mut list = std::io::BufWriter::new(std::fs::File::create(out.join("questions.jsonl")).map_err(io)?);
    let mut total = 0;
    for (name, picture, items) in pictures {
        std::fs::write(out.join(name), png(&picture)?).map_err(io)?;
        for item in items {
            let line = serde_json::to_string(&item).map_err(|e| io(e.into()))?;
            writeln!(list, "{line}").map_err(io)?;
            total += 1;
        }
    }
    list.flush().map_err(io)?;
    Ok(total)
}

/// Encodes a picture as a PNG file.
///
/// # Errors
/// [`Kind::Image`] when its size and its bytes disagree.
pub fn png(picture: &Picture) -> Result<Vec<u8>> {
    encode(picture, image::ImageFormat::Png)
}

/// Encodes a picture as a BMP file: the same pixels without compression, for pictures that are read at once.
///
/// # Errors
/// [`Kind::Image`] when its size and its bytes disagree.
pub fn bmp(picture: &Picture) -> Result<Vec<u8>> {
    encode(picture, image::ImageFormat::Bmp)
}

fn encode(picture: &Picture, format: image::ImageFormat) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let (width, height) = (picture.width, picture.height);
    image::write_buffer_with_format(&mut bytes, &picture.rgb, width, height, image::ExtendedColorType::Rgb8, format)
        .map_err(|e| Error::new(Kind::Image, format!("{width}×{height}"), e.to_string()))?;
    Ok(bytes.into_inner())
}

/// Reads `questions.jsonl`.
///
/// # Errors
/// [`Kind::Io`] when it cannot be read or a line is not an [`Item`], with the line's number.
pub fn read(dir: &Path) -> Result<Vec<Item>> {
    let path = dir.join("questions.jsonl");
    let place = path.display().to_string();
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|e| Error::new(Kind::Io, &*place, e.to_string()).hint("make it with `train data`"))?;
    Item::parse_lines(&text, &place)
}
