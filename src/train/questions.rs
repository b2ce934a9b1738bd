//! What is asked about a scene, and the answers that are true of it.
//!
//! Each question has a short answer, given when [`SUFFIX`] follows the question (LLaVA-1.5's own wording),
//! and a sentence, given otherwise. A question is asked only where its answer is unambiguous: things are
//! named so that the name fits one object, positions and sizes only where they are clear.

use super::scenes::{Object, Scene, Shape, Size, Thing, WORDS, third};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Asks for the short answer.
pub const SUFFIX: &str = "Answer the question using a single word or phrase.";

/// What a question is about; the rows of the accuracy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Kind {
    Colour,
    Shape,
    Existence,
    Count,
    Position,
    Relation,
    Text,
    Size,
    Caption,
    Followup,
}

impl Kind {
    /// All of them, in the table's order.
    pub const ALL: [Self; 10] = [
        Self::Colour,
        Self::Shape,
        Self::Existence,
        Self::Count,
        Self::Position,
        Self::Relation,
        Self::Text,
        Self::Size,
        Self::Caption,
        Self::Followup,
    ];
    /// As in `questions.jsonl`.
    pub fn name(self) -> &'static str {
        ["colour", "shape", "existence", "count", "position", "relation", "text", "size", "caption", "followup"]
            [self as usize]
    }
}

/// A question with both forms of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Qa {
    /// What it is about.
    pub kind: Kind,
    /// Without suffix.
    pub question: String,
    /// A word or phrase.
    pub short: String,
    /// A sentence.
    pub sentence: String,
}

impl Qa {
    pub(super) fn new(kind: Kind, question: String, short: impl Into<String>, sentence: String) -> Option<Self> {
        Some(Self { kind, question, short: short.into(), sentence })
    }
}

/// One exchange as it is trained on and asked: the suffix is part of the question, the answer is in the form
/// that the question wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What the person says.
    pub question: String,
    /// What the model should say.
    pub answer: String,
}

/// A conversation about one picture. All turns but the last are context.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// What the last question is about.
    pub kind: Kind,
    /// One or two exchanges.
    pub turns: Vec<Turn>,
    /// The short form of the last answer.
    pub short: String,
    /// Whether the last question asks for the short form.
    pub wants_short: bool,
}

/// A random conversation of a given kind about `scene`, if the scene allows one.
pub fn conversation(scene: &Scene, kind: Kind, rng: &mut ChaCha8Rng) -> Option<Conversation> {
    let asked = match kind {
        Kind::Followup => super::followups::followup(scene, rng)?,
        _ => vec![ask(scene, kind, rng)?],
    };
    let last = asked.last()?.clone();
    let wants_short = kind != Kind::Caption && rng.random_bool(0.5);
    let turns = asked
        .into_iter()
        .map(|qa| {
            if wants_short {
                let gap = if rng.random_bool(0.7) { '\n' } else { ' ' };
                Turn { question: format!("{}{gap}{SUFFIX}", qa.question), answer: qa.short }
            } else {
                Turn { question: qa.question, answer: qa.sentence }
            }
        })
        .collect();
    Some(Conversation { kind, turns, short: last.short, wants_short })
}

/// A random question of one kind, if the scene allows one.
pub fn ask(scene: &Scene, kind: Kind, rng: &mut ChaCha8Rng) -> Option<Qa> {
    match kind {
        Kind::Colour => colour(scene, rng),
        Kind::Shape => shape(scene, rng),
        Kind::Existence => super::presence::existence(scene, rng),
        Kind::Count => super::presence::count(scene, rng),
        Kind::Position => position(scene, rng),
        Kind::Relation => super::relations::relation(scene, rng),
        Kind::Text => text(scene, rng),
        Kind::Size => super::relations::size(scene, rng),
        Kind::Caption => Some(super::captions::caption(scene, rng)),
        Kind::Followup => None,
    }
}

/// One of several ways of saying the same.
pub(super) fn pick<'a>(rng: &mut ChaCha8Rng, variants: &[&'a str]) -> &'a str {
    variants.choose(rng).copied().unwrap_or("")
}

pub(super) fn yes(truth: bool) -> &'static str {
    if truth { "Yes" } else { "No" }
}

/// `a` or `an`.
pub(super) fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A name that fits `object` and nothing else in the scene; without its colour if that is asked for.
pub(super) fn name(scene: &Scene, object: &Object, with_colour: bool, rng: &mut ChaCha8Rng) -> Option<String> {
    let unique = |f: &dyn Fn(&Object) -> bool| scene.objects.iter().filter(|o| f(o)).count() == 1;
    let shape = match object.thing {
        Thing::Shape(shape) => shape,
        Thing::Word(_) => return Some(pick(rng, &["word", "text", "word"]).to_owned()),
        Thing::Number(_) => return Some("number".to_owned()),
    };
    let mut names = Vec::new();
    if unique(&|o| o.shape() == Some(shape)) {
        names.push(shape.name().to_owned());
        names.push(shape.name().to_owned());
    }
    let size = object.size();
    if with_colour && unique(&|o| o.shape() == Some(shape) && o.colour == object.colour) {
        names.push(format!("{} {}", object.colour.name(), shape.name()));
    }
    // "The large circle" needs that no other circle could pass for large.
    let sized = |o: &Object| o.shape() == Some(shape) && (o.size() == size || o.size() == Size::Medium);
    if size != Size::Medium && unique(&sized) {
        names.push(format!("{}{}", size.adjective(), shape.name()));
    }
    names.choose(rng).cloned()
}

pub(super) fn any<'a>(scene: &'a Scene, rng: &mut ChaCha8Rng) -> Option<&'a Object> {
    scene.objects.choose(rng)
}

