//! Captions: sentences that describe a whole scene.

use super::questions::{Qa, QuestionKind, at_place, pick};
use super::scene::{Object, Scene, Thing, WORDS};
use rand_chacha::ChaCha8Rng;

/// Returns the noun phrase of an object: `a large red circle`, `a red house`, `the black word cat`, `the blue number 7`.
fn noun(object: &Object) -> String {
    let colour = object.colour.name();
    match object.thing {
        Thing::Shape(_) | Thing::Sketch(_) => {
            let phrase = object.phrase();
            format!("{} {phrase}", super::questions::article(&phrase))
        }
        Thing::Word(word) => format!("the {colour} word {}", WORDS[word]),
        Thing::Number(number) => format!("the {colour} number {number}"),
    }
}

/// Describes all objects of the scene from left to right; with `places`, each with its position.
pub fn describe(scene: &Scene, places: bool) -> String {
    let mut objects: Vec<&Object> = scene.objects.iter().collect();
    objects.sort_by(|a, b| a.centre[0].total_cmp(&b.centre[0]));
    let nouns: Vec<String> = objects
        .iter()
        .map(|object| match object.place() {
            Some(place) if places => format!("{} {}", noun(object), at_place(place)),
            _ => noun(object),
        })
        .collect();
    let text = match nouns.as_slice() {
        [] => return "Nothing.".to_owned(),
        [one] => format!("{one}."),
        [head @ .., last] => format!("{} and {last}.", head.join(", ")),
    };
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns a random request for a caption, and the caption.
pub(super) fn caption(scene: &Scene, rng: &mut ChaCha8Rng) -> Qa {
    const PLAIN: [&str; 6] = [
        "Describe the image.",
        "What is in the image?",
        "What do you see?",
        "Describe this picture.",
        "What does the image show?",
        "What is this?",
    ];
    const PLACED: [&str; 3] =
        ["Describe the image in detail.", "What is where in the image?", "What do you see, and where?"];
    let places = pick(rng, &["plain", "plain", "placed"]) == "placed";
    let question = pick(rng, if places { &PLACED } else { &PLAIN }).to_owned();
    Qa { kind: QuestionKind::Caption, question, short: describe(scene, false), sentence: describe(scene, places) }
}
