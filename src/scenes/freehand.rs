//! Shapes and things drawn stroke by stroke with a pen, as people draw them on the page's pad.

use super::draw::{path_of, scribble};
use super::hand::{Hand, Line, Point};
use super::scene::{Background, Colour, Figure, Object, Shape, visible};
use super::sketch::Sketch;
use super::{sketch_animals as animals, sketch_objects as objects, sketch_plants as plants};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::{PI, TAU};
use tiny_skia::{FillRule, LineCap, LineJoin, Paint, Pixmap, Stroke, Transform};

/// Returns the strokes of a figure, in coordinates of about −1 to 1.
pub fn strokes(figure: Figure, rng: &mut ChaCha8Rng) -> Vec<Line> {
    let mut hand = Hand::new(rng);
    match figure {
        Figure::Shape(shape) => outline(&mut hand, shape),
        Figure::Sketch(sketch) => thing(sketch)(&mut hand),
    }
    hand.finish()
}

/// Returns the function that draws a thing.
fn thing(sketch: Sketch) -> fn(&mut Hand) {
    match sketch {
        Sketch::House => objects::house,
        Sketch::Tree => plants::tree,
        Sketch::Sun => plants::sun,
        Sketch::Car => objects::car,
        Sketch::Fish => animals::fish,
        Sketch::Face => animals::face,
        Sketch::Boat => objects::boat,
        Sketch::Flower => plants::flower,
        Sketch::Cat => animals::cat,
        Sketch::Key => objects::key,
        Sketch::Cup => objects::cup,
        Sketch::Hat => objects::hat,
        Sketch::Apple => plants::apple,
        Sketch::Moon => plants::moon,
        Sketch::Cloud => plants::cloud,
        Sketch::Umbrella => objects::umbrella,
        Sketch::Ladder => objects::ladder,
        Sketch::Mushroom => plants::mushroom,
        Sketch::Snowman => animals::snowman,
        Sketch::Butterfly => animals::butterfly,
    }
}

/// Draws the outline of a shape.
fn outline(h: &mut Hand, shape: Shape) {
    match shape {
        Shape::Circle => h.ring([0.0; 2], [1.0, 1.0]),
        Shape::Square => polygon(h, &[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]),
        Shape::Triangle => polygon(h, &[[0.0, -0.95], [1.0, 0.8], [-1.0, 0.8]]),
        Shape::Diamond => polygon(h, &[[0.0, -1.0], [0.7, 0.0], [0.0, 1.0], [-0.7, 0.0]]),
        Shape::Star => {
            let corner = |i: usize, r: f32| {
                let a = i as f32 * TAU / 10.0 - PI / 2.0;
                [r * a.cos(), r * a.sin()]
            };
            if h.chance(0.45) {
                // Five lines that cross, in one stroke.
                let points: Vec<Point> = (0..6).map(|i| corner(i * 4 % 10, 1.0)).collect();
                h.line(&points);
            } else {
                let points: Vec<Point> = (0..10).map(|i| corner(i, if i % 2 == 0 { 1.0 } else { 0.42 })).collect();
                h.closed(&points);
            }
        }
        Shape::Heart => {
            let dip = h.vary(-0.4, 0.1);
            for side in [-1.0f32, 1.0] {
                h.curve(&[
                    [0.0, dip],
                    [side * 0.4, -0.85],
                    [side * 0.95, -0.55],
                    [side * 0.8, 0.1],
                    [side * 0.3, 0.65],
                    [0.0, 0.95],
                ]);
            }
        }
        Shape::Cross => {
            if h.chance(0.6) {
                let across = h.vary(0.0, 0.08);
                h.line(&[[0.0, -1.0], [0.0, 1.0]]);
                h.line(&[[-1.0, across], [1.0, across]]);
            } else {
                let a = h.vary(0.3, 0.05);
                let mut points = Vec::new();
                for quarter in 0..4 {
                    let (s, c) = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)][quarter];
                    let turn = |[x, y]: Point| [x * c - y * s, x * s + y * c];
                    points.extend([[-a, -1.0], [a, -1.0], [a, -a]].map(turn));
                }
                h.closed(&points);
            }
        }
    }
}

