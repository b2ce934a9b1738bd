//! Contents of a picture: coloured shapes, drawn things, a word or a number, placed without overlap.
//!
//! A [`Scene`] is the ground truth of questions and answers; [`draw`](super::draw) renders it. Lengths are fractions of
//! the picture's shorter side, positions fractions of its width and height.
//!
//! Scene `i` of data set `S` is drawn from stream `i` of the ChaCha8 generator seeded with `S`. Training uses seeds
//! with the highest bit set ([`TRAIN_SEED`]). `train data` refuses those, so a generated test picture was never trained
//! on.

pub use super::sketch::Figure;
use super::sketch::Sketch;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// The bit that is set in training seeds and clear in test seeds.
pub const TRAIN_SEED: u64 = 1 << 63;

/// Maximum number of objects in a scene.
pub const MAX_OBJECTS: usize = 6;

/// All words that are written in pictures. The model card says that the list is closed.
pub const WORDS: [&str; 40] = [
    "cat", "dog", "sun", "car", "hat", "cup", "bus", "key", "map", "pen", "bed", "box", "fox", "egg", "ice", "jam",
    "milk", "tree", "fish", "bird", "moon", "book", "door", "hand", "home", "king", "lamp", "leaf", "love", "rain",
    "ring", "ship", "snow", "time", "wind", "yes", "no", "stop", "open", "exit",
];

/// The shape of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// Round.
    Circle,
    /// Four equal sides, standing on one of them.
    Square,
    /// Three sides.
    Triangle,
    /// Five points.
    Star,
    /// Two lobes and a tip.
    Heart,
    /// Two bars of equal length, upright.
    Cross,
    /// A square standing on a corner, taller than wide.
    Diamond,
}

impl Shape {
    /// All variants.
    pub const ALL: [Self; 7] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Star, Self::Heart, Self::Cross, Self::Diamond];

    /// Returns its name in questions and answers.
    pub fn name(self) -> &'static str {
        ["circle", "square", "triangle", "star", "heart", "cross", "diamond"][self as usize]
    }
    /// Returns its plural.
    pub fn plural(self) -> &'static str {
        ["circles", "squares", "triangles", "stars", "hearts", "crosses", "diamonds"][self as usize]
    }
}

/// The eight colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
    Black,
    White,
}

impl Colour {
    /// All variants.
    pub const ALL: [Self; 8] =
        [Self::Red, Self::Orange, Self::Yellow, Self::Green, Self::Blue, Self::Purple, Self::Black, Self::White];

    /// Returns its name in questions and answers.
    pub fn name(self) -> &'static str {
        ["red", "orange", "yellow", "green", "blue", "purple", "black", "white"][self as usize]
    }
    /// Returns its central value, sRGB.
    pub fn rgb(self) -> [f32; 3] {
        [
            [220.0, 38.0, 38.0],
            [245.0, 140.0, 25.0],
            [245.0, 220.0, 40.0],
            [45.0, 160.0, 60.0],
            [40.0, 90.0, 220.0],
            [140.0, 55.0, 175.0],
            [22.0, 22.0, 26.0],
            [248.0, 248.0, 248.0],
        ][self as usize]
    }
}

/// The size class of an object. Questions ask for the size of small and large objects only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SizeClass {
    Small,
    Medium,
    Large,
}

impl SizeClass {
    /// Returns the adjective before a colour: `small `, `large ` or nothing.
    pub fn adjective(self) -> &'static str {
        ["small ", "", "large "][self as usize]
    }
}

/// The content of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A coloured shape.
    Shape(Shape),
    /// One of [`WORDS`], by index.
    Word(usize),
    /// A number of one or two digits.
    Number(u32),
    /// A thing drawn in a few strokes.
    Sketch(Sketch),
}

/// One object of a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Its content.
    pub thing: Thing,
    /// Its colour.
    pub colour: Colour,
    /// Its centre, fractions of width and height.
    pub centre: [f32; 2],
    /// Half its width and height, fractions of the shorter side.
    pub half: [f32; 2],
}

impl Object {
    /// Returns its shape; `None` for text and drawn things.
    pub fn shape(&self) -> Option<Shape> {
        match self.thing {
            Thing::Shape(shape) => Some(shape),
            _ => None,
        }
    }

    /// Returns its shape or drawn thing; `None` for text.
    pub fn figure(&self) -> Option<Figure> {
        match self.thing {
            Thing::Shape(shape) => Some(Figure::Shape(shape)),
            Thing::Sketch(sketch) => Some(Figure::Sketch(sketch)),
            Thing::Word(_) | Thing::Number(_) => None,
        }
    }

