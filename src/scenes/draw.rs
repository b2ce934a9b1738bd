//! Rendering of scenes: anti-aliased tiny-skia paths, clean, in the style of a hand drawing, or stroke by stroke
//! (`freehand`).
//!
//! The variation (colour jitter, angle, outline, wobble, noise) is seeded by `scene.look`. It does not affect the
//! answers to questions about the scene.

use super::freehand;
use super::scene::{Background, Object, Scene, Shape, Thing, WORDS};
use font8x8::UnicodeFonts;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::{FRAC_PI_2, PI, TAU};
use tiny_skia::{FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// An RGB picture, interleaved, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// `width · height · 3` bytes.
    pub rgb: Vec<u8>,
}

/// Draws `scene`; its shorter side becomes `side` pixels long.
pub fn draw(scene: &Scene, side: u32) -> Picture {
    let mut rng = ChaCha8Rng::seed_from_u64(scene.look);
    let [width, height] = scene.extent.map(|e| (e * side as f32).round() as u32);
    let mut canvas = vec![0u8; 0];
    paint_background(&mut canvas, width, height, &scene.background, &mut rng);
    let Some(mut pixmap) = tiny_skia::IntSize::from_wh(width, height).and_then(|size| Pixmap::from_vec(canvas, size))
    else {
        return Picture { width: 1, height: 1, rgb: vec![0; 3] };
    };
    for object in &scene.objects {
        paint_object(&mut pixmap, object, scene, side as f32, &mut rng);
    }
    let rgb = pixmap.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Picture { width, height, rgb }
}

/// Fills `canvas` with opaque RGBA.
fn paint_background(canvas: &mut Vec<u8>, width: u32, height: u32, back: &Background, rng: &mut ChaCha8Rng) {
    let (dx, dy) = (back.angle.cos(), back.angle.sin());
    let plain = back.from == back.to;
    canvas.reserve((width * height * 4) as usize);
    for y in 0..height {
        for x in 0..width {
            let t = if plain {
                0.0
            } else {
                let along = (x as f32 / width as f32 - 0.5) * dx + (y as f32 / height as f32 - 0.5) * dy;
                (along * 0.8 + 0.5).clamp(0.0, 1.0)
            };
            let noise = if back.noise > 0.0 { rng.random_range(-back.noise..back.noise) } else { 0.0 };
            for c in 0..3 {
                let v = back.from[c] + (back.to[c] - back.from[c]) * t + noise;
                canvas.push(v.clamp(0.0, 255.0) as u8);
            }
            canvas.push(255);
        }
    }
}

/// Returns the object's colour with jitter of less than half the distance between any two colours.
fn paint(object: &Object, rng: &mut ChaCha8Rng) -> Paint<'static> {
    let mut paint = Paint::default();
    let [r, g, b] = object.colour.rgb().map(|v| (v + rng.random_range(-18.0..18.0f32)).clamp(0.0, 255.0) as u8);
    paint.set_color_rgba8(r, g, b, 255);
    paint.anti_alias = true;
    paint
}

/// Draws one object.
fn paint_object(pixmap: &mut Pixmap, object: &Object, scene: &Scene, side: f32, rng: &mut ChaCha8Rng) {
    let paint = paint(object, rng);
    let centre = [object.centre[0] * scene.extent[0] * side, object.centre[1] * scene.extent[1] * side];
    let radius = object.half[0] * side;
    if let (Some(pen), Some(figure)) = (scene.pen, object.figure()) {
        freehand::paint(pixmap, (object, figure), &scene.background, centre, radius, pen * side, rng);
        return;
    }
    match object.thing {
        Thing::Shape(shape) => {
            paint_shape(pixmap, shape, centre, radius, scene.by_hand, &paint, rng);
        }
        Thing::Word(word) => {
            let upper = rng.random_bool(0.5);
            let text = if upper { WORDS[word].to_uppercase() } else { WORDS[word].to_owned() };
            paint_text(pixmap, &text, centre, object.half[1] * side * 2.0, &paint, rng);
        }
        Thing::Number(number) => {
            paint_text(pixmap, &number.to_string(), centre, object.half[1] * side * 2.0, &paint, rng);
        }
        // Things are drawn with the pen, see above.
        Thing::Sketch(_) => {}
    }
}

