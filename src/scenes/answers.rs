//! Scoring of answers.
//!
//! A short answer is right when it equals the expected word or phrase, apart from case and punctuation. A sentence is
//! right when its last member of the expected answer's class is the expected answer: the last colour of "The circle is
//! red.", the last place of "The star is in the top left." (where "left" would be another place). For yes and no the
//! first word counts. A caption is right when it names exactly the objects of the scene with their colours, each as
//! often as it occurs.

use super::questions::QuestionKind;
use super::scene::{Colour, Shape};
use super::sketch::Sketch;

/// Converts text to lower case, letters and digits only, with one space between words.
pub fn normalise(text: &str) -> String {
    let letters = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect::<String>();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the classes of mutually exclusive answers.
fn classes() -> Vec<Vec<String>> {
    let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    vec![
        Colour::ALL.iter().map(|c| c.name().to_owned()).collect(),
        Shape::ALL.iter().map(|s| s.name().to_owned()).collect(),
        Sketch::ALL.iter().map(|s| s.name().to_owned()).collect(),
        words(&["top left", "top right", "bottom left", "bottom right", "top", "bottom", "left", "right", "center"]),
        words(&["small", "large"]),
        words(&["above", "below"]),
        (0..100).map(|n| n.to_string()).collect(),
    ]
}

/// Finds the member of `class` that `text` mentions last; of two that end at the same place, the longer.
fn last_mention<'a>(text: &str, class: &'a [String]) -> Option<&'a str> {
    let text = format!(" {text} ");
    let end = |member: &String| text.rfind(&format!(" {member} ")).map(|at| (at + member.len(), member.len()));
    class.iter().filter_map(|m| Some((end(m)?, m))).max_by_key(|(end, _)| *end).map(|(_, m)| m.as_str())
}

/// Extracts every `colour noun` of a caption, sorted.
fn inventory(caption: &str) -> Vec<String> {
    let words: Vec<&str> = caption.split(' ').collect();
    let is_colour = |w: &str| Colour::ALL.iter().any(|c| c.name() == w);
    let mut items: Vec<String> = words
        .iter()
        .enumerate()
        .filter(|(_, w)| is_colour(w))
        .map(|(i, _)| {
            // "the black word cat": the word itself belongs to the item.
            let text = words.get(i + 1).is_some_and(|w| matches!(*w, "word" | "number"));
            words[i..(i + 2 + usize::from(text)).min(words.len())].join(" ")
        })
        .collect();
    items.sort();
    items
}

/// Returns whether `given` is right. `expected` is the short form of the answer, or the whole caption.
pub fn is_right(kind: QuestionKind, wants_short: bool, expected: &str, given: &str) -> bool {
    let (expected, given) = (normalise(expected), normalise(given));
    if kind == QuestionKind::Caption {
        return inventory(&expected) == inventory(&given);
    }
    if wants_short {
        return expected == given;
    }
    match expected.as_str() {
        "yes" | "no" => given.split(' ').next() == Some(&expected),
        "none" => given.starts_with("there is no "),
        _ => match classes().iter().find(|class| class.contains(&expected)) {
            Some(class) => last_mention(&given, class) == Some(&expected),
            None => format!(" {given} ").contains(&format!(" {expected} ")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_are_compared_whole() {
        assert!(is_right(QuestionKind::Colour, true, "red", " Red."));
        assert!(!is_right(QuestionKind::Colour, true, "red", "The circle is red."));
        assert!(!is_right(QuestionKind::Position, true, "left", "top left"));
    }

    #[test]
    fn sentences_are_judged_by_their_last_mention() {
        assert!(is_right(QuestionKind::Shape, false, "star", "The shape to the left of the red circle is a star."));
        assert!(!is_right(QuestionKind::Shape, false, "circle", "The shape to the left of the red circle is a star."));
        assert!(is_right(QuestionKind::Position, false, "top left", "The star is in the top left."));
        assert!(!is_right(QuestionKind::Position, false, "left", "The star is in the top left."));
        assert!(is_right(QuestionKind::Count, false, "1", "There is 1 red shape."));
        assert!(is_right(QuestionKind::Existence, false, "Yes", "Yes, there is no doubt."));
        assert!(!is_right(QuestionKind::Existence, false, "Yes", "No, there is no star."));
        assert!(is_right(QuestionKind::Colour, false, "none", "There is no circle."));
    }

    #[test]
    fn captions_are_judged_by_their_objects() {
        let truth = "A small red star, a large red circle and the black word cat.";
        assert!(is_right(
            QuestionKind::Caption,
            false,
            truth,
            "The black word cat, a red circle on the left and a red star."
        ));
        assert!(!is_right(QuestionKind::Caption, false, truth, "The black word dog, a red circle and a red star."));
        assert!(!is_right(QuestionKind::Caption, false, truth, "A red circle and the black word cat."));
    }
}