    /// Returns its size class by radius; [`sample`] leaves gaps between the classes.
    pub fn size(&self) -> SizeClass {
        match self.half[0] {
            r if r <= 0.112 => SizeClass::Small,
            r if r >= 0.175 => SizeClass::Large,
            _ => SizeClass::Medium,
        }
    }

    /// Returns its cell of the 3×3 grid; `None` when its centre is close to a border between cells.
    pub fn place(&self) -> Option<&'static str> {
        const NAMES: [[&str; 3]; 3] =
            [["top left", "top", "top right"], ["left", "center", "right"], ["bottom left", "bottom", "bottom right"]];
        Some(NAMES[third(self.centre[1])?][third(self.centre[0])?])
    }

    /// Returns a phrase that describes it: `large red circle`, `word cat`, `number 7`, `red house`.
    pub fn phrase(&self) -> String {
        match self.thing {
            Thing::Shape(shape) => format!("{}{} {}", self.size().adjective(), self.colour.name(), shape.name()),
            Thing::Word(word) => format!("word {}", WORDS[word]),
            Thing::Number(number) => format!("number {number}"),
            Thing::Sketch(sketch) => format!("{} {}", self.colour.name(), sketch.name()),
        }
    }
}

/// Returns 0, 1 or 2 for a coordinate clearly in the first, middle or last third; `None` near a border.
pub fn third(x: f32) -> Option<usize> {
    match x {
        x if x < 0.345 => Some(0),
        x if (0.39..=0.61).contains(&x) => Some(1),
        x if x > 0.655 => Some(2),
        _ => None,
    }
}

/// The background of a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Background {
    /// sRGB at one end.
    pub from: [f32; 3],
    /// sRGB at the other end; equal to `from` for a plain background.
    pub to: [f32; 3],
    /// Direction of the gradient, radians.
    pub angle: f32,
    /// Amplitude of per-pixel noise, 0–255.
    pub noise: f32,
}

/// The content of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Width and height as fractions of the shorter side; one of them is 1.
    pub extent: [f32; 2],
    /// The background.
    pub background: Background,
    /// 1 to [`MAX_OBJECTS`] objects, not overlapping.
    pub objects: Vec<Object>,
    /// Whether it is rendered in the style of a hand drawing.
    pub by_hand: bool,
    /// Width of the pen when shapes and things are drawn stroke by stroke, fraction of the shorter side.
    pub pen: Option<f32>,
    /// Seed of the variation that does not affect answers: jitter, wobble, noise.
    pub look: u64,
}

impl Scene {
    /// Returns whether it shows a drawn thing.
    pub fn has_sketch(&self) -> bool {
        self.objects.iter().any(|o| matches!(o.thing, Thing::Sketch(_)))
    }
}

/// Returns the random generator of scene `index` of data set `seed`.
pub fn scene_rng(seed: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    rng
}

/// Returns a random scene.
pub fn sample(rng: &mut ChaCha8Rng) -> Scene {
    let extent = match rng.random_range(0..10) {
        0 => [rng.random_range(1.05..1.35), 1.0],
        1 => [1.0, rng.random_range(1.05..1.35)],
        _ => [1.0, 1.0],
    };
    let background = background(rng);
    let colours = visible(&background);
    let by_hand = rng.random_bool(0.5);
    let mut objects = Vec::new();
    if rng.random_bool(0.24) {
        text(rng, extent, &colours, &mut objects);
    }
    let wanted = if objects.is_empty() {
        [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6][rng.random_range(0..17)]
    } else {
        rng.random_range(0..=2)
    };
    shapes(rng, extent, &colours, wanted, &mut objects);
    Scene { extent, background, objects, by_hand, pen: None, look: rng.random() }
}

