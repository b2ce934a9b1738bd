//! How plants and the sky are drawn, each in several ways.

use super::hand::{Hand, Point, arc_points};
use std::f32::consts::TAU;

/// Returns a closed outline of `count` bumps around an ellipse.
fn bumps(h: &mut Hand, centre: Point, radii: Point, count: usize, depth: f32) -> Vec<Point> {
    let start = h.vary(0.0, 0.5);
    let n = count * 8;
    (0..n)
        .map(|i| {
            let t = i as f32 / n as f32;
            // |sin| has a cusp between two bumps.
            let grow = 1.0 - depth + depth * (t * count as f32 * TAU / 2.0).sin().abs() * 1.6;
            let a = (t + start) * TAU;
            [centre[0] + radii[0] * grow * a.cos(), centre[1] + radii[1] * grow * a.sin()]
        })
        .collect()
}

/// Draws a fir: triangles one above the other, or a zigzag.
fn fir(h: &mut Hand, zigzag: bool, wide: f32) {
    if zigzag {
        // A fir in a zigzag.
        let steps = 3 + h.pick(2);
        let mut left = vec![[0.0, -1.0]];
        for i in 1..=steps {
            let t = i as f32 / steps as f32;
            left.push([-0.2 - 0.5 * t, -1.0 + 1.65 * t]);
            if i < steps {
                left.push([-0.08 - 0.3 * t, -1.0 + 1.65 * t]);
            }
        }
        let right: Vec<Point> = left.iter().rev().map(|p| [-p[0], p[1]]).collect();
        left.extend(right);
        h.closed(&left);
        h.details();
        h.line(&[[-wide, 0.66], [-wide, 1.0], [wide, 1.0], [wide, 0.66]]);
    } else {
        // A fir of triangles.
        let tiers = 1 + h.pick(3);
        for i in 0..tiers {
            let t = i as f32 / tiers as f32;
            let (top, low) = (-1.0 + 1.4 * t - 0.1 * t, -1.0 + 1.6 * (t + 1.0 / tiers as f32));
            let w = 0.4 + 0.3 * (i + 1) as f32 / tiers as f32;
            h.closed(&[[0.0, top], [w, low], [-w, low]]);
        }
        h.details();
        h.line(&[[-wide, 0.62], [-wide, 1.0], [wide, 1.0], [wide, 0.62]]);
    }
}

/// Draws a tree.
pub fn tree(h: &mut Hand) {
    let wide = h.vary(0.12, 0.05);
    let variant = h.pick(6);
    match variant {
        0 | 1 => {
            let (r, y) = (h.vary(0.62, 0.1), h.vary(-0.35, 0.08));
            let tall = h.vary(0.6, 0.08);
            if variant == 0 {
                h.ring([0.0, y], [r, tall]);
            } else {
                let count = 6 + h.pick(4);
                let crown = bumps(h, [0.0, y], [r, tall], count, 0.22);
                h.closed(&crown);
            }
            h.details();
            let foot = h.vary(0.04, 0.05);
            h.line(&[[-wide, y + tall * 0.9], [-wide - foot, 1.0]]);
            h.line(&[[wide, y + tall * 0.9], [wide + foot, 1.0]]);
            if h.chance(0.4) {
                h.line(&[[-wide - foot, 1.0], [wide + foot, 1.0]]);
            }
        }
        2 | 3 => fir(h, variant == 3, wide),
        4 => {
            // Bare: a trunk and branches.
            h.line(&[[0.0, 1.0], [0.0, -0.9]]);
            for i in 0..3 + h.pick(3) {
                let y = h.vary(0.1 - 0.28 * i as f32, 0.06);
                let reach = h.vary(0.55, 0.15) * if i % 2 == 0 { 1.0 } else { -1.0 };
                h.line(&[[0.0, y], [reach, y - 0.45]]);
                if h.chance(0.5) {
                    h.line(&[[reach * 0.5, y - 0.22], [reach * 0.55, y - 0.6]]);
                }
            }
        }
        _ => {
            // One stroke: trunk, crown, trunk.
            let r = h.vary(0.65, 0.1);
            let mut points = vec![[-wide, 1.0], [-wide, 0.2]];
            points.extend(arc_points([0.0, -0.38], [r, 0.6], 0.28, 1.22));
            points.extend([[wide, 0.2], [wide, 1.0]]);
            h.line(&points);
        }
    }
    if variant < 4 && h.chance(0.2) {
        h.line(&[[-0.7, 1.0], [0.7, 1.0]]);
    }
    if variant < 2 && h.chance(0.2) {
        for _ in 0..3 + h.pick(3) {
            let at = [h.vary(0.0, 0.4), h.vary(-0.35, 0.35)];
            h.dot(at, 0.06);
        }
    }
}

