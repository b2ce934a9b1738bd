//! Strokes as a hand draws them: corners and curves that miss their aim, ends that overshoot or stop short.
//!
//! A drawing is a list of [`Line`]s in coordinates of about −1 to 1, y downwards.

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// A point of a stroke.
pub type Point = [f32; 2];

/// One stroke.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its points, close enough together to be joined by straight lines.
    pub points: Vec<Point>,
    /// Whether it is a detail: a window, an eye, a trunk. Details may have a colour of their own.
    pub detail: bool,
    /// Whether it encloses an area that may be filled.
    pub area: bool,
}

/// A hand that draws.
pub struct Hand<'a> {
    rng: &'a mut ChaCha8Rng,
    lines: Vec<Line>,
    detail: bool,
    /// Standard size of its errors.
    sloppy: f32,
}

impl<'a> Hand<'a> {
    /// Returns a hand of random precision.
    pub fn new(rng: &'a mut ChaCha8Rng) -> Self {
        let sloppy = rng.random_range(0.015..0.075);
        Self { rng, lines: Vec::new(), detail: false, sloppy }
    }

    /// Returns the strokes.
    pub fn finish(self) -> Vec<Line> {
        self.lines
    }

    /// Draws details from now on.
    pub fn details(&mut self) {
        self.detail = true;
    }
    /// Returns one of `n` variants.
    pub fn pick(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }
    /// Returns whether something that has probability `p` happens.
    pub fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }
    /// Returns a value at most `by` from `x`.
    pub fn vary(&mut self, x: f32, by: f32) -> f32 {
        x + self.rng.random_range(-by..by)
    }

    /// Moves a point by the hand's error.
    fn miss(&mut self, p: Point) -> Point {
        let s = self.sloppy;
        [self.vary(p[0], s), self.vary(p[1], s)]
    }

    /// Moves points by the hand's error; those of a curve given point by point by less, so that it stays smooth.
    fn miss_all(&mut self, points: &[Point]) -> Vec<Point> {
        let s = if points.len() > 12 { self.sloppy * 0.25 } else { self.sloppy };
        points.iter().map(|p| [self.vary(p[0], s), self.vary(p[1], s)]).collect()
    }

    /// Adds a stroke: inserts points at most 0.08 apart and bends it a little.
    fn push(&mut self, points: &[Point], area: bool) {
        let mut dense: Vec<Point> = Vec::new();
        for pair in points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let n = ((a[0] - b[0]).hypot(a[1] - b[1]) / 0.08).ceil().max(1.0);
            dense.extend((0..n as usize).map(|i| {
                let t = i as f32 / n;
                [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]
            }));
        }
        dense.extend(points.last());
        let (bend, tremor) = (self.sloppy * self.rng.random_range(0.1..0.6), self.sloppy * 0.16);
        let phases: [f32; 4] = std::array::from_fn(|_| self.rng.random_range(0.0..TAU));
        let waves = [self.rng.random_range(3.0..8.0f32), self.rng.random_range(3.0..8.0f32)];
        let mut along = 0.0;
        for i in 0..dense.len() {
            let p = dense[i];
            dense[i] = [
                p[0] + bend * (along * waves[0] + phases[0]).sin() + self.rng.random_range(-1.0..1.0) * tremor,
                p[1] + bend * (along * waves[1] + phases[1]).sin() + self.rng.random_range(-1.0..1.0) * tremor,
            ];
            along += dense.get(i + 1).map_or(0.0, |q| (p[0] - q[0]).hypot(p[1] - q[1]));
        }
        self.lines.push(Line { points: dense, detail: self.detail, area });
    }

    /// Draws straight lines through `points` in one stroke; its ends overshoot or stop short.
    pub fn line(&mut self, points: &[Point]) {
        let mut points = self.miss_all(points);
        let last = points.len().saturating_sub(1);
        if last > 0 {
            let end = self.rng.random_range(-0.5..1.0) * self.sloppy;
            let (a, b) = (points[last - 1], points[last]);
            let length = (b[0] - a[0]).hypot(b[1] - a[1]).max(0.05);
            points[last] = std::array::from_fn(|i| b[i] + (b[i] - a[i]) / length * end);
        }
        self.push(&points, false);
    }

    /// Draws a smooth curve through `points`.
    pub fn curve(&mut self, points: &[Point]) {
        let points = self.miss_all(points);
        let smooth = smooth(&points, false);
        self.push(&smooth, false);
    }

    /// Draws a closed polygon. The end misses the start; sometimes the hand lifts the pen at every corner.
    pub fn closed(&mut self, corners: &[Point]) {
        let mut points = self.miss_all(corners);
        let turn = self.pick(points.len().max(1));
        points.rotate_left(turn);
        if self.chance(0.5) {
            points.reverse();
        }
        let (first, last) = (points[0], points[points.len() - 1]);
        let part = self.rng.random_range(0.9..1.06f32);
        let end = std::array::from_fn(|i| last[i] + (first[i] - last[i]) * part);
        points.push(self.miss(end));
        self.push(&points, true);
    }

    /// Draws a closed smooth curve.
    pub fn blob(&mut self, points: &[Point]) {
        let points = self.miss_all(points);
        let mut smooth = smooth(&points, true);
        let n = smooth.len();
        let turn = self.pick(n.max(1));
        smooth.rotate_left(turn);
        let more = self.rng.random_range(0..n.div_ceil(8).max(1));
        let again: Vec<Point> = smooth[..more + 1].iter().map(|p| self.miss(*p)).collect();
        smooth.extend(again);
        self.push(&smooth, true);
    }

    /// Draws an ellipse from any point on, a little less or more than once around.
    pub fn ring(&mut self, centre: Point, radii: Point) {
        let start = self.rng.random_range(0.0..1.0f32);
        let around = self.rng.random_range(0.93..1.14f32) * if self.chance(0.5) { 1.0 } else { -1.0 };
        let s = self.sloppy;
        let radii: Point = radii.map(|r| r * (1.0 + self.rng.random_range(-1.5..1.5) * s));
        let drift = self.rng.random_range(-1.6..1.6) * s;
        let points: Vec<Point> = (0..=28)
            .map(|i| {
                let t = i as f32 / 28.0;
                let (angle, grow) = ((start + around * t) * TAU, 1.0 + drift * (t - 0.5));
                [centre[0] + radii[0] * grow * angle.cos(), centre[1] + radii[1] * grow * angle.sin()]
            })
            .collect();
        self.push(&points, true);
    }

    /// Draws an arc of an ellipse; angles in turns, 0 at the right, 0.25 at the bottom.
    pub fn arc(&mut self, centre: Point, radii: Point, from: f32, to: f32) {
        let points = arc_points(centre, radii, from, to);
        let (from, to) = (self.miss([0.0; 2]), self.miss([0.0; 2]));
        let n = points.len() as f32;
        let moved: Vec<Point> = points
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let t = i as f32 / n;
                std::array::from_fn(|axis| p[axis] + from[axis] * (1.0 - t) + to[axis] * t)
            })
            .collect();
        self.push(&moved, false);
    }

    /// Draws a dot: a touch of the pen, a small circle or a short line.
    pub fn dot(&mut self, at: Point, radius: f32) {
        let at = self.miss(at);
        match self.pick(3) {
            0 => self.push(&[at, [at[0] + 0.02, at[1]]], false),
            1 => self.ring(at, [radius; 2]),
            _ => self.push(&[[at[0], at[1] - radius * 0.8], [at[0], at[1] + radius * 0.8]], false),
        }
    }
}

