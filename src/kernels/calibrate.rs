//! What an adapter can do at most: kernels that only copy, and that only multiply and add.
//!
//! Every other kernel's time is judged by these two rates ([`cost`](super::cost)).

use crate::cpu::calibrate;
use crate::pass::{Access::*, Buf, Kernel, Op, Pass};

/// `out = x`, four words per invocation.
pub static COPY: Kernel = Kernel {
    name: "copy",
    wgsl: include_str!("copy.wgsl"),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64).max(1), 1, 1],
    reference: |op, _, buffers| {
        let [x, out] = buffers else { unreachable!("checked by Pass::push") };
        let words = op.params[0] as usize * 4;
        out.0[..words].copy_from_slice(&x.0[..words]);
    },
    fast: Some(calibrate::copy),
};

/// Multiply-adds of one invocation of [`FMA`]: 8 chains of `vec4`.
pub const FMA_PER_INVOCATION: u64 = FMA_ROUNDS as u64 * 8 * 4;
const FMA_ROUNDS: u32 = 256;

/// `y ← y · a + b`, again and again in registers.
pub static FMA: Kernel = Kernel {
    name: "fma",
    wgsl: include_str!("fma.wgsl"),
    access: &[ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), 1, 1],
    reference: |op, _, buffers| {
        let [out] = buffers else { unreachable!("checked by Pass::push") };
        for i in 0..op.params[0] as usize {
            let mut sum = [0f64; 4];
            for chain in 0..8 {
                for (lane, sum) in sum.iter_mut().enumerate() {
                    let mut y = (i % 64 + chain) as f64;
                    (0..op.constant("ROUNDS")).for_each(|_| y = y * 0.96875 + 0.25 * lane as f64);
                    *sum += y;
                }
            }
            for (lane, sum) in sum.iter().enumerate() {
                out.f32_mut()[4 * i + lane] = *sum as f32;
            }
        }
    },
    fast: Some(calibrate::fma),
};

/// Appends a copy of `4 · count` words.
///
/// # Panics
/// When a buffer is shorter, which no input can cause.
pub fn copy(pass: &mut Pass, x: Buf, out: Buf, count: u32) {
    assert!(x.words.min(out.words) >= u64::from(count) * 4, "copy");
    pass.push(Op { kernel: &COPY, consts: vec![], params: [count, 0, 0, 0, 0, 0, 0, 0], buffers: vec![x, out] });
}

/// Appends [`FMA_PER_INVOCATION`] multiply-adds by each of `count` invocations into `out [count, 4]`.
///
/// # Panics
/// When the buffer is shorter, which no input can cause.
pub fn fma(pass: &mut Pass, out: Buf, count: u32) {
    assert!(out.words >= u64::from(count) * 4, "fma");
    let params = [count, 0, 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &FMA, consts: vec![("ROUNDS", FMA_ROUNDS)], params, buffers: vec![out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shaders_equal_twins() {
        let mut case = Case::new("copy".into());
        let (x, out) = (case.random(4 * 70, 1.0), case.output(4 * 70, None));
        copy(&mut case.pass, x, out, 70);
        case.check(0.0, 0.0);
        case.check_cpu(0.0, 0.0);
        let mut case = Case::new("fma".into());
        let out = case.output(4 * 70, None);
        fma(&mut case.pass, out, 70);
        // Every step's rounding shrinks with the steps after it.
        case.check(1e-12, 1e-5);
        case.check_cpu(1e-12, 1e-5);
    }
}
