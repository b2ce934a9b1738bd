//! Scenes as people draw them on the page's pad: things and shapes, stroke by stroke, on paper; and the mixture of
//! scenes that training takes.

use super::scene::{
    Background, Colour, Object, Scene, Shape, Thing, background, centre, fits, sample, shapes, text, visible,
};
use super::sketch::Sketch;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// The width of the pad's pen when the page opens, fraction of the pad's side.
pub const PEN: f32 = 14.0 / 448.0;
/// The pad's background.
pub const PAPER: [f32; 3] = [240.0, 240.0, 238.0];

/// Returns a random scene of training: shapes and text as in [`sample`], text alone or with up to two shapes, or a
/// drawing.
pub fn training_scene(rng: &mut ChaCha8Rng) -> Scene {
    match rng.random_range(0..20) {
        0..=7 => sample(rng),
        8..=11 => sample_text(rng),
        _ => sample_drawn(rng),
    }
}

/// Returns a random scene with a word or a number.
pub fn sample_text(rng: &mut ChaCha8Rng) -> Scene {
    let extent = if rng.random_bool(0.2) { [1.0, rng.random_range(0.75..1.0)] } else { [1.0, 1.0] };
    let extent = if extent[1] < 1.0 { [1.0 / extent[1], 1.0] } else { extent };
    let background = background(rng);
    let colours = visible(&background);
    let mut objects = Vec::new();
    text(rng, extent, &colours, &mut objects);
    let wanted = rng.random_range(0..=2);
    shapes(rng, extent, &colours, wanted, &mut objects);
    Scene { extent, background, objects, by_hand: rng.random_bool(0.5), pen: None, look: rng.random() }
}

/// Returns a random drawing: up to three things, beside shapes or without.
pub fn sample_drawn(rng: &mut ChaCha8Rng) -> Scene {
    let extent = if rng.random_bool(0.85) { [1.0, 1.0] } else { [rng.random_range(1.05..1.35), 1.0] };
    let background = paper(rng);
    let colours = visible(&background);
    let pen = match rng.random_range(0..20) {
        0..=8 => PEN,
        9..=16 => rng.random_range(0.4..1.6) * PEN,
        _ => rng.random_range(1.6..2.8) * PEN,
    };
    let mut objects = Vec::new();
    if rng.random_bool(0.07) {
        text(rng, extent, &colours, &mut objects);
    }
    let things = [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3][rng.random_range(0..11)];
    let beside: usize = match things {
        0 => rng.random_range(1..=4),
        1 => [0, 0, 0, 0, 1, 1, 2][rng.random_range(0..7)],
        _ => [0, 0, 0, 1, 1][rng.random_range(0..5)],
    };
    let total = things + beside + objects.len();
    let favourite = rng.random_bool(0.3).then(|| one_of(&Sketch::ALL, Sketch::House, rng));
    let only = rng.random_bool(0.25).then(|| one_of(&colours, Colour::Black, rng));
    for i in 0..things + beside {
        let thing = match favourite {
            _ if i >= things => Thing::Shape(one_of(&Shape::ALL, Shape::Circle, rng)),
            Some(sketch) if things > 1 && rng.random_bool(0.8) => Thing::Sketch(sketch),
            _ => Thing::Sketch(one_of(&Sketch::ALL, Sketch::House, rng)),
        };
        let colour = only.unwrap_or_else(|| one_of(&colours, Colour::Black, rng));
        for _ in 0..40 {
            let radius = radius(thing, total, rng);
            let object = Object { thing, colour, centre: centre(rng, extent, [radius; 2]), half: [radius; 2] };
            if fits(&object, &objects, extent) {
                objects.push(object);
                break;
            }
        }
    }
    Scene { extent, background, objects, by_hand: true, pen: Some(pen), look: rng.random() }
}

/// Picks one of several values.
fn one_of<T: Copy>(values: &[T], default: T, rng: &mut ChaCha8Rng) -> T {
    values.choose(rng).copied().unwrap_or(default)
}

/// Returns the radius of one of `total` objects. Things need room for their strokes; shapes keep the gaps between the
/// size classes.
fn radius(thing: Thing, total: usize, rng: &mut ChaCha8Rng) -> f32 {
    if matches!(thing, Thing::Sketch(_)) {
        return match total {
            1 => rng.random_range(0.2..0.47),
            2 => rng.random_range(0.15..0.26),
            3 => rng.random_range(0.13..0.2),
            _ => rng.random_range(0.12..0.16),
        };
    }
    match (total, rng.random_range(0..10)) {
        (1, 0..=5) => rng.random_range(0.18..0.42),
        (2, 0..=4) => rng.random_range(0.18..0.25),
        (_, 0..=6) => rng.random_range(0.125..0.155),
        _ => rng.random_range(0.085..0.11),
    }
}

/// Returns a random background of drawings: mostly the pad's paper or white.
fn paper(rng: &mut ChaCha8Rng) -> Background {
    let plain = |from: [f32; 3]| Background { from, to: from, angle: 0.0, noise: 0.0 };
    match rng.random_range(0..20) {
        0..=11 => plain(PAPER),
        12..=15 => plain([rng.random_range(244.0..=255.0); 3]),
        _ => background(rng),
    }
}
