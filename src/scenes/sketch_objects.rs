//! How houses, vehicles and household things are drawn, each in several ways.

use super::hand::{Hand, Point, arc_points};

/// Draws a house.
pub fn house(h: &mut Hand) {
    let (w, eaves, ridge) = (h.vary(0.75, 0.18), h.vary(-0.05, 0.2), h.vary(0.0, 0.1));
    match h.pick(4) {
        0 => {
            h.closed(&[[-w, 1.0], [-w, eaves], [w, eaves], [w, 1.0]]);
            let over = h.vary(0.1, 0.1);
            h.closed(&[[-w - over, eaves], [ridge, -0.95], [w + over, eaves]]);
        }
        1 => {
            h.closed(&[[-w, 1.0], [-w, eaves], [ridge, -0.95], [w, eaves], [w, 1.0]]);
            if h.chance(0.6) {
                h.line(&[[-w, eaves], [w, eaves]]);
            }
        }
        2 => {
            h.closed(&[[-w, 1.0], [-w, eaves], [w, eaves], [w, 1.0]]);
            h.line(&[[-w - 0.2, eaves + 0.12], [ridge, -0.95]]);
            h.line(&[[ridge, -0.95], [w + 0.2, eaves + 0.12]]);
        }
        _ => {
            // Seen from the side: a roof with a level ridge.
            h.closed(&[[-w, 0.8], [-w, eaves], [w, eaves], [w, 0.8]]);
            let r = h.vary(0.45, 0.12);
            h.closed(&[[-w - 0.12, eaves], [-r, -0.75], [r, -0.75], [w + 0.12, eaves]]);
        }
    }
    let base = 0.97;
    h.details();
    if h.chance(0.3) {
        let x = h.vary(0.42, 0.08);
        h.line(&[[x, -0.45], [x, -0.95], [x + 0.2, -0.95], [x + 0.2, -0.25]]);
    }
    let door = h.vary(-0.1, 0.35) * w;
    if h.chance(0.85) {
        let (wide, high) = (h.vary(0.17, 0.05), h.vary(0.45, 0.1));
        if h.chance(0.8) {
            h.line(&[[door - wide, base], [door - wide, base - high], [door + wide, base - high], [door + wide, base]]);
        } else {
            h.arc([door, base], [wide, high], 0.5, 1.0);
        }
    }
    for side in [-1.0f32, 1.0] {
        let at = side * w * 0.62;
        if (at - door).abs() > 0.42 && h.chance(0.65) {
            let (y, r) = (eaves + 0.35, h.vary(0.15, 0.04));
            h.closed(&[[at - r, y - r], [at + r, y - r], [at + r, y + r], [at - r, y + r]]);
            if h.chance(0.5) {
                h.line(&[[at - r, y], [at + r, y]]);
                h.line(&[[at, y - r], [at, y + r]]);
            }
        }
    }
}