/// Draws a polygon in one stroke or line by line.
fn polygon(h: &mut Hand, corners: &[Point]) {
    if h.chance(0.7) {
        h.closed(corners);
    } else {
        for (i, from) in corners.iter().enumerate() {
            h.line(&[*from, corners[(i + 1) % corners.len()]]);
        }
    }
}

/// Moves strokes into the box around `centre`, slightly turned and stretched, things sometimes mirrored.
fn place(lines: &mut [Line], figure: Figure, centre: Point, half: Point, rng: &mut ChaCha8Rng) {
    let mirror = if matches!(figure, Figure::Sketch(_)) && rng.random_bool(0.5) { -1.0 } else { 1.0 };
    let most = if matches!(figure, Figure::Sketch(Sketch::Key)) { 0.9 } else { 0.17 };
    let turn: f32 = rng.random_range(-most..most);
    let stretch = [rng.random_range(0.85..1.15f32) * mirror, rng.random_range(0.85..1.15f32)];
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for p in lines.iter_mut().flat_map(|line| line.points.iter_mut()) {
        let (x, y) = (p[0] * stretch[0], p[1] * stretch[1]);
        *p = [x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()];
        for axis in 0..2 {
            low[axis] = low[axis].min(p[axis]);
            high[axis] = high[axis].max(p[axis]);
        }
    }
    let scale = (0..2).map(|i| 2.0 * half[i] / (high[i] - low[i]).max(0.1)).fold(f32::MAX, f32::min);
    for p in lines.iter_mut().flat_map(|line| line.points.iter_mut()) {
        *p = std::array::from_fn(|i| centre[i] + (p[i] - (low[i] + high[i]) / 2.0) * scale);
    }
}

/// Returns the colour of the details: mostly that of the drawing, another when its areas are filled.
fn detail_colour(object: &Object, background: &Background, filled: bool, rng: &mut ChaCha8Rng) -> Colour {
    if !filled && rng.random_bool(0.82) {
        return object.colour;
    }
    let distance = |a: Colour, b: Colour| a.rgb().iter().zip(b.rgb()).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    let mut others = visible(background);
    others.retain(|c| distance(*c, object.colour) > 110.0 * 110.0);
    if others.contains(&Colour::Black) && rng.random_bool(0.5) {
        return Colour::Black;
    }
    others.choose(rng).copied().unwrap_or(object.colour)
}

/// Makes a paint near the central value of `colour`.
fn paint_of(colour: Colour, rng: &mut ChaCha8Rng) -> Paint<'static> {
    let mut paint = Paint::default();
    let [r, g, b] = colour.rgb().map(|v| (v + rng.random_range(-10.0..10.0f32)).clamp(0.0, 255.0) as u8);
    paint.set_color_rgba8(r, g, b, 255);
    paint.anti_alias = true;
    paint
}

/// Draws a figure with a pen of `pen` pixels, or a thinner one when the figure is small.
pub fn paint(
    pixmap: &mut Pixmap,
    (object, figure): (&Object, Figure),
    background: &Background,
    centre: Point,
    radius: f32,
    pen: f32,
    rng: &mut ChaCha8Rng,
) {
    let pen = pen.min(radius * 0.22).max(1.3);
    let mut lines = strokes(figure, rng);
    let inner = (radius - pen / 2.0).max(radius * 0.5);
    place(&mut lines, figure, centre, [inner; 2], rng);
    let filled = rng.random_bool(if matches!(figure, Figure::Shape(_)) { 0.35 } else { 0.2 });
    let hatched = filled && rng.random_bool(0.5);
    let main = paint_of(object.colour, rng);
    let detail = paint_of(detail_colour(object, background, filled, rng), rng);
    let stroke = Stroke { width: pen, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
    for line in &lines {
        let paint = if line.detail { &detail } else { &main };
        if filled && line.area && !line.detail {
            let Some(area) = path_of(&line.points, true) else { continue };
            if hatched {
                scribble(pixmap, &area, centre, radius, paint, rng);
            } else {
                pixmap.fill_path(&area, paint, FillRule::Winding, Transform::identity(), None);
            }
        }
        if let Some(path) = path_of(&line.points, false) {
            pixmap.stroke_path(&path, paint, &stroke, Transform::identity(), None);
        }
    }
}