/// Adds `wanted` shapes, fewer when there is no room. Half of the scenes repeat a shape or a colour, so that counts
/// above one are frequent.
pub(super) fn shapes(
    rng: &mut ChaCha8Rng,
    extent: [f32; 2],
    colours: &[Colour],
    wanted: usize,
    objects: &mut Vec<Object>,
) {
    let favourite = (rng.random_bool(0.45).then(|| *Shape::ALL.choose(rng).unwrap_or(&Shape::Circle)), {
        let colour = *colours.choose(rng).unwrap_or(&Colour::Red);
        rng.random_bool(0.2).then_some(colour)
    });
    let total = wanted + objects.len();
    for _ in 0..wanted {
        let shape = match favourite.0 {
            Some(shape) if rng.random_bool(0.7) => shape,
            _ => *Shape::ALL.choose(rng).unwrap_or(&Shape::Circle),
        };
        let colour = match favourite.1 {
            Some(colour) if rng.random_bool(0.8) => colour,
            _ => *colours.choose(rng).unwrap_or(&Colour::Red),
        };
        for _ in 0..30 {
            // Gaps between the classes keep "small" and "large" unambiguous.
            let radius = match (total, rng.random_range(0..10)) {
                (1, 0..=4) => rng.random_range(0.18..0.40),
                (1..=2, 0..=4) => rng.random_range(0.18..0.26),
                (3..=4, 0..=2) => rng.random_range(0.18..0.22),
                (_, 3..=7) => rng.random_range(0.085..0.11),
                _ => rng.random_range(0.125..0.155),
            };
            let object = Object {
                thing: Thing::Shape(shape),
                colour,
                centre: centre(rng, extent, [radius; 2]),
                half: [radius; 2],
            };
            if fits(&object, objects, extent) {
                objects.push(object);
                break;
            }
        }
    }
    if objects.is_empty() {
        // Thirty failures in an empty picture are unlikely; every scene has an object even then.
        let colour = colours[0];
        objects.push(Object { thing: Thing::Shape(Shape::Circle), colour, centre: [0.5; 2], half: [0.2; 2] });
    }
}

/// Adds a word or a number.
pub(super) fn text(rng: &mut ChaCha8Rng, extent: [f32; 2], colours: &[Colour], objects: &mut Vec<Object>) {
    let (thing, letters) = if rng.random_bool(0.6) {
        let word = rng.random_range(0..WORDS.len());
        (Thing::Word(word), WORDS[word].len())
    } else {
        let number = if rng.random_bool(0.5) { rng.random_range(0..10) } else { rng.random_range(10..100) };
        (Thing::Number(number), if number < 10 { 1 } else { 2 })
    };
    let widest = (0.94 / letters as f32).min(0.5);
    let height = rng.random_range((widest * 0.62).max(0.13)..widest);
    let half = [height * letters as f32 / 2.0, height / 2.0];
    let colour = *colours.choose(rng).unwrap_or(&Colour::Black);
    objects.push(Object { thing, colour, centre: centre(rng, extent, half), half });
}

/// Returns a random centre that keeps the object inside; up to four tries prefer centres whose third is clear.
pub(super) fn centre(rng: &mut ChaCha8Rng, extent: [f32; 2], half: [f32; 2]) -> [f32; 2] {
    std::array::from_fn(|axis| {
        let margin = ((half[axis] + 0.015) / extent[axis]).min(0.5);
        let mut x = 0.5;
        for _ in 0..4 {
            x = if margin < 0.5 { rng.random_range(margin..1.0 - margin) } else { 0.5 };
            if third(x).is_some() {
                break;
            }
        }
        x
    })
}

/// Returns whether the boxes keep a gap.
pub(super) fn fits(object: &Object, others: &[Object], extent: [f32; 2]) -> bool {
    others.iter().all(|other| {
        let gap: [f32; 2] = std::array::from_fn(|axis| {
            let distance = (object.centre[axis] - other.centre[axis]).abs() * extent[axis];
            distance - object.half[axis] - other.half[axis]
        });
        gap[0].max(gap[1]) > 0.025
    })
}

/// Returns a random background.
pub(super) fn background(rng: &mut ChaCha8Rng) -> Background {
    let grey = |v: f32| [v; 3];
    let from = match rng.random_range(0..10) {
        0..=3 => grey(rng.random_range(246.0..=255.0)),
        4 => grey(rng.random_range(200.0..240.0)),
        5 => grey(rng.random_range(90.0..170.0)),
        6 => grey(rng.random_range(10.0..60.0)),
        _ => std::array::from_fn(|_| rng.random_range(165.0..250.0)),
    };
    let to =
        if rng.random_bool(0.2) { from.map(|v| (v + rng.random_range(-40.0..40.0)).clamp(0.0, 255.0)) } else { from };
    let noise = if rng.random_bool(0.25) { rng.random_range(2.0..16.0) } else { 0.0 };
    Background { from, to, angle: rng.random_range(0.0..std::f32::consts::TAU), noise }
}

/// Returns the colours that contrast with the whole background.
pub(super) fn visible(background: &Background) -> Vec<Colour> {
    let far = |colour: &Colour, from: &[f32; 3]| {
        let distance: f32 = colour.rgb().iter().zip(from).map(|(a, b)| (a - b) * (a - b)).sum();
        distance.sqrt() > 110.0
    };
    Colour::ALL.into_iter().filter(|c| far(c, &background.from) && far(c, &background.to)).collect()
}