/// Draws a car from the side.
pub fn car(h: &mut Hand) {
    let (front, back, roof) = (h.vary(0.42, 0.1), h.vary(-0.45, 0.1), h.vary(-0.55, 0.08));
    match h.pick(4) {
        0 => {
            h.closed(&[[-1.0, -0.05], [1.0, -0.05], [1.0, 0.4], [-1.0, 0.4]]);
            h.line(&[[back - 0.15, -0.05], [back, roof], [front, roof], [front + 0.2, -0.05]]);
        }
        1 => h.closed(&[
            [-1.0, 0.4],
            [-1.0, 0.0],
            [back - 0.18, -0.08],
            [back, roof],
            [front - 0.1, roof],
            [front + 0.15, -0.06],
            [1.0, 0.05],
            [1.0, 0.4],
        ]),
        2 => h.blob(&[
            [-1.0, 0.35],
            [-0.85, -0.05],
            [-0.4, -0.5],
            [0.2, -0.52],
            [0.6, -0.08],
            [1.0, 0.1],
            [0.98, 0.38],
            [0.0, 0.42],
        ]),
        _ => {
            h.arc([0.0, 0.0], [0.6, 0.55], 0.5, 1.0);
            h.closed(&[[-1.0, 0.0], [1.0, 0.0], [1.0, 0.4], [-1.0, 0.4]]);
        }
    }
    let r = h.vary(0.2, 0.04);
    let (left, right) = (h.vary(-0.55, 0.07), h.vary(0.55, 0.07));
    let apart = h.chance(0.5);
    if apart {
        h.details();
    }
    h.ring([left, 0.45], [r; 2]);
    h.ring([right, 0.45], [r; 2]);
    h.details();
    if h.chance(0.35) {
        h.dot([left, 0.45], r * 0.35);
        h.dot([right, 0.45], r * 0.35);
    }
    if h.chance(0.65) {
        let mid = (front + back) / 2.0;
        if h.chance(0.5) {
            h.line(&[[mid, roof + 0.05], [mid, -0.05]]);
        } else {
            h.closed(&[
                [back + 0.06, -0.12],
                [back + 0.12, roof + 0.12],
                [mid - 0.05, roof + 0.12],
                [mid - 0.05, -0.12],
            ]);
            h.closed(&[[mid + 0.05, -0.12], [mid + 0.05, roof + 0.12], [front - 0.1, roof + 0.12], [front, -0.12]]);
        }
    }
    if h.chance(0.3) {
        h.dot([0.92, 0.15], 0.05);
    }
}

/// Draws a boat with a sail.
pub fn boat(h: &mut Hand) {
    let (deck, keel) = (h.vary(0.4, 0.1), h.vary(0.6, 0.1));
    match h.pick(3) {
        0 => h.closed(&[[-0.95, deck], [0.95, deck], [keel, 0.95], [-keel, 0.95]]),
        1 => {
            let mut hull = arc_points([0.0, deck], [0.95, 0.55], 0.0, 0.5);
            hull.push([0.95, deck]);
            h.closed(&hull);
        }
        _ => {
            h.curve(&[[-1.0, deck - 0.05], [-0.6, 0.85], [0.0, 0.95], [0.6, 0.85], [1.0, deck - 0.05]]);
            h.line(&[[-0.97, deck], [0.97, deck]]);
        }
    }
    let mast = h.vary(0.0, 0.15);
    h.line(&[[mast, deck], [mast, -0.95]]);
    if h.chance(0.35) {
        h.details();
    }
    let top = h.vary(-0.88, 0.06);
    match h.pick(4) {
        0 => h.closed(&[[mast, top], [mast + 0.7, deck - 0.15], [mast, deck - 0.15]]),
        1 => {
            h.closed(&[[mast + 0.04, top], [mast + 0.7, deck - 0.15], [mast + 0.04, deck - 0.15]]);
            h.closed(&[[mast - 0.05, top + 0.2], [mast - 0.55, deck - 0.15], [mast - 0.05, deck - 0.15]]);
        }
        2 => {
            h.curve(&[[mast, top], [mast + 0.55, -0.25], [mast + 0.6, deck - 0.2]]);
            h.line(&[[mast + 0.6, deck - 0.2], [mast, deck - 0.2]]);
        }
        _ => h.closed(&[
            [mast - 0.5, top + 0.15],
            [mast + 0.5, top + 0.15],
            [mast + 0.6, deck - 0.3],
            [mast - 0.6, deck - 0.3],
        ]),
    }
    h.details();
    if h.chance(0.25) {
        h.closed(&[[mast, -1.0], [mast + 0.25, -0.93], [mast, -0.85]]);
    }
    if h.chance(0.25) {
        let wave: Vec<Point> =
            (0..9).map(|i| [-1.1 + i as f32 * 0.27, 1.1 + if i % 2 == 0 { 0.06 } else { -0.06 }]).collect();
        h.curve(&wave);
    }
}

