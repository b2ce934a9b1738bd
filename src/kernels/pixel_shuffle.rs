//! `out[i·n + j, (a·s + b)·C + c] = x[(i·s + a)·s·n + j·s + b, c]`: squares of `s · s` features side by side.
//!
//! The map of features has `s·n` rows and columns; `out` has `n · n` rows of `s² · C` values. It is what
//! [`patches`](super::patches) does to pixels, with channels last. Source: `Idefics3Connector.pixel_shuffle` of
//! transformers.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass};
use crate::tuning::Operands;

/// One invocation per element of `out`.
pub static PIXEL_SHUFFLE: Kernel = Kernel {
    name: "pixel_shuffle",
    wgsl: concat!(include_str!("pixel_shuffle.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [(p[1] * p[1] * p[2]).div_ceil(64), (p[0] / p[1]) * (p[0] / p[1]), 1],
    cost: Cost::negligible,
    operands: Operands::F32,
    // A copy is exact.
    tolerance: 0.0,
    reference: |op, _, buffers| {
        let [x, out] = buffers else { unreachable!("checked by Pass::push") };
        let [side, factor, cols] = [0, 1, 2].map(|i| op.params[i] as usize);
        let squares = side / factor;
        for row in 0..squares * squares {
            for (square, a, b) in (0..factor * factor).map(|i| (i, i / factor, i % factor)) {
                let from = (row / squares * factor + a) * side + row % squares * factor + b;
                let to = (row * factor * factor + square) * cols;
                out.0[to..to + cols].copy_from_slice(&x.0[from * cols..][..cols]);
            }
        }
    },
};

/// Appends `out [(side/factor)², factor²·cols]` from `x [side², cols]`.
///
/// # Panics
/// When `factor` does not divide `side`, or a buffer is too small: shapes come from a checked config.
pub fn pixel_shuffle(pass: &mut Pass, x: Buf, out: Buf, side: u32, factor: u32, cols: u32) {
    assert!(side.is_multiple_of(factor), "pixel_shuffle: {factor} does not divide {side}");
    let words = u64::from(side * side) * u64::from(cols);
    assert!(x.words >= words && out.words >= words, "pixel_shuffle");
    let params = [side, factor, cols, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &PIXEL_SHUFFLE, consts: vec![], params, buffers: vec![x, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_equals_twin() {
        for (side, factor, cols) in [(4, 2, 36), (9, 3, 40), (8, 4, 12), (3, 1, 8), (27, 3, 72)] {
            let mut case = Case::new(format!("pixel_shuffle {side}/{factor} of {cols}"));
            let words = u64::from(side * side * cols);
            let (x, out) = (case.random(words, 1.0), case.output(words, None));
            pixel_shuffle(&mut case.pass, x, out, side, factor, cols);
            case.check(PIXEL_SHUFFLE.tolerance, 0.0);
        }
    }

    /// The numbers are from transformers 5.23.0: `Idefics3Connector.pixel_shuffle(arange(32).view(1, 16, 2), 2)`.
    #[test]
    fn twin_equals_transformers() {
        let mut case = Case::new("pixel_shuffle of counted features".into());
        let counted: Vec<f32> = (0u8..32).map(f32::from).collect();
        let (x, out) = (case.floats_of(&counted), case.output(32, None));
        pixel_shuffle(&mut case.pass, x, out, 4, 2, 2);
        let wanted = [
            [0, 1, 2, 3, 8, 9, 10, 11],
            [4, 5, 6, 7, 12, 13, 14, 15],
            [16, 17, 18, 19, 24, 25, 26, 27],
            [20, 21, 22, 23, 28, 29, 30, 31],
        ];
        assert_eq!(case.reference()[0], wanted.as_flattened().iter().map(|n| *n as f32).collect::<Vec<_>>());
    }
}
