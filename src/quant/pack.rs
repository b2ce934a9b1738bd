//! Groups of weights → their bytes.

use super::WeightType;
use half::f16;

/// Packs one group (a block of f32 or f16, 32 values of q8 or q4) into `packed` and returns its scale.
pub(super) fn pack_group(
    weight_type: WeightType,
    group: &[f32],
    packed: &mut [u8; 32],
) -> std::result::Result<f16, String> {
    if let Some(j) = group.iter().position(|w| !w.is_finite()) {
        return Err(format!("value {j} of these is {}", group[j]));
    }
    match weight_type {
        WeightType::F32 => {
            for (b, w) in packed.chunks_exact_mut(4).zip(group) {
                b.copy_from_slice(&w.to_le_bytes());
            }
            Ok(f16::ZERO)
        }
        WeightType::F16 => {
            for (b, &w) in packed.chunks_exact_mut(2).zip(group) {
                b.copy_from_slice(&finite_f16(w)?.to_le_bytes());
            }
            Ok(f16::ZERO)
        }
        WeightType::Q8 => pack_q8(group, packed),
        WeightType::Q4 => pack_q4(group, packed),
        other => Err(format!("{other} is never made from floats")),
    }
}

/// Rounds to f16 and refuses a value that would become infinite.
fn finite_f16(w: f32) -> std::result::Result<f16, String> {
    let rounded = f16::from_f32(w);
    if rounded.is_finite() {
        Ok(rounded)
    } else {
        Err(format!("{w} is beyond the largest f16 (65504); store it as f32"))
    }
}

/// Packs with `d = max|w| / 127`. `d` is rounded to f16 before it quantises, so that the integers absorb its rounding.
fn pack_q8(group: &[f32], packed: &mut [u8; 32]) -> std::result::Result<f16, String> {
    let amax = group.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let scale = finite_f16(amax / 127.0)?;
    let d = scale.to_f32();
    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
    for (b, w) in packed.iter_mut().zip(group) {
        *b = nearest((w * inverse).clamp(-127.0, 127.0)) as i8 as u8;
    }
    Ok(scale)
}

/// Packs with the scale of least squared error among a few, each rounded to f16.
///
/// The first is ggml's (the value of largest magnitude becomes −8), the second spreads least and greatest
/// over −8 … 7; both are exact where the weights already are `d·(−8 … 7)`. The others trade the clipping of
/// one end for a finer grid. The best is then refined by least squares: `d = Σ w·q / Σ q²`.
fn pack_q4(group: &[f32], packed: &mut [u8; 32]) -> std::result::Result<f16, String> {
    let signed_max = group.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let (min, max) = group.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &w| (lo.min(w), hi.max(w)));
    let first = finite_f16(signed_max / -8.0)?;
    let mut best = (squared_error(group, first.to_f32()), first);
    // Halved before they are subtracted: the range of two finite floats need not be finite.
    let range = (max / 2.0 - min / 2.0) / 7.5;
    for candidate in [range, -range, signed_max / -7.5, signed_max / -7.0] {
        try_scale(group, candidate, &mut best);
    }
    if best.0 > 0.0 {
        let (mut wq, mut qq) = (0.0f64, 0.0f64);
        for &w in group {
            let q = f64::from(nibble(w, best.1.to_f32())) - 8.0;
            wq += f64::from(w) * q;
            qq += q * q;
        }
        if qq > 0.0 {
            try_scale(group, (wq / qq) as f32, &mut best);
        }
    }
    let d = best.1.to_f32();
    for (j, b) in packed.iter_mut().take(16).enumerate() {
        *b = nibble(group[j], d) | nibble(group[j + 16], d) << 4;
    }
    Ok(best.1)
}

fn try_scale(group: &[f32], d: f32, best: &mut (f64, f16)) {
    let scale = f16::from_f32(d);
    if best.0 > 0.0 && scale.is_finite() {
        let error = squared_error(group, scale.to_f32());
        if error < best.0 {
            *best = (error, scale);
        }
    }
}

/// Returns the integer nearest to `x`, ½ away from zero, for `|x| < 2²²`. [`f32::round`] is a function call where no
/// instruction rounds this way (WebAssembly, x86-64 before SSE 4.1). The largest float below ½ is added: adding ½ would
/// round that float itself up to one.
pub(super) fn nearest(x: f32) -> i32 {
    const ALMOST_HALF: f32 = 0.499_999_97;
    (x + ALMOST_HALF.copysign(x)) as i32
}

/// Returns `q − 8` of a value.
fn level(w: f32, d: f32) -> i32 {
    // A zero scale makes every value 0.
    if d == 0.0 { 0 } else { nearest((w / d).clamp(-8.0, 7.0)) }
}

fn nibble(w: f32, d: f32) -> u8 {
    (level(w, d) + 8) as u8
}

pub(super) fn squared_error(group: &[f32], d: f32) -> f64 {
    // In two loops, of which the first has no order and becomes SIMD.
    let mut errors = [0.0; 32];
    for (error, &w) in errors.iter_mut().zip(group) {
        let one = f64::from(w) - f64::from(d) * f64::from(level(w, d));
        *error = one * one;
    }
    errors[..group.len().min(32)].iter().sum()
}