/// Draws a key.
pub fn key(h: &mut Hand) {
    let bow = h.vary(0.34, 0.07);
    let shape = h.pick(4);
    match shape {
        0 | 1 => h.ring([-0.65, 0.0], [bow, bow]),
        2 => {
            h.ring([-0.65, 0.0], [bow, bow * 1.2]);
            h.ring([-0.65, 0.0], [bow * 0.45, bow * 0.5]);
        }
        _ => h.closed(&[[-0.95, -bow], [-0.35, -bow], [-0.35, bow], [-0.95, bow]]),
    }
    let start = -0.65 + bow;
    let teeth = [h.vary(0.88, 0.06), h.vary(0.64, 0.06), h.vary(0.42, 0.05)];
    let count = 2 + usize::from(h.chance(0.4));
    if h.chance(0.7) {
        h.line(&[[start, 0.0], [1.0, 0.0]]);
        for x in &teeth[..count] {
            let long = h.vary(0.28, 0.08);
            h.line(&[[*x, 0.0], [*x, long]]);
        }
    } else {
        let (t, b) = (-0.09, 0.09);
        h.line(&[
            [start, t],
            [1.0, t],
            [1.0, b + 0.25],
            [0.86, b + 0.25],
            [0.86, b],
            [0.68, b],
            [0.68, b + 0.22],
            [0.52, b + 0.22],
            [0.52, b],
            [start, b],
        ]);
    }
    h.details();
    if shape < 2 && h.chance(0.35) {
        h.ring([-0.72, 0.0], [bow * 0.3; 2]);
    }
}

/// Draws a cup with a handle.
pub fn cup(h: &mut Hand) {
    let (top, bottom) = (h.vary(0.6, 0.08), h.vary(0.48, 0.1));
    let (rim, base) = (h.vary(-0.5, 0.12), h.vary(0.75, 0.08));
    match h.pick(3) {
        0 => h.closed(&[[-top, rim], [top, rim], [bottom, base], [-bottom, base]]),
        1 => {
            h.line(&[[-top, rim], [-bottom, base], [bottom, base], [top, rim]]);
            h.ring([0.0, rim], [top, 0.14]);
        }
        _ => {
            h.curve(&[[-top, rim], [-top * 0.95, 0.2], [-0.3, base], [0.3, base], [top * 0.95, 0.2], [top, rim]]);
            h.line(&[[-top, rim], [top, rim]]);
        }
    }
    let side = top * 0.9;
    match h.pick(3) {
        0 => h.arc([side, 0.08], [0.4, 0.32], -0.23, 0.25),
        1 => {
            h.arc([side, 0.08], [0.42, 0.38], -0.24, 0.25);
            h.arc([side, 0.08], [0.24, 0.2], -0.23, 0.25);
        }
        _ => h.line(&[[side, -0.2], [side + 0.35, -0.18], [side + 0.33, 0.35], [side - 0.08, 0.38]]),
    }
    h.details();
    if h.chance(0.35) {
        for x in [-0.25f32, 0.05, 0.32] {
            if h.chance(0.75) {
                h.curve(&[[x, rim - 0.15], [x + 0.08, rim - 0.28], [x - 0.05, rim - 0.4], [x + 0.05, rim - 0.55]]);
            }
        }
    }
    if h.chance(0.2) {
        h.curve(&[[-bottom, base + 0.1], [-0.9, base + 0.02], [0.9, base + 0.02], [bottom, base + 0.1]]);
    }
}

