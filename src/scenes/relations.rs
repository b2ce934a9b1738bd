//! Questions about the sizes and relative positions of objects.

use super::questions::{Qa, QuestionKind, article, name, pick, yes};
use super::scene::{Object, Scene, SizeClass};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Returns two different random objects.
fn two<'a>(scene: &'a Scene, rng: &mut ChaCha8Rng) -> Option<(&'a Object, &'a Object)> {
    let n = scene.objects.len();
    if n < 2 {
        return None;
    }
    let a = rng.random_range(0..n);
    let b = (a + rng.random_range(1..n)) % n;
    Some((&scene.objects[a], &scene.objects[b]))
}

/// Asks `Is the circle left of the square?`, `Is the star above or below the heart?` or `What shape is above …?`.
pub(super) fn relation(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let (a, b) = two(scene, rng)?;
    let (first, second) = (name(scene, a, true, rng)?, name(scene, b, true, rng)?);
    let axis = rng.random_range(0..2);
    let difference = a.centre[axis] - b.centre[axis];
    if difference.abs() < 0.13 {
        return None;
    }
    let words = [["to the left of", "to the right of"], ["above", "below"]][axis];
    let loose = [["left of", "right of"], ["above", "below"]][axis];
    let truly = usize::from(difference > 0.0);
    match rng.random_range(0..10) {
        0..=1 => {
            let short = [["left", "right"], ["above", "below"]][axis][truly];
            let question = match axis {
                0 => format!("Is the {first} left or right of the {second}?"),
                _ => format!("Is the {first} above or below the {second}?"),
            };
            Qa::new(QuestionKind::Relation, question, short, format!("The {first} is {} the {second}.", words[truly]))
        }
        2..=3 if scene.objects.len() == 2 => {
            let (figure, phrase) = (a.figure()?, words[truly]);
            let (short, class) = (figure.name(), if a.shape().is_some() { "shape" } else { "thing" });
            let question = format!("{} {class} is {phrase} the {second}?", pick(rng, &["What", "Which"]));
            let sentence = format!("The {class} {phrase} the {second} is {} {short}.", article(short));
            Qa::new(QuestionKind::Relation, question, short, sentence)
        }
        _ => {
            let asked = usize::from(rng.random_bool(0.5));
            let phrase = if rng.random_bool(0.5) { words[asked] } else { loose[asked] };
            let answer = yes(asked == truly);
            let sentence = format!("{answer}, the {first} is {} the {second}.", words[truly]);
            Qa::new(QuestionKind::Relation, format!("Is the {first} {phrase} the {second}?"), answer, sentence)
        }
    }
}

/// Asks `Is the circle large or small?` or `Which is larger, the circle or the star?`.
pub(super) fn size(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if rng.random_bool(0.3) {
        let (a, b) = two(scene, rng)?;
        let (sa, sb) = (a.shape()?, b.shape()?);
        let unique = |s| scene.objects.iter().filter(|o| o.shape() == Some(s)).count() == 1;
        let ratio = a.half[0] / b.half[0];
        if !unique(sa) || !unique(sb) || (0.67..1.5).contains(&ratio) {
            return None;
        }
        let bigger = rng.random_bool(0.5);
        let short = if bigger == (ratio > 1.0) { sa.name() } else { sb.name() };
        let word = if bigger { pick(rng, &["larger", "bigger"]) } else { "smaller" };
        let question = format!("Which is {word}, the {} or the {}?", sa.name(), sb.name());
        return Qa::new(QuestionKind::Size, question, short, format!("The {short} is {word}."));
    }
    let shapes: Vec<&Object> = scene.objects.iter().filter(|o| o.shape().is_some()).collect();
    let object = *shapes.choose(rng)?;
    let short = match object.size() {
        SizeClass::Small => "small",
        SizeClass::Large => "large",
        SizeClass::Medium => return None,
    };
    let shape = object.shape()?;
    let unique = |f: &dyn Fn(&Object) -> bool| scene.objects.iter().filter(|o| f(o)).count() == 1;
    // The name must not contain the size.
    let name = if unique(&|o| o.shape() == Some(shape)) {
        shape.name().to_owned()
    } else if unique(&|o| o.shape() == Some(shape) && o.colour == object.colour) {
        format!("{} {}", object.colour.name(), shape.name())
    } else {
        return None;
    };
    let sentence = format!("The {name} is {short}.");
    match rng.random_range(0..5) {
        0 => Qa::new(QuestionKind::Size, format!("What size is the {name}?"), short, sentence),
        1 => Qa::new(QuestionKind::Size, format!("How big is the {name}?"), short, sentence),
        2 => Qa::new(QuestionKind::Size, format!("Is the {name} small or large?"), short, sentence),
        3 => {
            let asked = pick(rng, &["small", "large"]);
            let answer = yes(asked == short);
            let sentence = format!("{answer}, the {name} is {short}.");
            Qa::new(QuestionKind::Size, format!("Is the {name} {asked}?"), answer, sentence)
        }
        _ => Qa::new(QuestionKind::Size, format!("Is the {name} large or small?"), short, sentence),
    }
}