/// Draws the sun with rays.
pub fn sun(h: &mut Hand) {
    let r = h.vary(0.5, 0.1);
    let rays = [6, 7, 8, 8, 9, 10, 12, 14][h.pick(8)];
    let start = h.vary(0.0, 0.5);
    if h.chance(0.12) {
        // Rays as a ring of points.
        let points: Vec<Point> = (0..2 * rays)
            .map(|i| {
                let a = (i as f32 / (2 * rays) as f32 + start) * TAU;
                let reach = if i % 2 == 0 { 1.0 } else { 0.66 };
                [reach * a.cos(), reach * a.sin()]
            })
            .collect();
        h.ring([0.0; 2], [r; 2]);
        h.closed(&points);
    } else {
        h.ring([0.0; 2], [r; 2]);
        if h.chance(0.3) {
            h.details();
        }
        let gap = h.vary(0.1, 0.1);
        let long = h.vary(0.32, 0.12);
        let uneven = h.chance(0.3);
        for i in 0..rays {
            let a = (i as f32 / rays as f32 + start + h.vary(0.0, 0.012)) * TAU;
            let end = r + gap + if uneven && i % 2 == 1 { long * 0.55 } else { long };
            let at = |d: f32| [d * a.cos(), d * a.sin()];
            if uneven && h.chance(0.1) {
                let side = [-0.06 * a.sin(), 0.06 * a.cos()];
                let (p, q, s) = (at(r + gap), at((r + gap + end) / 2.0), at(end));
                h.curve(&[p, [q[0] + side[0], q[1] + side[1]], s]);
            } else {
                h.line(&[at(r + gap), at(end)]);
            }
        }
    }
    h.details();
    if h.chance(0.12) {
        h.dot([-0.17, -0.1], 0.05);
        h.dot([0.17, -0.1], 0.05);
        h.arc([0.0, 0.02], [0.24, 0.2], 0.05, 0.45);
    }
}

/// Draws petals around `y`, round ones or loops from the centre; returns where they end below.
fn petals(h: &mut Hand, round: bool, y: f32) -> f32 {
    let count = 5 + h.pick(4);
    let (d, r) = (h.vary(0.33, 0.04), h.vary(0.19, 0.04));
    let start = h.vary(0.0, 0.5);
    for i in 0..count {
        let a = (i as f32 / count as f32 + start) * TAU;
        if round {
            h.ring([d * a.cos(), y + d * a.sin()], [r; 2]);
        } else {
            // A loop from the centre and back.
            let (x, z) = (a.cos(), a.sin());
            let side = 0.2;
            h.curve(&[
                [0.1 * x, y + 0.1 * z],
                [0.4 * x - side * z, y + 0.4 * z + side * x],
                [0.58 * x, y + 0.58 * z],
                [0.4 * x + side * z, y + 0.4 * z - side * x],
                [0.1 * x, y + 0.1 * z],
            ]);
        }
    }
    y + d + r
}