/// Draws a hat with a brim.
pub fn hat(h: &mut Hand) {
    let (w, top) = (h.vary(0.52, 0.08), h.vary(-0.7, 0.12));
    let brim = h.vary(0.35, 0.08);
    match h.pick(4) {
        0 => {
            // A top hat.
            h.line(&[[-w, brim], [-w, top], [w, top], [w, brim]]);
            if h.chance(0.5) {
                h.line(&[[-1.0, brim], [1.0, brim]]);
            } else {
                h.closed(&[[-1.0, brim], [1.0, brim], [1.0, brim + 0.14], [-1.0, brim + 0.14]]);
            }
        }
        1 => {
            h.ring([0.0, brim], [1.0, 0.2]);
            h.curve(&[
                [-w, brim - 0.05],
                [-w * 0.95, -0.3],
                [-0.25, top + 0.1],
                [0.25, top + 0.1],
                [w * 0.95, -0.3],
                [w, brim - 0.05],
            ]);
        }
        2 => {
            h.arc([0.0, brim], [w + 0.1, brim - top], 0.5, 1.0);
            h.curve(&[[-1.0, brim + 0.05], [-0.5, brim + 0.04], [0.5, brim + 0.02], [1.0, brim + 0.05]]);
            if h.chance(0.4) {
                h.curve(&[[-1.0, brim + 0.05], [-0.4, brim + 0.2], [0.4, brim + 0.2], [1.0, brim + 0.05]]);
            }
        }
        _ => {
            h.ring([0.0, brim], [1.0, 0.18]);
            h.line(&[[-w, brim], [-w * 1.1, top], [w * 1.1, top], [w, brim]]);
        }
    }
    h.details();
    if h.chance(0.6) {
        let y = brim - h.vary(0.24, 0.05);
        h.line(&[[-w, y], [w, y]]);
        if h.chance(0.3) {
            h.line(&[[-w, y + 0.12], [w, y + 0.12]]);
        }
    }
}

/// Draws an umbrella.
pub fn umbrella(h: &mut Hand) {
    let (y, high) = (h.vary(-0.05, 0.08), h.vary(0.85, 0.1));
    h.arc([0.0, y], [1.0, high], 0.5, 1.0);
    let bumps = [1, 3, 4, 5][h.pick(4)];
    if bumps == 1 {
        h.line(&[[-1.0, y], [1.0, y]]);
    } else {
        let deep = h.vary(0.14, 0.05);
        let wide = 1.0 / bumps as f32;
        let rim: Vec<Point> = (0..bumps)
            .flat_map(|i| arc_points([-1.0 + wide * (2 * i + 1) as f32, y], [wide, deep], 0.5, 1.0))
            .collect();
        h.line(&rim);
    }
    let end = h.vary(0.85, 0.08);
    let hook = if h.chance(0.5) { 1.0 } else { -1.0 };
    if h.chance(0.8) {
        let mut stick = vec![[0.0, y - if h.chance(0.3) { high } else { 0.0 }], [0.0, end - 0.15]];
        stick.extend((1..=7).map(|i| {
            let a = i as f32 / 7.0 * std::f32::consts::PI;
            [hook * (0.15 - 0.15 * a.cos()), end - 0.15 + 0.16 * a.sin()]
        }));
        h.line(&stick);
    } else {
        h.line(&[[0.0, y], [0.0, end]]);
    }
    h.details();
    if h.chance(0.4) {
        for side in [-1.0f32, 1.0] {
            h.curve(&[[0.0, y - high], [side * 0.28, y - high * 0.6], [side * 0.36, y]]);
        }
    }
    if h.chance(0.35) {
        h.line(&[[0.0, y - high], [0.0, y - high - 0.14]]);
    }
}

/// Draws a ladder.
pub fn ladder(h: &mut Hand) {
    let (bottom, narrow) = (h.vary(0.42, 0.1), h.vary(0.04, 0.12));
    let top = bottom - narrow.max(0.0);
    let lean = h.vary(0.0, 0.3);
    let rungs = 4 + h.pick(4);
    h.line(&[[-bottom, 1.0], [-top + lean, -1.0]]);
    h.line(&[[bottom, 1.0], [top + lean, -1.0]]);
    if h.chance(0.25) {
        h.details();
    }
    for i in 0..rungs {
        let t = (i as f32 + 0.6) / rungs as f32;
        let (w, x) = (bottom + (top - bottom) * t, lean * t);
        let y = 1.0 - 2.0 * t;
        let drop = h.vary(0.0, 0.04);
        h.line(&[[x - w, y + drop], [x + w, y - drop]]);
    }
}
