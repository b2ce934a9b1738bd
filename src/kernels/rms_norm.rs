//! `out[t, i] = x[t, i] / sqrt(mean_i(x[t]²) + ε) · w[i]`: RMSNorm (arXiv 1910.07467), which LLaMA uses.

use super::{Rows, row_count};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// 1 or 64 invocations per row, as the pass's tuning says.
pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    wgsl: concat!(include_str!("rms_norm.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [row_count(p[1], call).div_ceil(64 / p[3]), 1, 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // One f32 sum of squares and one inverse square root of 2 ULP.
    tolerance: 1e-12,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [x, w, out] = buffers else { unreachable!("checked by Pass::push") };
    let (cols, eps) = (op.params[0] as usize, f64::from(f32::from_bits(op.params[2])));
    for t in 0..row_count(op.params[1], call) as usize {
        let x = &x.f32()[t * cols..][..cols];
        let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / cols as f64;
        let inverse = 1.0 / (mean + eps).sqrt();
        let out = &mut out.f32_mut()[t * cols..][..cols];
        for i in 0..cols {
            out[i] = (f64::from(x[i]) * inverse * f64::from(w.f32()[i])) as f32;
        }
    }
}

/// Appends `out [T, cols] = rms_norm(x [T, cols]) · w [cols]`.
///
/// # Panics
/// When a buffer is too small: shapes come from a checked config.
pub fn rms_norm(pass: &mut Pass, m: Rows, x: Buf, w: Buf, out: Buf, cols: u32, eps: f32) {
    assert!(w.words >= u64::from(cols) && x.words >= u64::from(cols) && out.words >= u64::from(cols), "rms_norm");
    let lanes = pass.tuning.norm_lanes;
    let params = [cols, m.param(), eps.to_bits(), lanes, 0, 0, 0, 0];
    pass.push(Op { kernel: &RMS_NORM, consts: vec![("LANES", lanes)], params, buffers: vec![x, w, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::tuning::Tuning;

    #[test]
    fn shader_and_fast_version_equal_twin() {
        let sizes = [(1, 4), (3, 64), (5, 200), (65, 4096)];
        for ((t, cols), tuning) in
            sizes.into_iter().flat_map(|size| [Tuning::SOFTWARE, Tuning::HARDWARE].map(|t| (size, t)))
        {
            let mut case = Case::new(format!("rms_norm {t}x{cols}, {tuning:?}"));
            case.pass.tuning = tuning;
            let (x, w) = (case.random(u64::from(t * cols), 3.0), case.random(u64::from(cols), 1.0));
            let out = case.output(u64::from(t * cols), None);
            rms_norm(&mut case.pass, Rows::Fixed(t), x, w, out, cols, 1e-5);
            case.check(RMS_NORM.tolerance, 1e-5);
            case.check_cpu(RMS_NORM.tolerance, 1e-5);
        }
    }
}
