//! Conversations of two turns, where the second question leans on the first.

use super::presence::count;
use super::questions::{Kind, Qa, at_place, name, spelling};
use super::scenes::{Object, Scene, Size};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Two turns; the last one is the one that is scored.
pub(super) fn followup(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let mut turns = match rng.random_range(0..4) {
        0 => counts(scene, rng)?,
        1 => colours(scene, rng)?,
        _ => about_it(scene, rng)?,
    };
    for turn in &mut turns {
        turn.kind = Kind::Followup;
    }
    Some(turns)
}

/// `How many squares are there?` .. `And how many circles?`
fn counts(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let first = count(scene, rng)?;
    let mut second = count(scene, rng)?;
    let rest = second.question.strip_prefix("How many ")?;
    let end = rest.find(" are ").or_else(|| rest.find(" do "))?;
    second.question = format!("And how many {}?", &rest[..end]);
    (first.sentence != second.sentence).then(|| vec![first, second])
}

/// `What color is the circle?` .. `And the square?`
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
        Qa::new(Kind::Followup, question, colour(0), said(0))?,
        Qa::new(Kind::Followup, format!("And the {}?", names[1]), colour(1), said(1))?,
    ])
}

/// `Is there a star?` `Yes.` .. `What color is it?`
fn about_it(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Vec<Qa>> {
    let object = scene.objects.choose(rng)?;
    object.shape()?;
    let ask_colour = rng.random_bool(0.4);
    let name = name(scene, object, !ask_colour, rng)?;
    let a = super::questions::article(&name);
    let first = Qa::new(Kind::Followup, format!("Is there {a} {name}?"), "Yes", format!("Yes, there is {a} {name}."))?;
    let second = if ask_colour {
        let colour = object.colour.name();
        Qa::new(Kind::Followup, format!("What {} is it?", spelling(rng)), colour, format!("It is {colour}."))
    } else if rng.random_bool(0.6) {
        let place = object.place()?;
        Qa::new(Kind::Followup, "Where is it?".to_owned(), place, format!("It is {}.", at_place(place)))
    } else {
        let size = match object.size() {
            Size::Small => "small",
            Size::Large => "large",
            Size::Medium => return None,
        };
        // A name that says "large" gives the answer away.
        if name.contains(size) {
            return None;
        }
        Qa::new(Kind::Followup, "How big is it?".to_owned(), size, format!("It is {size}."))
    }?;
    Some(vec![first, second])
}
