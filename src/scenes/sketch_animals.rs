//! How animals and faces are drawn, each in several ways.

use super::hand::{Hand, arc_points};

/// Draws two eyes at ±`x`, `y`.
fn eyes(h: &mut Hand, x: f32, y: f32, r: f32) {
    match h.pick(4) {
        0 => {
            for side in [-x, x] {
                h.ring([side, y], [r; 2]);
            }
        }
        1 => {
            for side in [-x, x] {
                h.line(&[[side, y - r], [side, y + r]]);
            }
        }
        2 => {
            for side in [-x, x] {
                h.ring([side, y], [r * 1.4, r]);
                h.dot([side, y], r * 0.3);
            }
        }
        _ => {
            for side in [-x, x] {
                h.dot([side, y], r * 0.6);
            }
        }
    }
}

/// Draws a fish.
pub fn fish(h: &mut Hand) {
    let fat = h.vary(0.42, 0.1);
    match h.pick(4) {
        0 => {
            h.ring([0.2, 0.0], [0.72, fat]);
            let tail = h.vary(0.38, 0.08);
            h.closed(&[[-0.48, 0.0], [-1.0, -tail], [-1.0, tail]]);
        }
        1 => {
            // Two arcs that cross before the tail.
            h.curve(&[[-1.0, 0.35], [-0.5, 0.0], [0.0, -fat], [0.6, -fat * 0.75], [1.0, 0.0]]);
            h.curve(&[[-1.0, -0.35], [-0.5, 0.0], [0.0, fat], [0.6, fat * 0.75], [1.0, 0.0]]);
            if h.chance(0.6) {
                h.line(&[[-1.0, -0.35], [-1.0, 0.35]]);
            }
        }
        2 => h.blob(&[
            [1.0, 0.0],
            [0.5, -fat],
            [-0.1, -fat * 0.9],
            [-0.5, -0.1],
            [-1.0, -0.42],
            [-0.85, 0.0],
            [-1.0, 0.42],
            [-0.5, 0.1],
            [-0.1, fat * 0.9],
            [0.5, fat],
        ]),
        _ => {
            h.curve(&[[-0.45, 0.0], [0.0, -fat], [0.55, -fat * 0.8], [1.0, 0.0]]);
            h.curve(&[[-0.45, 0.0], [0.0, fat], [0.55, fat * 0.8], [1.0, 0.0]]);
            h.line(&[[-0.45, 0.0], [-0.95, -0.4], [-0.8, 0.0], [-0.95, 0.4], [-0.45, 0.0]]);
        }
    }
    h.details();
    if h.chance(0.9) {
        h.dot([0.62, -0.1], 0.06);
    }
    if h.chance(0.3) {
        h.arc([0.3, 0.0], [0.14, fat * 0.7], -0.22, 0.22);
    }
    if h.chance(0.35) {
        h.line(&[[0.0, -fat], [0.15, -fat - 0.25], [0.4, -fat * 0.95]]);
    }
    if h.chance(0.2) {
        h.line(&[[0.05, fat], [0.1, fat + 0.2], [0.3, fat * 0.95]]);
    }
    if h.chance(0.3) {
        h.arc([0.92, 0.1], [0.16, 0.1], 0.3, 0.55);
    }
    if h.chance(0.2) {
        for x in [-0.15f32, 0.05] {
            h.arc([x, 0.0], [0.12, 0.18], -0.2, 0.2);
        }
    }
}

