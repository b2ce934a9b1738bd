//! Questions about a scene and their true answers.
//!
//! Each question has two answers: a short one, given when [`SUFFIX`] follows the question (LLaVA-1.5's wording), and a
//! sentence, given otherwise. A question is asked only where its answer is unambiguous: a name fits exactly one object,
//! and positions and sizes are clear.

use super::scene::{Figure, Object, Scene, Shape, SizeClass, Thing, WORDS, third};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// The suffix that asks for the short answer.
pub const SUFFIX: &str = "Answer the question using a single word or phrase.";

/// The kind of a question, a row of the accuracy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum QuestionKind {
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
    Thing,
}

impl QuestionKind {
    /// All kinds, in the order of the table.
    pub const ALL: [Self; 11] = [
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
        Self::Thing,
    ];
    /// Returns its name in `questions.jsonl`.
    pub fn name(self) -> &'static str {
        [
            "colour",
            "shape",
            "existence",
            "count",
            "position",
            "relation",
            "text",
            "size",
            "caption",
            "followup",
            "thing",
        ][self as usize]
    }
}

/// A question with both forms of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Qa {
    /// Kind of the question.
    pub kind: QuestionKind,
    /// The question, without suffix.
    pub question: String,
    /// The answer as a word or phrase.
    pub short: String,
    /// The answer as a sentence.
    pub sentence: String,
}

impl Qa {
    pub(super) fn new(
        kind: QuestionKind,
        question: String,
        short: impl Into<String>,
        sentence: String,
    ) -> Option<Self> {
        Some(Self { kind, question, short: short.into(), sentence })
    }
}

/// One exchange of a conversation. The question includes the suffix; the answer has the form that it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The question.
    pub question: String,
    /// The expected answer.
    pub answer: String,
}

/// A conversation about one picture. The last turn is scored; earlier ones are context.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Kind of the last question.
    pub kind: QuestionKind,
    /// One or two exchanges.
    pub turns: Vec<Turn>,
    /// The short form of the last answer.
    pub short: String,
    /// Whether the last question asks for the short form.
    pub wants_short: bool,
}

/// Returns a random conversation of a given kind about `scene`, if the scene allows one.
pub fn conversation(scene: &Scene, kind: QuestionKind, rng: &mut ChaCha8Rng) -> Option<Conversation> {
    let asked = match kind {
        QuestionKind::Followup => super::followups::followup(scene, rng)?,
        _ => vec![ask(scene, kind, rng)?],
    };
    let last = asked.last()?.clone();
    let wants_short = kind != QuestionKind::Caption && rng.random_bool(0.5);
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

/// Returns a random question of a given kind, if the scene allows one.
pub fn ask(scene: &Scene, kind: QuestionKind, rng: &mut ChaCha8Rng) -> Option<Qa> {
    match kind {
        QuestionKind::Colour => colour(scene, rng),
        QuestionKind::Shape => shape(scene, rng),
        QuestionKind::Existence => super::presence::existence(scene, rng),
        QuestionKind::Count => super::presence::count(scene, rng),
        QuestionKind::Position => position(scene, rng),
        QuestionKind::Relation => super::relations::relation(scene, rng),
        QuestionKind::Text => text(scene, rng),
        QuestionKind::Size => super::relations::size(scene, rng),
        QuestionKind::Caption => Some(super::captions::caption(scene, rng)),
        QuestionKind::Followup => None,
        QuestionKind::Thing => super::things::thing(scene, rng),
    }
}

/// Picks one of several wordings.
pub(super) fn pick<'a>(rng: &mut ChaCha8Rng, variants: &[&'a str]) -> &'a str {
    variants.choose(rng).copied().unwrap_or("")
}

/// Returns `Yes` or `No`.
pub(super) fn yes(truth: bool) -> &'static str {
    if truth { "Yes" } else { "No" }
}

/// Returns the article, `a` or `an`.
pub fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Returns a name that fits `object` and no other object of the scene; without its colour unless `with_colour`.
pub(super) fn name(scene: &Scene, object: &Object, with_colour: bool, rng: &mut ChaCha8Rng) -> Option<String> {
    let unique = |f: &dyn Fn(&Object) -> bool| scene.objects.iter().filter(|o| f(o)).count() == 1;
    let figure = match object.thing {
        Thing::Shape(shape) => Figure::Shape(shape),
        Thing::Sketch(sketch) => Figure::Sketch(sketch),
        Thing::Word(_) => return Some(pick(rng, &["word", "text", "word"]).to_owned()),
        Thing::Number(_) => return Some("number".to_owned()),
    };
    let mut names = Vec::new();
    if unique(&|o| o.figure() == Some(figure)) {
        names.push(figure.name().to_owned());
        names.push(figure.name().to_owned());
    }
    let size = object.size();
    if with_colour && unique(&|o| o.figure() == Some(figure) && o.colour == object.colour) {
        names.push(format!("{} {}", object.colour.name(), figure.name()));
    }
    // "The large circle" requires that every other circle is clearly small.
    let sized = |o: &Object| o.figure() == Some(figure) && (o.size() == size || o.size() == SizeClass::Medium);
    if matches!(figure, Figure::Shape(_)) && size != SizeClass::Medium && unique(&sized) {
        names.push(format!("{}{}", size.adjective(), figure.name()));
    }
    names.choose(rng).cloned()
}