/// Draws a flower.
pub fn flower(h: &mut Hand) {
    let (y, disc) = (h.vary(-0.45, 0.06), h.vary(0.15, 0.04));
    let variant = h.pick(5);
    let low;
    match variant {
        0 | 1 => {
            low = petals(h, variant == 0, y);
            h.details();
            h.ring([0.0, y], [disc, 0.15]);
        }
        2 => {
            let count = 5 + h.pick(4);
            let outline = bumps(h, [0.0, y], [0.5, 0.5], count, 0.38);
            h.closed(&outline);
            low = y + 0.4;
            h.details();
            h.ring([0.0, y], [disc, 0.16]);
        }
        3 => {
            // A tulip.
            h.closed(&[
                [-0.4, y - 0.4],
                [-0.2, y - 0.1],
                [0.0, y - 0.45],
                [0.2, y - 0.1],
                [0.4, y - 0.4],
                [0.42, y + 0.1],
                [0.2, y + 0.38],
                [-0.2, y + 0.38],
                [-0.42, y + 0.1],
            ]);
            low = y + 0.38;
            h.details();
        }
        _ => {
            // Petals as lines around a disc.
            h.ring([0.0, y], [0.2, 0.2]);
            let petals = 8 + h.pick(4);
            for i in 0..petals {
                let a = i as f32 / petals as f32 * TAU;
                let turn = 0.22;
                let at = |d: f32, b: f32| [d * (a + b).cos(), y + d * (a + b).sin()];
                h.curve(&[at(0.2, -turn), at(0.48, -turn * 0.6), at(0.52, turn * 0.6), at(0.2, turn)]);
            }
            low = y + 0.48;
            h.details();
        }
    }
    stem(h, low);
}

/// Draws the stem of a flower from `low` down, with leaves.
fn stem(h: &mut Hand, low: f32) {
    let bend = h.vary(0.0, 0.12);
    h.curve(&[[0.0, low], [bend, (low + 1.0) / 2.0], [0.0, 1.0]]);
    for side in [-1.0f32, 1.0] {
        if h.chance(0.6) {
            let at = h.vary(0.65, 0.1);
            h.curve(&[
                [bend * 0.7, at],
                [side * 0.28, at - 0.22],
                [side * 0.48, at - 0.2],
                [side * 0.3, at - 0.02],
                [bend * 0.7, at],
            ]);
        }
    }
}

/// Draws an apple with a stem.
pub fn apple(h: &mut Hand) {
    let (w, top, low) = (h.vary(0.82, 0.08), h.vary(-0.42, 0.05), h.vary(0.92, 0.05));
    let dent = h.vary(0.2, 0.08);
    match h.pick(3) {
        0 => h.blob(&[
            [0.0, top + dent],
            [0.4, top - 0.05],
            [w, 0.1],
            [0.55, low - 0.15],
            [0.2, low],
            [0.0, low - 0.1],
            [-0.2, low],
            [-0.55, low - 0.15],
            [-w, 0.1],
            [-0.4, top - 0.05],
        ]),
        1 => {
            // Two halves.
            for side in [-1.0f32, 1.0] {
                h.curve(&[
                    [0.0, top + dent],
                    [side * 0.35, top - 0.08],
                    [side * w, 0.05],
                    [side * 0.55, low - 0.1],
                    [side * 0.2, low],
                    [0.0, low - 0.08],
                ]);
            }
        }
        _ => h.blob(&[[0.0, top + dent], [0.45, top], [w, 0.2], [0.4, low], [-0.4, low], [-w, 0.2], [-0.45, top]]),
    }
    h.details();
    let lean = h.vary(0.08, 0.14);
    h.curve(&[[0.0, top + dent], [lean * 0.4, top - 0.15], [lean, -0.9]]);
    if h.chance(0.65) {
        let side = if h.chance(0.7) { 1.0 } else { -1.0 };
        h.blob(&[[lean * 0.5, top - 0.18], [side * 0.3, -0.88], [side * 0.58, -0.85], [side * 0.35, -0.6]]);
    }
}