/// Draws a face.
pub fn face(h: &mut Hand) {
    let w = h.vary(0.85, 0.12);
    h.ring([0.0; 2], [w, 0.92]);
    h.details();
    let (x, y) = (h.vary(0.32, 0.06), h.vary(-0.25, 0.08));
    let r = h.vary(0.09, 0.03);
    eyes(h, x, y, r);
    let (low, wide) = (h.vary(0.2, 0.06), h.vary(0.44, 0.1));
    match h.pick(6) {
        0..=2 => h.arc([0.0, low], [wide, 0.32], 0.03, 0.47),
        3 => h.line(&[[-0.3, low + 0.25], [0.3, low + 0.25]]),
        4 => h.arc([0.0, low + 0.5], [wide, 0.28], 0.54, 0.96),
        _ => {
            let mut mouth = arc_points([0.0, low], [0.42, 0.36], 0.0, 0.5);
            mouth.push([0.42, low]);
            h.line(&mouth);
        }
    }
    match h.pick(4) {
        0 => h.line(&[[0.0, -0.12], [-0.1, 0.12], [0.06, 0.13]]),
        1 => h.line(&[[0.0, -0.1], [0.0, 0.14]]),
        _ => {}
    }
    if h.chance(0.3) {
        for i in 0..5 + h.pick(3) {
            let hair = -0.5 + i as f32 * 0.18;
            h.line(&[[hair, -0.78], [hair * 1.15, -1.08]]);
        }
    } else if h.chance(0.2) {
        for side in [-1.0f32, 1.0] {
            h.arc(
                [side * w, 0.0],
                [0.14, 0.2],
                if side > 0.0 { -0.27 } else { 0.23 },
                if side > 0.0 { 0.27 } else { 0.77 },
            );
        }
    }
    if h.chance(0.12) {
        for side in [-x, x] {
            h.line(&[[side - 0.14, y - 0.22], [side + 0.14, y - 0.24]]);
        }
    }
}

/// Draws the whiskers and the nose of a cat whose head is at `y`.
fn muzzle(h: &mut Hand, y: f32, scale: f32) {
    if h.chance(0.85) {
        for side in [-1.0f32, 1.0] {
            for i in 0..2 + h.pick(2) {
                let tilt = (i as f32 - 0.7) * 0.14;
                let (from, to) = (side * 0.22 * scale, side * h.vary(0.95, 0.15) * scale);
                h.line(&[[from, y + 0.2 * scale + tilt * 0.3], [to, y + (0.16 + tilt) * scale]]);
            }
        }
    }
    if h.chance(0.7) {
        let (n, m) = (0.07 * scale, y + 0.1 * scale);
        h.closed(&[[-n, m], [n, m], [0.0, m + n]]);
        if h.chance(0.6) {
            h.curve(&[[-0.16 * scale, m + 0.2 * scale], [-0.06 * scale, m + 0.25 * scale], [0.0, m + n]]);
            h.curve(&[[0.0, m + n], [0.06 * scale, m + 0.25 * scale], [0.16 * scale, m + 0.2 * scale]]);
        }
    }
}

/// Draws a cat: its head, or all of it.
pub fn cat(h: &mut Hand) {
    let whole = h.chance(0.3);
    let (scale, y) = if whole { (0.5, -0.45) } else { (1.0, 0.12) };
    let (rx, ry) = (h.vary(0.78, 0.08) * scale, h.vary(0.68, 0.08) * scale);
    let up = h.vary(-1.0, 0.1) * scale + y;
    if h.chance(0.6) {
        h.ring([0.0, y], [rx, ry]);
        for side in [-1.0f32, 1.0] {
            h.line(&[[side * rx * 0.92, y - ry * 0.4], [side * rx * 0.82, up], [side * rx * 0.28, y - ry * 0.93]]);
        }
    } else {
        // Head and ears in one stroke.
        let mut outline = arc_points([0.0, y], [rx, ry], -0.07, 0.57);
        outline.extend([[-rx * 0.85, up], [-rx * 0.35, y - ry * 0.85], [rx * 0.35, y - ry * 0.85], [rx * 0.85, up]]);
        h.closed(&outline);
    }
    if whole {
        let body = h.vary(0.48, 0.08);
        h.ring([0.0, 0.5], [body, 0.5]);
        let side = if h.chance(0.5) { 1.0 } else { -1.0 };
        h.curve(&[[side * 0.4, 0.8], [side * 0.8, 0.8], [side * 0.85, 0.35], [side * 0.7, 0.1]]);
    }
    h.details();
    let r = h.vary(0.1, 0.03) * scale;
    eyes(h, 0.32 * scale, y - 0.12 * scale, r);
    muzzle(h, y, scale);
}