/// Returns a random object.
pub(super) fn any<'a>(scene: &'a Scene, rng: &mut ChaCha8Rng) -> Option<&'a Object> {
    scene.objects.choose(rng)
}

/// Asks for a shape that the scene lacks; the answer is "none".
fn missing(scene: &Scene, kind: QuestionKind, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let shape = *Shape::ALL.choose(rng)?;
    if scene.objects.iter().any(|o| o.shape() == Some(shape)) {
        return None;
    }
    let name = shape.name();
    let question = match kind {
        QuestionKind::Colour => format!("What {} is the {name}?", spelling(rng)),
        _ => format!("Where is the {name}?"),
    };
    Qa::new(kind, question, "none", format!("There is no {name}."))
}

/// Asks for the colour of an object.
fn colour(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if rng.random_bool(0.05) {
        return missing(scene, QuestionKind::Colour, rng);
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
    Qa::new(QuestionKind::Colour, question, short, format!("The {name} is {short}."))
}

/// Picks one of the two spellings of "colour".
pub(super) fn spelling(rng: &mut ChaCha8Rng) -> &'static str {
    pick(rng, &["color", "colour"])
}

/// Asks for the shape of an object.
fn shape(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let shapes: Vec<&Object> = scene.objects.iter().filter(|o| o.shape().is_some()).collect();
    let object = *shapes.choose(rng)?;
    let short = object.shape()?.name();
    if shapes.len() == 1 && rng.random_bool(0.5) {
        let question = pick(
            rng,
            &["What shape is this?", "What shape is in the image?", "Which shape is shown?", "What shape do you see?"],
        );
        return Qa::new(QuestionKind::Shape, question.to_owned(), short, format!("It is a {short}."));
    }
    let coloured = shapes.iter().filter(|o| o.colour == object.colour).count() == 1;
    if coloured && rng.random_bool(0.5) {
        let colour = object.colour.name();
        let question = match rng.random_range(0..3) {
            0 => format!("What shape is {colour}?"),
            1 => format!("Which shape is {colour}?"),
            _ => format!("What is the shape of the {colour} object?"),
        };
        return Qa::new(QuestionKind::Shape, question, short, format!("The {colour} shape is a {short}."));
    }
    let place = object.place()?;
    // "On the left" requires that every other object is clearly elsewhere.
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
    Qa::new(QuestionKind::Shape, format!("{verb} shape is {at}?"), short, format!("The shape {at} is a {short}."))
}

/// Returns the phrase of a place: `on the left`, `in the top left`, `at the top`, `in the center`.
pub(super) fn at_place(place: &str) -> String {
    match place {
        "left" | "right" => format!("on the {place}"),
        "top" | "bottom" => format!("at the {place}"),
        _ => format!("in the {place}"),
    }
}

/// Asks for the position of an object.
fn position(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    if rng.random_bool(0.05) {
        return missing(scene, QuestionKind::Position, rng);
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
        return Qa::new(QuestionKind::Position, question, side, format!("The {name} is {}.", at_place(side)));
    }
    let place = object.place()?;
    let question = match rng.random_range(0..4) {
        0 => format!("Where is the {name} in the image?"),
        1 => format!("Where do you see the {name}?"),
        _ => format!("Where is the {name}?"),
    };
    Qa::new(QuestionKind::Position, question, place, format!("The {name} is {}.", at_place(place)))
}

/// Asks for the written word or number.
fn text(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Qa> {
    let Some(object) = scene.objects.iter().find(|o| o.figure().is_none()) else {
        // Rare, because most scenes have no text and "none" must not become the usual answer.
        let question = pick(rng, &["What word is written?", "What does the text say?", "What number is written?"]);
        let none = || Qa::new(QuestionKind::Text, question.to_owned(), "none", "There is no text.".to_owned());
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
            Qa::new(QuestionKind::Text, question.to_owned(), short, format!("The word is {short}."))
        }
        Thing::Number(number) => {
            let question = pick(
                rng,
                &["What number is written?", "What number is this?", "Which number do you see?", "Read the number."],
            );
            Qa::new(QuestionKind::Text, question.to_owned(), number.to_string(), format!("The number is {number}."))
        }
        Thing::Shape(_) | Thing::Sketch(_) => None,
    }
}
