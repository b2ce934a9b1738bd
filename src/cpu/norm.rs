//! RMSNorm and LayerNorm, row by row, in f32. Sums run in eight lanes, which the compiler vectorises.

use super::Workspace;
use crate::kernels::row_count;
use crate::pass::{Call, Op, Words};

/// What a value of a norm takes, in the time of a multiply-add.
const WORK_PER_VALUE: usize = 8;

/// `out[t, i] = x[t, i] / sqrt(mean_i(x[t]²) + ε) · w[i]`
pub(super) fn rms_norm(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [x, w, out] = buffers else { unreachable!("checked by Pass::push") };
    let (cols, eps) = (op.params[0] as usize, f32::from_bits(op.params[2]));
    let count = row_count(op.params[1], call) as usize * cols;
    let w = &w.f32()[..cols];
    let x = &x.f32()[..count];
    workspace.each_row(&mut out.f32_mut()[..count], cols, WORK_PER_VALUE, &|row, out| {
        let x = &x[row * cols..][..cols];
        let inverse = 1.0 / (sum(x, |x| x * x) / cols as f32 + eps).sqrt();
        for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
            *out = x * inverse * w;
        }
    });
}

/// `out[t, i] = (x[t, i] − mean) / sqrt(variance + ε) · w[i] + b[i]`, added to the old value or not.
pub(super) fn layer_norm(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [x, w, b, out] = buffers else { unreachable!("checked by Pass::push") };
    let (cols, eps) = (op.params[0] as usize, f32::from_bits(op.params[2]));
    let count = row_count(op.params[1], call) as usize * cols;
    let (w, b) = (&w.f32()[..cols], &b.f32()[..cols]);
    let x = &x.f32()[..count];
    workspace.each_row(&mut out.f32_mut()[..count], cols, WORK_PER_VALUE, &|row, out| {
        let x = &x[row * cols..][..cols];
        let mean = sum(x, |x| x) / cols as f32;
        let inverse = 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / cols as f32 + eps).sqrt();
        if op.params[4] == 0 {
            out.fill(0.0);
        }
        for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
            *out += (x - mean) * inverse * w + b;
        }
    });
}

fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; 8];
    let chunks = x.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|x| of(*x)).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += of(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}
