//! `out[y, x, c] = mean of f(map[i, j, c])` over the window of `(y, x)`: adaptive average pooling of a square map.
//!
//! Of a side `n` that becomes `m`, position `y` averages `⌊y·n/m⌋ ≤ i < ⌈(y+1)·n/m⌉`, as PyTorch's
//! `AdaptiveAvgPool2d` does: windows of 2 × 2 for `m = n/2`, the whole map for `m = 1`. `f` is the identity or
//! `hardswish(x) = x · clamp(x + 3, 0, 6) / 6` (arXiv 1905.02244).

use super::depthwise::Map;
use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;
use std::ops::Range;

/// One invocation per position and four channels.
pub static MEAN_POOL: Kernel = Kernel {
    name: "mean_pool",
    wgsl: concat!(include_str!("mean_pool.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [(p[0] / 4).div_ceil(64), p[2] * p[2], 1],
    reference: |op, _, buffers: &mut [Words]| {
        let [map, out] = buffers else { unreachable!("checked by Pass::push") };
        let [cols, side, out_side, hardswish] = [0, 1, 2, 3].map(|i| op.params[i] as usize);
        for at in 0..out_side * out_side * cols {
            let (position, c) = (at / cols, at % cols);
            let (mut sum, mut count) = (0.0, 0.0);
            for row in window(position / out_side, side, out_side) {
                for column in window(position % out_side, side, out_side) {
                    let x = f64::from(map.f32()[(row * side + column) * cols + c]);
                    sum += if hardswish == 1 { super::excite::hardswish(x) } else { x };
                    count += 1.0;
                }
            }
            out.f32_mut()[at] = (sum / count) as f32;
        }
    },
    cost: Cost::negligible,
    operands: Operands::F32,
    // An f32 sum of a map, one term after the other; means of values with both signs are small.
    tolerance: 1e-10,
};

/// Returns the rows that output row `at` averages, of `side` rows that become `out_side`.
pub(crate) fn window(at: usize, side: usize, out_side: usize) -> Range<usize> {
    at * side / out_side..((at + 1) * side).div_ceil(out_side)
}

/// Appends `out [out_side · out_side, cols]`, the means of `map`, or of its hardswish.
///
/// # Panics
/// When a buffer is too small: shapes come from a checked config.
pub fn mean_pool(pass: &mut Pass, map: Map, hardswish: bool, out: Buf, out_side: u32) {
    let Map { rows, side, cols } = map;
    assert!(cols.is_multiple_of(4) && side > 0 && out_side > 0, "mean_pool");
    assert!(rows.words >= u64::from(side * side) * u64::from(cols), "mean_pool: map");
    assert!(out.words >= u64::from(out_side * out_side) * u64::from(cols), "mean_pool: out");
    let params = [cols, side, out_side, hardswish.into(), 0, 0, 0, 0];
    pass.push(Op { kernel: &MEAN_POOL, consts: vec![], params, buffers: vec![rows, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_and_fast_version_equal_twin() {
        for (side, out_side, cols) in [(1, 1, 4), (5, 1, 68), (24, 1, 128), (24, 12, 128), (16, 12, 8), (3, 12, 260)] {
            for hardswish in [false, true] {
                let mut case = Case::new(format!("mean_pool {side} → {out_side} x {cols}, {hardswish}"));
                let rows = case.random(u64::from(side * side * cols), 4.0);
                let out = case.output(u64::from(out_side * out_side * cols), None);
                mean_pool(&mut case.pass, Map { rows, side, cols }, hardswish, out, out_side);
                case.check(MEAN_POOL.tolerance, 1e-5);
                case.check_cpu(MEAN_POOL.tolerance, 1e-5);
            }
        }
    }

    /// The windows of PyTorch's `AdaptiveAvgPool2d(12)` for the grids of 24, of 16 (CLIP at 224 pixels) and of 5 rows.
    #[test]
    fn windows_are_those_of_pytorch() {
        assert_eq!((window(0, 24, 12), window(11, 24, 12)), (0..2, 22..24));
        let of_16: Vec<_> = (0..4).map(|at| window(at, 16, 12)).collect();
        assert_eq!(of_16, [0..2, 1..3, 2..4, 4..6]);
        assert_eq!((window(1, 5, 12), window(2, 5, 12), window(7, 5, 1)), (0..1, 0..2, 35..40));
    }
}
