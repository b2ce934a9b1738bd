//! Questions about drawn things, and questions about existence and number in scenes that show some.

use super::questions::{Qa, QuestionKind, article, at_place, pick, yes};
use super::scene::{Colour, Figure, Object, Scene, Shape, Thing, third};
use super::sketch::Sketch;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Asks `What is drawn here?`, `What thing is red?` or `What is on the left?`.
pub(super) fn thing(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let drawn: Vec<&Object> = scene.objects.iter().filter(|o| matches!(o.thing, Thing::Sketch(_))).collect();
    let object = *drawn.choose(rng)?;
    let short = object.figure()?.name();
    let a = article(short);
    if scene.objects.len() == 1 && rng.random_bool(0.75) {
        const ALONE: [&str; 7] = [
            "What is drawn here?",
            "What is drawn here?",
            "What is drawn?",
            "What did I draw?",
            "What thing is this?",
            "What is this a drawing of?",
            "Which thing do you see?",
        ];
        return Qa::new(QuestionKind::Thing, pick(rng, &ALONE).to_owned(), short, format!("It is {a} {short}."));
    }
    let others = || scene.objects.iter().filter(|o| *o != object);
    if rng.random_bool(0.5) && others().all(|o| o.colour != object.colour) {
        let colour = object.colour.name();
        let question = pick(rng, &["What is", "What thing is", "Which thing is"]);
        let sentence = format!("The {colour} thing is {a} {short}.");
        return Qa::new(QuestionKind::Thing, format!("{question} {colour}?"), short, sentence);
    }
    let place = object.place()?;
    let clear = match place {
        "left" | "right" | "top" | "bottom" => {
            let axis = usize::from(matches!(place, "top" | "bottom"));
            let own = third(object.centre[axis]);
            others().all(|o| third(o.centre[axis]).is_some_and(|t| Some(t) != own))
        }
        _ => others().all(|o| o.place().is_some_and(|p| p != place)),
    };
    if !clear {
        return None;
    }
    let at = at_place(place);
    let question = pick(rng, &["What is", "What thing is", "What is drawn"]);
    let sentence = format!("The thing {at} is {a} {short}.");
    Qa::new(QuestionKind::Thing, format!("{question} {at}?"), short, sentence)
}

/// Returns a random figure: a thing three times in four.
fn random_figure(rng: &mut ChaCha8Rng) -> Option<Figure> {
    Some(match rng.random_bool(0.75) {
        true => Figure::Sketch(*Sketch::ALL.choose(rng)?),
        false => Figure::Shape(*Shape::ALL.choose(rng)?),
    })
}

/// Counts the objects of a figure, of a colour if one is given.
fn number(scene: &Scene, figure: Figure, colour: Option<Colour>) -> usize {
    scene.objects.iter().filter(|o| o.figure() == Some(figure) && colour.is_none_or(|c| c == o.colour)).count()
}

/// Asks `Is there a house?` or `Do you see a red house?`.
pub(super) fn existence(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let figures: Vec<&Object> = scene.objects.iter().filter(|o| o.figure().is_some()).collect();
    let object = *figures.choose(rng)?;
    let mut figure = object.figure()?;
    let mut colour = rng.random_bool(0.4).then_some(object.colour);
    if rng.random_bool(0.5) {
        for _ in 0..20 {
            if colour.is_some() && rng.random_bool(0.5) {
                colour = Colour::ALL.choose(rng).copied();
            } else {
                figure = random_figure(rng)?;
            }
            if number(scene, figure, colour) == 0 {
                break;
            }
        }
    }
    let truth = number(scene, figure, colour) > 0;
    let what = colour.map_or_else(String::new, |c| format!("{} ", c.name())) + figure.name();
    let a = article(&what);
    let question = match rng.random_range(0..6) {
        0 => format!("Is there {a} {what} in the image?"),
        1 => format!("Do you see {a} {what}?"),
        2 => format!("Can you see {a} {what}?"),
        3 => format!("Is {a} {what} drawn here?"),
        _ => format!("Is there {a} {what}?"),
    };
    let sentence = if truth { format!("Yes, there is {a} {what}.") } else { format!("No, there is no {what}.") };
    Qa::new(QuestionKind::Existence, question, yes(truth), sentence)
}

/// Asks `How many houses are there?`.
pub(super) fn count(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let figures: Vec<&Object> = scene.objects.iter().filter(|o| o.figure().is_some()).collect();
    let object = *figures.choose(rng)?;
    let figure = if rng.random_bool(0.85) { object.figure()? } else { random_figure(rng)? };
    let colour = rng.random_bool(0.2).then_some(object.colour);
    let number = number(scene, figure, colour);
    let prefix = colour.map_or_else(String::new, |c| format!("{} ", c.name()));
    let (one, many) = (format!("{prefix}{}", figure.name()), format!("{prefix}{}", figure.plural()));
    let question = match rng.random_range(0..4) {
        0 => format!("How many {many} are in the image?"),
        1 => format!("How many {many} do you see?"),
        _ => format!("How many {many} are there?"),
    };
    let sentence = match number {
        1 => format!("There is 1 {one}."),
        n => format!("There are {n} {many}."),
    };
    Qa::new(QuestionKind::Count, question, number.to_string(), sentence)
}