/// A question about something that is not there, and what to say then.
fn missing(scene: &Scene, kind: Kind, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let shape = *Shape::ALL.choose(rng)?;
    if scene.objects.iter().any(|o| o.shape() == Some(shape)) {
        return None;
    }
    let name = shape.name();
    let question = match kind {
        Kind::Colour => format!("What {} is the {name}?", spelling(rng)),
        _ => format!("Where is the {name}?"),
    };
    Qa::new(kind, question, "none", format!("There is no {name}."))
}

fn colour(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if rng.random_bool(0.05) {
        return missing(scene, Kind::Colour, rng);
    }
    let object = any(scene, rng)?;
    let alone = scene.objects.len() == 1 && object.shape().is_some();
    let name = if alone && rng.random_bool(0.2) {
        pick(rng, &["shape", "object"]).to_owned()
    } else {
        name(scene, object, false, rng)?
    };
    let question = match pick(rng, &["what", "what", "what", "of", "which"]) {
        "what" => format!("What {} is the {name}?", spelling(rng)),
        "of" => format!("What is the {} of the {name}?", spelling(rng)),
        _ => format!("Which {} is the {name}?", spelling(rng)),
    };
    let short = object.colour.name();
    Qa::new(Kind::Colour, question, short, format!("The {name} is {short}."))
}

/// Both spellings are understood.
pub(super) fn spelling(rng: &mut ChaCha8Rng) -> &'static str {
    pick(rng, &["color", "colour"])
}

fn shape(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let shapes: Vec<&Object> = scene.objects.iter().filter(|o| o.shape().is_some()).collect();
    let object = *shapes.choose(rng)?;
    let short = object.shape()?.name();
    if shapes.len() == 1 && rng.random_bool(0.5) {
        let question = pick(
            rng,
            &["What shape is this?", "What shape is in the image?", "Which shape is shown?", "What shape do you see?"],
        );
        return Qa::new(Kind::Shape, question.to_owned(), short, format!("It is a {short}."));
    }
    let coloured = shapes.iter().filter(|o| o.colour == object.colour).count() == 1;
    if coloured && rng.random_bool(0.5) {
        let colour = object.colour.name();
        let question = match rng.random_range(0..3) {
            0 => format!("What shape is {colour}?"),
            1 => format!("Which shape is {colour}?"),
            _ => format!("What is the shape of the {colour} object?"),
        };
        return Qa::new(Kind::Shape, question, short, format!("The {colour} shape is a {short}."));
    }
    let place = object.place()?;
    // "On the left" must exclude everything that is, or may be, on the left.
    let (axis, cell) = match place {
        "left" => (0, 0),
        "right" => (0, 2),
        "top" => (1, 0),
        "bottom" => (1, 2),
        _ => (2, 0),
    };
    let others = shapes.iter().filter(|o| ***o != *object);
    let clear = match axis {
        2 => others.clone().all(|o| o.place().is_some_and(|p| p != place)),
        _ => others.clone().all(|o| third(o.centre[axis]).is_some_and(|t| t != cell)),
    };
    if !clear {
        return None;
    }
    let at = at_place(place);
    let verb = pick(rng, &["What", "Which"]);
    Qa::new(Kind::Shape, format!("{verb} shape is {at}?"), short, format!("The shape {at} is a {short}."))
}

/// `on the left`, `in the top left`, `at the top`, `in the center`.
pub(super) fn at_place(place: &str) -> String {
    match place {
        "left" | "right" => format!("on the {place}"),
        "top" | "bottom" => format!("at the {place}"),
        _ => format!("in the {place}"),
    }
}

fn position(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if rng.random_bool(0.05) {
        return missing(scene, Kind::Position, rng);
    }
    let object = any(scene, rng)?;
    let name = name(scene, object, true, rng)?;
    if rng.random_bool(0.25) {
        let axis = rng.random_range(0..2);
        let side = match third(object.centre[axis])? {
            0 => ["left", "top"][axis],
            2 => ["right", "bottom"][axis],
            _ => return None,
        };
        let question = match axis {
            0 => format!("Is the {name} on the left or on the right?"),
            _ => format!("Is the {name} at the top or at the bottom?"),
        };
        return Qa::new(Kind::Position, question, side, format!("The {name} is {}.", at_place(side)));
    }
    let place = object.place()?;
    let question = match rng.random_range(0..4) {
        0 => format!("Where is the {name} in the image?"),
        1 => format!("Where do you see the {name}?"),
        _ => format!("Where is the {name}?"),
    };
    Qa::new(Kind::Position, question, place, format!("The {name} is {}.", at_place(place)))
}

fn text(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let Some(object) = scene.objects.iter().find(|o| o.shape().is_none()) else {
        // Rarely: most scenes have no text, and "none" must not become the usual answer.
        let question = pick(rng, &["What word is written?", "What does the text say?", "What number is written?"]);
        let none = || Qa::new(Kind::Text, question.to_owned(), "none", "There is no text.".to_owned());
        return rng.random_bool(0.02).then(none).flatten();
    };
    match object.thing {
        Thing::Word(word) => {
            let short = WORDS[word];
            let question = pick(
                rng,
                &[
                    "What word is written?",
                    "What is written in the image?",
                    "What does the text say?",
                    "Which word do you see?",
                    "What word is this?",
                    "Read the word.",
                ],
            );
            Qa::new(Kind::Text, question.to_owned(), short, format!("The word is {short}."))
        }
        Thing::Number(number) => {
            let question = pick(
                rng,
                &["What number is written?", "What number is this?", "Which number do you see?", "Read the number."],
            );
            Qa::new(Kind::Text, question.to_owned(), number.to_string(), format!("The number is {number}."))
        }
        Thing::Shape(_) => None,
    }
}