/// Draws a crescent moon.
pub fn moon(h: &mut Hand) {
    let open = h.vary(0.13, 0.03);
    let deep = h.vary(0.42, 0.2);
    let (from, to) = (open, 1.0 - open);
    let tip = [0.95 * (open * TAU).cos(), 0.95 * (open * TAU).sin()];
    let mut points = arc_points([0.0; 2], [0.95, 0.95], from, to);
    // Back along the inner side, which bends to the left.
    let inner: Vec<Point> = (1..12)
        .map(|i| {
            let t = i as f32 / 12.0;
            let y = -tip[1] + 2.0 * tip[1] * t;
            let bow = 1.0 - (y / tip[1]).powi(2);
            [tip[0] - (deep + 0.35) * bow.max(0.0).powf(0.75), y]
        })
        .collect();
    if h.chance(0.6) {
        points.extend(inner);
        h.closed(&points);
    } else {
        h.line(&points);
        let mut back = vec![[tip[0], -tip[1]]];
        back.extend(inner);
        back.push(tip);
        h.curve(&back);
    }
    h.details();
    if h.chance(0.15) {
        h.dot([-0.5, -0.3], 0.06);
    }
}

/// Draws a cloud.
pub fn cloud(h: &mut Hand) {
    let flat = h.chance(0.45);
    if flat {
        let base = 0.45;
        let mut points = Vec::new();
        let lobes: &[[f32; 4]] = match h.pick(3) {
            0 => &[[-0.65, 0.15, 0.35, 0.32], [0.0, -0.15, 0.48, 0.45], [0.62, 0.12, 0.38, 0.34]],
            1 => &[[-0.6, 0.1, 0.4, 0.36], [0.25, -0.1, 0.6, 0.5], [0.75, 0.2, 0.25, 0.26]],
            _ => &[[-0.7, 0.2, 0.3, 0.28], [-0.25, -0.1, 0.36, 0.38], [0.3, -0.12, 0.38, 0.4], [0.75, 0.18, 0.28, 0.3]],
        };
        for &[x, y, rx, ry] in lobes {
            points.extend(arc_points([x, y], [rx, ry], 0.52, 0.98));
        }
        points.extend([[1.0, base - 0.08], [0.9, base], [-0.9, base], [-1.0, base - 0.08]]);
        h.closed(&points);
    } else {
        let count = 6 + h.pick(5);
        let high = h.vary(0.52, 0.08);
        let outline = bumps(h, [0.0; 2], [0.95, high], count, 0.24);
        h.closed(&outline);
    }
    h.details();
    if h.chance(0.2) {
        for x in [-0.5f32, 0.0, 0.5] {
            h.line(&[[x, 0.6], [x - 0.08, 0.85]]);
        }
    }
}

/// Draws a mushroom.
pub fn mushroom(h: &mut Hand) {
    let (rim, wide) = (h.vary(0.05, 0.1), h.vary(0.95, 0.05));
    let top = h.vary(-0.9, 0.06);
    match h.pick(3) {
        0 => {
            let mut cap = arc_points([0.0, rim], [wide, rim - top], 0.5, 1.0);
            cap.push([-wide, rim]);
            h.closed(&cap);
        }
        1 => h.blob(&[
            [-wide, rim],
            [-0.75, -0.55],
            [0.0, top],
            [0.75, -0.55],
            [wide, rim],
            [0.5, rim + 0.14],
            [-0.5, rim + 0.14],
        ]),
        _ => {
            h.arc([0.0, rim], [wide, rim - top], 0.5, 1.0);
            h.curve(&[[-wide, rim], [-0.4, rim + 0.16], [0.4, rim + 0.16], [wide, rim]]);
        }
    }
    let (neck, foot) = (h.vary(0.24, 0.06), h.vary(0.32, 0.1));
    h.curve(&[
        [-neck, rim + 0.08],
        [-neck, 0.5],
        [-foot, 0.88],
        [0.0, 0.96],
        [foot, 0.88],
        [neck, 0.5],
        [neck, rim + 0.08],
    ]);
    h.details();
    if h.chance(0.7) {
        for at in [[-0.5f32, -0.25], [0.05, -0.5], [0.5, -0.2], [-0.1, -0.12]] {
            if h.chance(0.8) {
                let r = h.vary(0.12, 0.04);
                h.ring(at, [r; 2]);
            }
        }
    }
}