/// Returns the points of an arc.
pub fn arc_points(centre: Point, radii: Point, from: f32, to: f32) -> Vec<Point> {
    let n = ((to - from).abs() * 28.0).ceil().max(3.0) as usize;
    (0..=n)
        .map(|i| {
            let angle = (from + (to - from) * i as f32 / n as f32) * TAU;
            [centre[0] + radii[0] * angle.cos(), centre[1] + radii[1] * angle.sin()]
        })
        .collect()
}

/// Returns points of the Catmull-Rom curve through `points`.
pub fn smooth(points: &[Point], closed: bool) -> Vec<Point> {
    let n = points.len();
    if n < 3 {
        return points.to_vec();
    }
    let at = |i: isize| match closed {
        true => points[i.rem_euclid(n as isize) as usize],
        false => points[i.clamp(0, n as isize - 1) as usize],
    };
    let segments = if closed { n } else { n - 1 };
    let mut out = Vec::with_capacity(segments * 6 + 1);
    for i in 0..segments as isize {
        let [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        out.extend((0..6).map(|k| {
            let t = k as f32 / 6.0;
            std::array::from_fn(|x| {
                0.5 * (2.0 * b[x]
                    + (c[x] - a[x]) * t
                    + (2.0 * a[x] - 5.0 * b[x] + 4.0 * c[x] - d[x]) * t * t
                    + (3.0 * b[x] - a[x] - 3.0 * c[x] + d[x]) * t * t * t)
            })
        }));
    }
    out.push(at(if closed { 0 } else { n as isize - 1 }));
    out
}
