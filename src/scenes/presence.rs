//! Questions about existence and number of objects.

use super::questions::{Qa, QuestionKind, any, article, pick, yes};
use super::scene::{Colour, Object, Scene, Shape};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Asks `Is there a red star?`.
pub(super) fn existence(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if scene.has_sketch() {
        return super::things::existence(scene, rng);
    }
    let has_text = scene.objects.iter().any(|o| o.shape().is_none());
    if rng.random_bool(0.08) {
        let question = pick(rng, &["Is there any text?", "Is there any text in the image?", "Is anything written?"]);
        let sentence = if has_text { "Yes, there is some text." } else { "No, there is no text." };
        return Qa::new(QuestionKind::Existence, question.to_owned(), yes(has_text), sentence.to_owned());
    }
    let truth = rng.random_bool(0.5);
    let object = any(scene, rng)?;
    let shape_now = object.shape().unwrap_or(*Shape::ALL.choose(rng)?);
    let (mut shape, mut colour) = (Some(shape_now), Some(object.colour));
    match rng.random_range(0..10) {
        0..=2 => colour = None,
        3 => shape = None,
        _ => {}
    }
    let holds = |s: Option<Shape>, c: Option<Colour>| {
        scene.objects.iter().any(|o| (s.is_none() || o.shape() == s) && (c.is_none() || c == Some(o.colour)))
    };
    if !truth {
        // Mostly near misses, with one attribute right and the other wrong.
        for _ in 0..20 {
            let change = rng.random_range(0..3);
            if shape.is_some() && change != 1 {
                shape = Shape::ALL.choose(rng).copied();
            }
            if colour.is_some() && change != 0 {
                colour = Colour::ALL.choose(rng).copied();
            }
            if !holds(shape, colour) {
                break;
            }
        }
    }
    let truth = holds(shape, colour);
    let what = match (shape, colour) {
        (Some(s), Some(c)) => format!("{} {}", c.name(), s.name()),
        (Some(s), None) => s.name().to_owned(),
        (None, Some(c)) => format!("{} object", c.name()),
        (None, None) => return None,
    };
    let a = article(&what);
    let question = match rng.random_range(0..5) {
        0 => format!("Is there {a} {what} in the image?"),
        1 => format!("Do you see {a} {what}?"),
        2 => format!("Can you see {a} {what}?"),
        _ => format!("Is there {a} {what}?"),
    };
    let sentence = if truth { format!("Yes, there is {a} {what}.") } else { format!("No, there is no {what}.") };
    Qa::new(QuestionKind::Existence, question, yes(truth), sentence)
}

/// Asks `How many squares are there?`.
pub(super) fn count(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if scene.has_sketch() {
        return super::things::count(scene, rng);
    }
    let shapes: Vec<&Object> = scene.objects.iter().filter(|o| o.shape().is_some()).collect();
    // Mostly objects of the scene, so that zero is not the usual answer.
    let object = if rng.random_bool(0.85) { shapes.choose(rng).copied() } else { None };
    let shape = object.map_or(*Shape::ALL.choose(rng)?, |o| o.shape().unwrap_or(Shape::Circle));
    let colour = object.map_or(*Colour::ALL.choose(rng)?, |o| o.colour);
    let (one, many, number) = match rng.random_range(0..10) {
        0..=4 => (
            shape.name().to_owned(),
            shape.plural().to_owned(),
            shapes.iter().filter(|o| o.shape() == Some(shape)).count(),
        ),
        5..=6 => (
            format!("{} shape", colour.name()),
            format!("{} shapes", colour.name()),
            shapes.iter().filter(|o| o.colour == colour).count(),
        ),
        7 => (
            format!("{} {}", colour.name(), shape.name()),
            format!("{} {}", colour.name(), shape.plural()),
            shapes.iter().filter(|o| o.colour == colour && o.shape() == Some(shape)).count(),
        ),
        _ => ("shape".to_owned(), "shapes".to_owned(), shapes.len()),
    };
    let question = match rng.random_range(0..4) {
        0 => format!("How many {many} are in the image?"),
        1 => format!("How many {many} do you see?"),
        _ => format!("How many {many} are there?"),
    };
    let sentence = match number {
        0 => format!("There are 0 {many}."),
        1 => format!("There is 1 {one}."),
        n => format!("There are {n} {many}."),
    };
    Qa::new(QuestionKind::Count, question, number.to_string(), sentence)
}
