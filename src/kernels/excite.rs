//! `map[p, c] = hardswish(map[p, c]) · hardsigmoid(gate[c])`, in place: the activation of a mobile block and the weights
//! of channels by its squeeze-and-excitation.
//!
//! `hardsigmoid(x) = clamp(x + 3, 0, 6) / 6`, `hardswish(x) = x · hardsigmoid(x)`. Source: arXiv 1905.02244, section 5.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// One invocation per position and four channels.
pub static EXCITE: Kernel = Kernel {
    name: "excite",
    wgsl: concat!(include_str!("excite.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [(p[0] / 4).div_ceil(64), p[1], 1],
    reference: |op, _, buffers: &mut [Words]| {
        let [gate, map] = buffers else { unreachable!("checked by Pass::push") };
        let [cols, rows] = [0, 1].map(|i| op.params[i] as usize);
        for (at, x) in map.f32_mut()[..rows * cols].iter_mut().enumerate() {
            *x = (hardswish(f64::from(*x)) * hardsigmoid(f64::from(gate.f32()[at % cols]))) as f32;
        }
    },
    cost: Cost::negligible,
    operands: Operands::F32,
    // Four f32 products and two sums.
    tolerance: 1e-12,
};

/// `clamp(x + 3, 0, 6) / 6`
fn hardsigmoid(x: f64) -> f64 {
    (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// `x · hardsigmoid(x)`
pub(super) fn hardswish(x: f64) -> f64 {
    x * hardsigmoid(x)
}

/// Appends `map [rows, cols] = hardswish(map) · hardsigmoid(gate [cols])`.
///
/// # Panics
/// When a buffer is too small: shapes come from a checked config.
pub fn excite(pass: &mut Pass, gate: Buf, map: Buf, rows: u32, cols: u32) {
    let (count, channels) = (u64::from(rows) * u64::from(cols), u64::from(cols));
    assert!(cols.is_multiple_of(4) && map.words >= count && gate.words >= channels, "excite");
    let params = [cols, rows, 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &EXCITE, consts: vec![], params, buffers: vec![gate, map] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_and_fast_version_equal_twin() {
        for (rows, cols) in [(1, 4), (9, 68), (144, 260)] {
            let mut case = Case::new(format!("excite {rows}x{cols}"));
            let gate = case.random(u64::from(cols), 5.0);
            let map = case.output(u64::from(rows * cols), Some(5.0));
            excite(&mut case.pass, gate, map, rows, cols);
            case.check(EXCITE.tolerance, 1e-5);
            case.check_cpu(EXCITE.tolerance, 1e-5);
        }
    }

    #[test]
    fn the_functions_are_those_of_pytorch() {
        let values = [-4.0, -3.0, -1.5, 0.0, 1.0, 3.0, 4.0];
        assert_eq!(values.map(hardsigmoid), [0.0, 0.0, 0.25, 0.5, 4.0 / 6.0, 1.0, 1.0]);
        assert_eq!(values.map(hardswish), [-0.0, -0.0, -0.375, 0.0, 4.0 / 6.0, 3.0, 4.0]);
    }
}
