//! The everyday things that are drawn in a few strokes.

use super::scene::Shape;

/// A thing drawn in a few strokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Sketch {
    House,
    Tree,
    Sun,
    Car,
    Fish,
    Face,
    Boat,
    Flower,
    Cat,
    Key,
    Cup,
    Hat,
    Apple,
    Moon,
    Cloud,
    Umbrella,
    Ladder,
    Mushroom,
    Snowman,
    Butterfly,
}

impl Sketch {
    /// All variants.
    pub const ALL: [Self; 20] = [
        Self::House,
        Self::Tree,
        Self::Sun,
        Self::Car,
        Self::Fish,
        Self::Face,
        Self::Boat,
        Self::Flower,
        Self::Cat,
        Self::Key,
        Self::Cup,
        Self::Hat,
        Self::Apple,
        Self::Moon,
        Self::Cloud,
        Self::Umbrella,
        Self::Ladder,
        Self::Mushroom,
        Self::Snowman,
        Self::Butterfly,
    ];

    /// Singular and plural, in the order of [`Self::ALL`].
    const NAMES: [[&'static str; 2]; 20] = [
        ["house", "houses"],
        ["tree", "trees"],
        ["sun", "suns"],
        ["car", "cars"],
        ["fish", "fish"],
        ["face", "faces"],
        ["boat", "boats"],
        ["flower", "flowers"],
        ["cat", "cats"],
        ["key", "keys"],
        ["cup", "cups"],
        ["hat", "hats"],
        ["apple", "apples"],
        ["moon", "moons"],
        ["cloud", "clouds"],
        ["umbrella", "umbrellas"],
        ["ladder", "ladders"],
        ["mushroom", "mushrooms"],
        ["snowman", "snowmen"],
        ["butterfly", "butterflies"],
    ];

    /// Returns its name in questions and answers.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize][0]
    }
    /// Returns its plural.
    pub fn plural(self) -> &'static str {
        Self::NAMES[self as usize][1]
    }
    /// Finds a thing by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sketch| sketch.name() == name)
    }
}

/// What an object is called, text aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Figure {
    Shape(Shape),
    Sketch(Sketch),
}

impl Figure {
    /// Returns its name in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape(shape) => shape.name(),
            Self::Sketch(sketch) => sketch.name(),
        }
    }
    /// Returns its plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Shape(shape) => shape.plural(),
            Self::Sketch(sketch) => sketch.plural(),
        }
    }
}