/// Returns the corners of a shape, or points of its curve, in the unit circle with y downwards.
fn outline(shape: Shape) -> Vec<[f32; 2]> {
    let ring = |n: usize, f: &dyn Fn(usize, f32) -> f32| -> Vec<[f32; 2]> {
        (0..n)
            .map(|i| {
                let a = i as f32 / n as f32 * TAU - FRAC_PI_2;
                let r = f(i, a);
                [r * a.cos(), r * a.sin()]
            })
            .collect()
    };
    match shape {
        Shape::Circle => ring(40, &|_, _| 0.95),
        Shape::Square => vec![[-0.82, -0.82], [0.82, -0.82], [0.82, 0.82], [-0.82, 0.82]],
        Shape::Triangle => vec![[0.0, -0.95], [0.95, 0.75], [-0.95, 0.75]],
        Shape::Star => ring(10, &|i, _| if i % 2 == 0 { 1.0 } else { 0.42 }),
        Shape::Heart => (0..40)
            .map(|i| {
                let t = i as f32 / 40.0 * TAU;
                let x = t.sin().powi(3);
                let y = 13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
                [x * 0.95, -(y + 2.5) / 15.5]
            })
            .collect(),
        Shape::Cross => {
            let (a, b) = (0.3, 0.95);
            vec![
                [-a, -b],
                [a, -b],
                [a, -a],
                [b, -a],
                [b, a],
                [a, a],
                [a, b],
                [-a, b],
                [-a, a],
                [-b, a],
                [-b, -a],
                [-a, -a],
            ]
        }
        Shape::Diamond => vec![[0.0, -1.0], [0.7, 0.0], [0.0, 1.0], [-0.7, 0.0]],
    }
}

/// Inserts points along the outline at most `step` apart, so that it can wobble.
fn subdivide(points: &[[f32; 2]], step: f32) -> Vec<[f32; 2]> {
    let mut out = Vec::new();
    for (i, a) in points.iter().enumerate() {
        let b = points[(i + 1) % points.len()];
        let length = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
        let n = (length / step).ceil().max(1.0) as usize;
        out.extend((0..n).map(|k| {
            let t = k as f32 / n as f32;
            [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]
        }));
    }
    out
}

/// Connects points to a path; `None` when they make no path.
pub(super) fn path_of(points: &[[f32; 2]], close: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, p) in points.iter().enumerate() {
        if i == 0 { builder.move_to(p[0], p[1]) } else { builder.line_to(p[0], p[1]) }
    }
    if close {
        builder.close();
    }
    builder.finish()
}