/// Draws a snowman.
pub fn snowman(h: &mut Hand) {
    let three = h.chance(0.45);
    let head = if three { h.vary(0.24, 0.03) } else { h.vary(0.32, 0.05) };
    let head_y = if three { -0.62 } else { -0.42 };
    if three {
        let (middle, low) = (h.vary(0.33, 0.03), h.vary(0.44, 0.04));
        h.ring([0.0, head_y], [head; 2]);
        h.ring([0.0, head_y + head + middle * 0.92], [middle; 2]);
        h.ring([0.0, head_y + head + middle * 1.9 + low * 0.85], [low; 2]);
    } else {
        let low = h.vary(0.58, 0.05);
        h.ring([0.0, head_y], [head; 2]);
        h.ring([0.0, head_y + head + low * 0.93], [low; 2]);
    }
    h.details();
    let eye = head * 0.35;
    h.dot([-eye, head_y - head * 0.2], 0.03);
    h.dot([eye, head_y - head * 0.2], 0.03);
    if h.chance(0.6) {
        h.line(&[[0.0, head_y], [head * 1.2, head_y + head * 0.2], [0.0, head_y + head * 0.28]]);
    }
    if h.chance(0.4) {
        h.arc([0.0, head_y + head * 0.25], [head * 0.5, head * 0.3], 0.06, 0.44);
    }
    if h.chance(0.55) {
        let (b, t) = (head_y - head * 0.85, head_y - head * 0.85 - h.vary(0.3, 0.06));
        h.line(&[[-head * 1.1, b], [head * 1.1, b]]);
        h.line(&[[-head * 0.65, b], [-head * 0.65, t], [head * 0.65, t], [head * 0.65, b]]);
    }
    let chest = head_y + head + 0.3;
    if h.chance(0.6) {
        for side in [-1.0f32, 1.0] {
            let up = h.vary(-0.2, 0.2);
            h.line(&[[side * 0.38, chest], [side * 0.85, chest + up]]);
            if h.chance(0.4) {
                h.line(&[[side * 0.75, chest + up * 0.8], [side * 0.9, chest + up + 0.15]]);
            }
        }
    }
    if h.chance(0.65) {
        for i in 0..3 {
            h.dot([0.0, chest - 0.1 + i as f32 * 0.2], 0.03);
        }
    }
}

/// Draws a butterfly.
pub fn butterfly(h: &mut Hand) {
    let (up, low) = (h.vary(0.48, 0.06), h.vary(0.38, 0.06));
    match h.pick(3) {
        0 => {
            for side in [-1.0f32, 1.0] {
                h.ring([side * 0.5, -0.35], [0.44, up]);
                h.ring([side * 0.42, 0.42], [0.36, low]);
            }
        }
        1 => {
            for side in [-1.0f32, 1.0] {
                h.curve(&[
                    [side * 0.06, -0.1],
                    [side * 0.4, -0.75],
                    [side * 0.95, -0.85],
                    [side * 0.92, -0.3],
                    [side * 0.4, 0.05],
                    [side * 0.85, 0.3],
                    [side * 0.7, 0.85],
                    [side * 0.3, 0.6],
                    [side * 0.06, 0.15],
                ]);
            }
        }
        _ => {
            for side in [-1.0f32, 1.0] {
                h.closed(&[[side * 0.06, 0.0], [side * 0.9, -0.85], [side * 0.95, -0.05]]);
                h.closed(&[[side * 0.06, 0.05], [side * 0.8, 0.15], [side * 0.65, 0.8]]);
            }
        }
    }
    h.details();
    if h.chance(0.6) {
        let long = h.vary(0.55, 0.08);
        h.ring([0.0, 0.05], [0.07, long]);
    } else {
        h.line(&[[0.0, -0.5], [0.0, 0.6]]);
    }
    if h.chance(0.8) {
        for side in [-1.0f32, 1.0] {
            h.curve(&[[0.0, -0.5], [side * 0.12, -0.8], [side * 0.28, -0.98]]);
        }
    }
    if h.chance(0.35) {
        for side in [-1.0f32, 1.0] {
            h.ring([side * 0.52, -0.35], [0.14; 2]);
            if h.chance(0.5) {
                h.ring([side * 0.45, 0.42], [0.1; 2]);
            }
        }
    }
}
