//! Conversations of two turns in which the second question refers to the first.

use super::presence::count;
use super::questions::{Qa, QuestionKind, at_place, name, spelling};
use super::scene::{Figure, Object, Scene, SizeClass};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Returns a random conversation of two turns; the second is scored.
pub(super) fn followup(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let mut turns = match rng.random_range(0..4) {
        0 => counts(scene, rng)?,
        1 => colours(scene, rng)?,
        _ => about_it(scene, rng)?,
    };
    for turn in &mut turns {
        turn.kind = QuestionKind::Followup;
    }
    Some(turns)
}

/// Asks `How many squares are there?`, then `And how many circles?`.
fn counts(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let first = count(scene, rng)?;
    let mut second = count(scene, rng)?;
    let rest = second.question.strip_prefix("How many ")?;
    let end = rest.find(" are ").or_else(|| rest.find(" do "))?;
    second.question = format!("And how many {}?", &rest[..end]);
    (first.sentence != second.sentence).then(|| vec![first, second])
}

/// Asks `What color is the circle?`, then `And the square?`.
fn colours(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    if scene.objects.len() < 2 {
        return None;
    }
    let pair: Vec<&Object> = scene.objects.choose_multiple(rng, 2).collect();
    let names = [name(scene, pair[0], false, rng)?, name(scene, pair[1], false, rng)?];
    let colour = |i: usize| pair[i].colour.name();
    let said = |i: usize| format!("The {} is {}.", names[i], colour(i));
    let question = format!("What {} is the {}?", spelling(rng), names[0]);
    Some(vec![
        Qa::new(QuestionKind::Followup, question, colour(0), said(0))?,
        Qa::new(QuestionKind::Followup, format!("And the {}?", names[1]), colour(1), said(1))?,
    ])
}

/// Asks `Is there a star?`, then `What color is it?`.
fn about_it(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let object = scene.objects.choose(rng)?;
    let figure = object.figure()?;
    let ask_colour = rng.random_bool(0.4);
    let name = name(scene, object, !ask_colour, rng)?;
    let a = super::questions::article(&name);
    let first =
        Qa::new(QuestionKind::Followup, format!("Is there {a} {name}?"), "Yes", format!("Yes, there is {a} {name}."))?;
    let second = if ask_colour {
        let colour = object.colour.name();
        Qa::new(QuestionKind::Followup, format!("What {} is it?", spelling(rng)), colour, format!("It is {colour}."))
    } else if rng.random_bool(0.6) {
        let place = object.place()?;
        Qa::new(QuestionKind::Followup, "Where is it?".to_owned(), place, format!("It is {}.", at_place(place)))
    } else {
        let size = match (figure, object.size()) {
            (Figure::Shape(_), SizeClass::Small) => "small",
            (Figure::Shape(_), SizeClass::Large) => "large",
            _ => return None,
        };
        // A name that says "large" gives the answer away.
        if name.contains(size) {
            return None;
        }
        Qa::new(QuestionKind::Followup, "How big is it?".to_owned(), size, format!("It is {size}."))
    }?;
    Some(vec![first, second])
}