/// Draws a shape, filled or outlined, with a small rotation and stretch. With `by_hand` the outline wobbles, may stay
/// open, and may be filled with brush strokes.
fn paint_shape(
    pixmap: &mut Pixmap,
    shape: Shape,
    centre: [f32; 2],
    radius: f32,
    by_hand: bool,
    paint: &Paint<'static>,
    rng: &mut ChaCha8Rng,
) {
    let turn: f32 = rng.random_range(-0.21..0.21);
    let stretch = [rng.random_range(0.9..1.0), rng.random_range(0.9..1.0f32)];
    let mut points = outline(shape);
    let brush = rng.random_range(0.12..0.26f32).max(3.2 / radius.max(1.0)).min(0.4);
    let outlined = rng.random_bool(if by_hand { 0.45 } else { 0.25 });
    if by_hand {
        points = subdivide(&points, 0.25);
        let phases: [f32; 4] = std::array::from_fn(|_| rng.random_range(0.0..TAU));
        let strength = rng.random_range(0.015..0.055f32);
        let n = points.len() as f32;
        for (i, p) in points.iter_mut().enumerate() {
            let t = i as f32 / n * TAU;
            p[0] += strength * ((2.0 * t + phases[0]).sin() + (5.0 * t + phases[1]).sin());
            p[1] += strength * ((3.0 * t + phases[2]).sin() + (5.0 * t + phases[3]).sin());
        }
    }
    // The stroke adds half its width around the outline; the whole shape stays inside the radius.
    let inner = if outlined { radius * (1.0 - brush / 2.0) } else { radius };
    for p in &mut points {
        let (x, y) = (p[0] * stretch[0], p[1] * stretch[1]);
        *p = [
            centre[0] + inner * (x * turn.cos() - y * turn.sin()),
            centre[1] + inner * (x * turn.sin() + y * turn.cos()),
        ];
    }
    let stroke =
        Stroke { width: brush * radius, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
    let Some(closed) = path_of(&points, true) else { return };
    let identity = Transform::identity();
    if !outlined {
        if by_hand && rng.random_bool(0.3) {
            scribble(pixmap, &closed, centre, radius, paint, rng);
            pixmap.stroke_path(&closed, paint, &stroke, identity, None);
        } else {
            pixmap.fill_path(&closed, paint, FillRule::Winding, identity, None);
        }
    } else if by_hand && rng.random_bool(0.5) {
        // An open loop: the stroke ends at the last point, or at the first one again.
        let overlap = if rng.random_bool(0.5) { points.first().copied() } else { None };
        points.extend(overlap);
        if let Some(open) = path_of(&points, false) {
            pixmap.stroke_path(&open, paint, &stroke, identity, None);
        }
    } else {
        pixmap.stroke_path(&closed, paint, &stroke, identity, None);
    }
}

/// Fills a path with parallel brush strokes that leave gaps.
pub(super) fn scribble(
    pixmap: &mut Pixmap,
    path: &Path,
    centre: [f32; 2],
    radius: f32,
    paint: &Paint<'static>,
    rng: &mut ChaCha8Rng,
) {
    let Some(mut mask) = tiny_skia::Mask::new(pixmap.width(), pixmap.height()) else { return };
    mask.fill_path(path, FillRule::Winding, true, Transform::identity());
    let angle: f32 = rng.random_range(0.0..PI);
    let width = (radius * rng.random_range(0.12..0.22f32)).max(2.0);
    let spacing = width * rng.random_range(1.0..1.5f32);
    let (dx, dy) = (angle.cos() * radius * 1.3, angle.sin() * radius * 1.3);
    let mut points = Vec::new();
    let lines = (2.6 * radius / spacing) as i32;
    for i in 0..=lines {
        let off = -1.3 * radius + i as f32 * spacing;
        let (ox, oy) = (-angle.sin() * off, angle.cos() * off);
        let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
        points.push([centre[0] + ox - sign * dx, centre[1] + oy - sign * dy]);
        points.push([centre[0] + ox + sign * dx, centre[1] + oy + sign * dy]);
    }
    let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
    if let Some(zigzag) = path_of(&points, false) {
        pixmap.stroke_path(&zigzag, paint, &stroke, Transform::identity(), Some(&mask));
    }
}

/// Draws text in an 8×8 bitmap font, `height` pixels tall, with squares or overlapping discs as dots.
fn paint_text(
    pixmap: &mut Pixmap,
    text: &str,
    centre: [f32; 2],
    height: f32,
    paint: &Paint<'static>,
    rng: &mut ChaCha8Rng,
) {
    let dot = height / 8.0;
    let round = rng.random_bool(0.4);
    let grow = if round { rng.random_range(0.62..0.8f32) } else { rng.random_range(0.5..0.6f32) } * dot;
    let slant: f32 = if rng.random_bool(0.3) { rng.random_range(-0.2..0.2) } else { 0.0 };
    let left = centre[0] - text.len() as f32 * height / 2.0;
    let mut builder = PathBuilder::new();
    for (i, letter) in text.chars().enumerate() {
        let Some(rows) = font8x8::BASIC_FONTS.get(letter) else { continue };
        let wobble = if round { rng.random_range(-0.4..0.4f32) * dot } else { 0.0 };
        for (y, row) in rows.iter().enumerate() {
            for x in (0..8).filter(|x| row >> x & 1 == 1) {
                // The font leaves its last row and column empty; half a dot centres the letter.
                let cy = centre[1] + (y as f32 - 3.0) * dot + wobble;
                let cx = left + i as f32 * height + (x as f32 + 1.0) * dot - slant * (cy - centre[1]);
                if round {
                    builder.push_circle(cx, cy, grow);
                } else if let Some(rect) = Rect::from_ltrb(cx - grow, cy - grow, cx + grow, cy + grow) {
                    builder.push_rect(rect);
                }
            }
        }
    }
    if let Some(path) = builder.finish() {
        pixmap.fill_path(&path, paint, FillRule::Winding, Transform::identity(), None);
    }
}
