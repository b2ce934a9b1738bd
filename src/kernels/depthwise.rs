//! `out[y, x, c] = Σ_ij w[c, i, j] · map[s·y + i − 1, s·x + j − 1, c] + bias[c] + map[y, x, c]`: a depthwise
//! convolution over a square map of rows, as in MobileVLM's connectors (arXiv 2312.16886, 2402.03766).
//!
//! Each channel has a 3 × 3 filter of its own. Outside of the map there are zeros. Bias and the last term, which is the
//! map itself, are optional; the last one needs stride 1.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass};
use crate::tuning::Operands;

/// One invocation per position and four channels.
pub static DEPTHWISE: Kernel = Kernel {
    name: "depthwise",
    wgsl: concat!(include_str!("depthwise.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [(p[0] / 4).div_ceil(64), p[2] * p[2], 1],
    reference: |op, _, buffers| {
        let [map, w, bias, out] = buffers else { unreachable!("checked by Pass::push") };
        let (shape, [cols, with_bias, residual]) = (Shape::of(op), [0, 4, 5].map(|i| op.params[i] as usize));
        for at in 0..shape.positions() * cols {
            let (position, c) = (at / cols, at % cols);
            let product =
                |(row, tap): (usize, usize)| f64::from(w.f32()[c * TAPS + tap]) * f64::from(map.f32()[row * cols + c]);
            let mut sum: f64 = shape.taps(position).map(product).sum();
            if with_bias == 1 {
                sum += f64::from(bias.f32()[c]);
            }
            if residual == 1 {
                sum += f64::from(map.f32()[at]);
            }
            out.f32_mut()[at] = sum as f32;
        }
    },
    cost: Cost::negligible,
    operands: Operands::F32,
    // An f32 sum of up to 11 terms.
    tolerance: 1e-12,
};

/// Weights per channel: 3 × 3.
pub const TAPS: usize = 9;

/// Sides of the maps and the stride, as the twin and the fast version walk over them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    side: usize,
    out_side: usize,
    stride: usize,
}

impl Shape {
    /// Returns the shape in the parameters of an operation.
    pub fn of(op: &Op) -> Self {
        let [side, out_side, stride] = [1, 2, 3].map(|i| op.params[i] as usize);
        Self { side, out_side, stride }
    }

    /// Number of output positions.
    pub fn positions(self) -> usize {
        self.out_side * self.out_side
    }

    /// Lists the rows of the map under the filter at an output position, each with its index in the filter.
    pub fn taps(self, position: usize) -> impl Iterator<Item = (usize, usize)> {
        let (y, x) = (position / self.out_side * self.stride, position % self.out_side * self.stride);
        (0..TAPS).filter_map(move |tap| {
            let inside = |at: usize| at.checked_sub(1).filter(|at| *at < self.side);
            Some((inside(y + tap / 3)? * self.side + inside(x + tap % 3)?, tap))
        })
    }
}

/// The map that a depthwise convolution reads.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    /// `[side · side, cols]`.
    pub rows: Buf,
    /// Positions per row and column of the map.
    pub side: u32,
    /// Channels, a multiple of 4.
    pub cols: u32,
}

/// Returns the side of the output of a convolution with this stride: `⌈side / stride⌉`.
pub fn strided(side: u32, stride: u32) -> u32 {
    side.div_ceil(stride)
}

/// Appends `out [⌈side / stride⌉², cols]`, the convolution of `map` with `w [cols, 3, 3]`. `bias` is `[cols]`; where
/// `with_bias` is false, any buffer is bound there. `residual` adds the map, whose stride must then be 1.
///
/// # Panics
/// When a buffer is too small: shapes come from a checked config.
pub fn depthwise(
    pass: &mut Pass,
    map: Map,
    stride: u32,
    w: Buf,
    (bias, with_bias): (Buf, bool),
    residual: bool,
    out: Buf,
) {
    let Map { rows, side, cols } = map;
    let (out_side, channels) = (strided(side, stride), u64::from(cols));
    assert!(cols.is_multiple_of(4) && (stride == 1 || !residual), "depthwise");
    assert!(rows.words >= u64::from(side * side) * channels, "depthwise: map");
    assert!(out.words >= u64::from(out_side * out_side) * channels, "depthwise: out");
    assert!(w.words >= TAPS as u64 * channels && (!with_bias || bias.words >= channels), "depthwise: weights");
    let params = [cols, side, out_side, stride, with_bias.into(), residual.into(), 0, 0];
    pass.push(Op { kernel: &DEPTHWISE, consts: vec![], params, buffers: vec![rows, w, bias, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    fn case(side: u32, stride: u32, cols: u32, with_bias: bool, residual: bool) -> Case {
        let mut case = Case::new(format!("depthwise {side}/{stride} x {cols}, {with_bias}, {residual}"));
        let n = u64::from(cols);
        let (rows, w) = (case.random(u64::from(side * side) * n, 1.0), case.random(9 * n, 1.0));
        let bias = case.random(if with_bias { n } else { 1 }, 1.0);
        let out = case.output(u64::from(strided(side, stride)).pow(2) * n, None);
        depthwise(&mut case.pass, Map { rows, side, cols }, stride, w, (bias, with_bias), residual, out);
        case
    }

    #[test]
    fn shader_and_fast_version_equal_twin() {
        for (side, stride, cols) in [(1, 1, 4), (1, 2, 4), (2, 2, 8), (5, 1, 68), (5, 2, 68), (6, 2, 260), (24, 2, 128)]
        {
            for with_bias in [false, true] {
                for residual in [false, stride == 1] {
                    let case = case(side, stride, cols, with_bias, residual);
                    case.check(DEPTHWISE.tolerance, 1e-5);
                    case.check_cpu(DEPTHWISE.tolerance, 1e-5);
                }
            }
        }
    }

    /// PyTorch's `conv2d(map, w, stride=2, padding=1, groups=4)` of a 3 × 3 map that counts from 1, with the weights 1
    /// to 9: `[[94, 106], [106, 94]]`.
    #[test]
    fn the_twin_is_a_convolution_with_zeros_outside() {
        let mut case = Case::new("depthwise 3/2".into());
        let map: Vec<f32> = (1..=9).flat_map(|value| [value as f32; 4]).collect();
        let weights: Vec<f32> = (0..4).flat_map(|_| (1..=9).map(|tap| tap as f32)).collect();
        let (rows, w, bias) = (case.floats_of(&map), case.floats_of(&weights), case.random(1, 1.0));
        let out = case.output(16, None);
        depthwise(&mut case.pass, Map { rows, side: 3, cols: 4 }, 2, w, (bias, false), false, out);
        let channel: Vec<f32> = case.reference()[0].chunks(4).map(|row| row[3]).collect();
        assert_eq!(channel, [94.0, 106.0, 106.0, 94.0]);
    }
}
