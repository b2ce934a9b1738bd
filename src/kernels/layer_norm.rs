//! `out[t, i] = (x[t, i] − mean) / sqrt(variance + ε) · w[i] + b[i]`: LayerNorm (arXiv 1607.06450), which CLIP uses.

use super::{Rows, row_count};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// 1 or 64 invocations per row, as the pass's tuning says.
pub static LAYER_NORM: Kernel = Kernel {
    name: "layer_norm",
    wgsl: concat!(include_str!("layer_norm.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [row_count(p[1], call).div_ceil(64 / p[3]), 1, 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // Two f32 sums and one square root.
    tolerance: 1e-12,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [x, w, b, out] = buffers else { unreachable!("checked by Pass::push") };
    let (cols, eps) = (op.params[0] as usize, f64::from(f32::from_bits(op.params[2])));
    for t in 0..row_count(op.params[1], call) as usize {
        let x = &x.f32()[t * cols..][..cols];
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / cols as f64;
        let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / cols as f64;
        let inverse = 1.0 / (variance + eps).sqrt();
        let out = &mut out.f32_mut()[t * cols..][..cols];
        for i in 0..cols {
            let y = (f64::from(x[i]) - mean) * inverse * f64::from(w.f32()[i]) + f64::from(b.f32()[i]);
            let old = if op.params[4] == 1 { f64::from(out[i]) } else { 0.0 };
            out[i] = (old + y) as f32;
        }
    }
}

/// Appends `out [T, cols] = layer_norm(x [T, cols]) · w [cols] + b [cols]`.
///
/// # Panics
/// When a buffer is too small: shapes come from a checked config.
#[allow(clippy::too_many_arguments)] // the operands of the formula
pub fn layer_norm(pass: &mut Pass, m: Rows, x: Buf, w: Buf, b: Buf, out: Buf, cols: u32, eps: f32) {
    push(pass, m, x, w, b, out, cols, eps, false);
}

/// Appends `out [T, cols] += layer_norm(x [T, cols]) · w [cols] + b [cols]`.
///
/// # Panics
/// As [`layer_norm`].
#[allow(clippy::too_many_arguments)] // the operands of the formula
pub fn layer_norm_add(pass: &mut Pass, m: Rows, x: Buf, w: Buf, b: Buf, out: Buf, cols: u32, eps: f32) {
    push(pass, m, x, w, b, out, cols, eps, true);
}

#[allow(clippy::too_many_arguments)] // the operands of the formula
fn push(pass: &mut Pass, m: Rows, x: Buf, w: Buf, b: Buf, out: Buf, cols: u32, eps: f32, add: bool) {
    assert!([w, b, x, out].iter().all(|v| v.words >= u64::from(cols)), "layer_norm");
    let lanes = pass.tuning.norm_lanes;
    let params = [cols, m.param(), eps.to_bits(), lanes, add.into(), 0, 0, 0];
    pass.push(Op { kernel: &LAYER_NORM, consts: vec![("LANES", lanes)], params, buffers: vec![x, w, b, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::tuning::Tuning;

    #[test]
    fn shader_and_fast_version_equal_twin() {
        let sizes = [(1, 4), (3, 64), (5, 200), (577, 1024)];
        for ((t, cols), tuning) in
            sizes.into_iter().flat_map(|size| [Tuning::SOFTWARE, Tuning::HARDWARE].map(|t| (size, t)))
        {
            let mut case = Case::new(format!("layer_norm {t}x{cols}, {tuning:?}"));
            case.pass.tuning = tuning;
            let x = case.random(u64::from(t * cols), 3.0);
            let (w, b) = (case.random(u64::from(cols), 1.0), case.random(u64::from(cols), 1.0));
            let out = case.output(u64::from(t * cols), None);
            layer_norm(&mut case.pass, Rows::Fixed(t), x, w, b, out, cols, 1e-5);
            let sum = case.output(u64::from(t * cols), Some(2.0));
            layer_norm_add(&mut case.pass, Rows::Fixed(t), x, w, b, sum, cols, 1e-5);
            case.check(LAYER_NORM.tolerance, 1e-5);
            case.check_cpu(LAYER_NORM.tolerance, 1e-5);
        }
    }
}
