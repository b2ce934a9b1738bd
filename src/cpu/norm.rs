//! `out[t, i] = x[t, i] / sqrt(mean_i(x[t]²) + ε) · w[i]`, in f32.

use super::Tools;
use crate::kernels::rows;
use crate::pass::{Call, Op, Words};

/// RMSNorm. The sum of squares runs in eight interleaved lanes, which the compiler turns into vectors.
pub(crate) fn rms_norm(op: &Op, call: &Call, buffers: &mut [Words], _: &mut Tools) {
    let [x, w, out] = buffers else { unreachable!("checked by Pass::push") };
    let (cols, eps) = (op.params[0] as usize, f32::from_bits(op.params[2]));
    let count = rows(op.params[1], call) as usize * cols;
    let w = &w.f32()[..cols];
    for (x, out) in x.f32()[..count].chunks_exact(cols).zip(out.f32_mut().chunks_exact_mut(cols)) {
        let inverse = 1.0 / (sum_of_squares(x) / cols as f32 + eps).sqrt();
        for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
            *out = x * inverse * w;
        }
    }
}

fn sum_of_squares(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let chunks = x.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
