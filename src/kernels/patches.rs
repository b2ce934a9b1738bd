//! `out[p, (c, y, x)] = pixel_values[c, P_y·size + y, P_x·size + x]`: the convolution of the patch embedding as a
//! matrix product.
//!
//! Rows are padded with zeros to a multiple of 32, like the stored weight, so that every weight type fits. Pixels
//! right of and below the last whole patch are not read, as in a convolution without padding.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass};
use crate::tuning::Operands;

/// One invocation per element of `out`.
pub static PATCHES: Kernel = Kernel {
    name: "patches",
    wgsl: concat!(include_str!("patches.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[2].div_ceil(64), (p[0] / p[1]) * (p[0] / p[1]), 1],
    cost: Cost::negligible,
    operands: Operands::F32,
    // A copy is exact.
    tolerance: 0.0,
    reference: |op, _, buffers| {
        let [pixels, out] = buffers else { unreachable!("checked by Pass::push") };
        let [side, size, cols] = [0, 1, 2].map(|i| op.params[i] as usize);
        let per_side = side / size;
        for patch in 0..per_side * per_side {
            for col in 0..cols {
                let (c, y, x) = (col / (size * size), col / size % size, col % size);
                let (y, x) = (patch / per_side * size + y, patch % per_side * size + x);
                let value = if c < 3 { pixels.f32()[(c * side + y) * side + x] } else { 0.0 };
                out.f32_mut()[patch * cols + col] = value;
            }
        }
    },
};

/// Appends `out [P, cols]` from `pixels [3, side, side]`, in patches of `size` × `size`.
pub fn patches(pass: &mut Pass, pixels: Buf, out: Buf, side: u32, size: u32, cols: u32) {
    let count = (side / size) * (side / size);
    assert!(cols >= 3 * size * size && out.words >= u64::from(count * cols), "patches: out");
    assert!(pixels.words >= u64::from(3 * side * side), "patches: pixels");
    let params = [side, size, cols, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &PATCHES, consts: vec![], params, buffers: vec![pixels, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_equals_twin() {
        for (side, size, cols) in [(28, 14, 608), (12, 4, 64), (6, 6, 108), (31, 8, 192), (384, 14, 608)] {
            let mut case = Case::new(format!("patches {side}/{size}"));
            let pixels = case.random(u64::from(3 * side * side), 1.0);
            let out = case.output(u64::from((side / size) * (side / size) * cols), None);
            patches(&mut case.pass, pixels, out, side, size, cols);
            case.check(PATCHES.tolerance, 0.0);
        }
    }

    /// Of 5 · 5 pixels, four patches of 2 · 2 are cut; the fifth row and column belong to none.
    #[test]
    fn rows_step_by_the_width_of_the_image() {
        let mut case = Case::new("patches of counted pixels".into());
        let pixels: Vec<f32> = (0u8..75).map(f32::from).collect();
        let (pixels, out) = (case.floats_of(&pixels), case.output(4 * 12, None));
        patches(&mut case.pass, pixels, out, 5, 2, 12);
        let first = |corner: u8| [0, 25, 50].map(|c| [0, 1, 5, 6].map(|at| f32::from(corner + c + at)));
        let wanted: Vec<f32> = [0, 2, 10, 12].into_iter().flat_map(|p| first(p).concat()).collect();
        assert_eq!(case.reference()[0], wanted);
    }
}
