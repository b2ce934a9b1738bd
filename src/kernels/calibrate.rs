//! Kernels that measure the highest rates of an adapter: one only copies, the others only multiply and add.
//!
//! These rates and a kernel's [`Cost`] give the floor of its time.

use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// `out = x`; every invocation copies four words.
pub static COPY: Kernel = Kernel {
    name: "copy",
    wgsl: concat!(include_str!("copy.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64).max(1), 1, 1],
    reference: |op, _, buffers| {
        let [x, out] = buffers else { unreachable!("checked by Pass::push") };
        let words = op.params[0] as usize * 4;
        out.0[..words].copy_from_slice(&x.0[..words]);
    },
    cost: |op, _| Cost { bytes: 2 * 4 * 4 * u64::from(op.params[0]), flops: 0 },
    operands: Operands::F32,
    // A copy is exact.
    tolerance: 0.0,
};

/// Multiply-adds per invocation of [`FMA`] or [`FMA_F16`]: 8 chains of `vec4`.
pub const FMA_PER_INVOCATION: u64 = FMA_ROUNDS as u64 * 8 * 4;
const FMA_ROUNDS: u32 = 256;

/// `y ← y · a + b`, repeated in registers.
pub static FMA: Kernel = Kernel {
    name: "fma",
    wgsl: concat!(include_str!("fma.wgsl"), include_str!("shared/call.wgsl")),
    access: &[ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), 1, 1],
    reference: |op, _, buffers| chains(op, buffers, 0.968_75),
    cost: fma_cost,
    operands: Operands::F32,
    // Each step shrinks the rounding of the steps before it.
    tolerance: 1e-12,
};

/// The same in 16-bit floats. Needs [`Features::f16`](crate::gpu::Features::f16).
pub static FMA_F16: Kernel = Kernel {
    name: "fma_f16",
    wgsl: concat!(include_str!("fma_f16.wgsl"), include_str!("shared/call.wgsl")),
    access: &[ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), 1, 1],
    reference: |op, _, buffers| chains(op, buffers, 0.5),
    cost: fma_cost,
    operands: Operands::F16,
    // By halving, every chain ends exactly at a small whole number.
    tolerance: 0.0,
};

/// The same number of dot products of four bytes. Needs
/// [`Features::integer_dot`](crate::gpu::Features::integer_dot).
pub static DOT4: Kernel = Kernel {
    name: "dot4",
    wgsl: concat!(include_str!("dot4.wgsl"), include_str!("shared/call.wgsl")),
    access: &[ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), 1, 1],
    reference: |op, _, buffers| {
        let [out] = buffers else { unreachable!("checked by Pass::push") };
        let bytes = DOT4_BYTES.to_le_bytes().map(|byte| i32::from(byte as i8));
        let dot = |y: i32| y.to_le_bytes().into_iter().zip(bytes).map(|(a, b)| i32::from(a as i8) * b).sum();
        for (i, out) in out.0[..4 * op.params[0] as usize].iter_mut().enumerate() {
            let chain = |begin: usize| {
                (0..op.constant("ROUNDS")).fold((i / 4 % 64 + i % 4 + 4 * begin) as i32, |y, _| y.wrapping_add(dot(y)))
            };
            *out = (0..8).map(chain).fold(0, i32::wrapping_add) as u32;
        }
    },
    cost: |op, call| Cost { bytes: 0, flops: 4 * fma_cost(op, call).flops },
    operands: Operands::Int8,
    // Whole numbers.
    tolerance: 0.0,
};

/// The second operand of [`DOT4`].
const DOT4_BYTES: u32 = 0x7f03_fd81;

/// The multiply-adds of the chains, two operations each.
fn fma_cost(op: &Op, _: &Call) -> Cost {
    Cost { bytes: 0, flops: 2 * FMA_PER_INVOCATION * u64::from(op.params[0]) }
}

/// The twin of both: `y ← y · a + b`, with a `b` that makes `y` tend to 8 in lane 1, 16 in lane 2 and 24 in lane 3.
fn chains(op: &Op, buffers: &mut [Words], a: f64) {
    let [out] = buffers else { unreachable!("checked by Pass::push") };
    for i in 0..op.params[0] as usize {
        for lane in 0..4 {
            let b = (1.0 - a) * 8.0 * lane as f64;
            let chain = |begin: usize| (0..op.constant("ROUNDS")).fold((i % 64 + begin) as f64, |y, _| y * a + b);
            out.f32_mut()[4 * i + lane] = (0..8).map(chain).sum::<f64>() as f32;
        }
    }
}

/// Appends a copy of `4 · count` words from `x` to `out`.
///
/// # Panics
/// When a buffer is shorter, which no input can cause.
pub fn copy(pass: &mut Pass, x: Buf, out: Buf, count: u32) {
    assert!(x.words.min(out.words) >= u64::from(count) * 4, "copy");
    pass.push(Op { kernel: &COPY, consts: vec![], params: [count, 0, 0, 0, 0, 0, 0, 0], buffers: vec![x, out] });
}

/// Appends [`FMA_PER_INVOCATION`] multiply-adds ([`FMA`] or [`FMA_F16`]), or dot products ([`DOT4`]), by each of
/// `count` invocations into `out [count, 4]`.
///
/// # Panics
/// When the buffer is shorter, which no input can cause.
pub fn fma(pass: &mut Pass, kernel: &'static Kernel, out: Buf, count: u32) {
    assert!(out.words >= u64::from(count) * 4, "fma");
    let params = [count, 0, 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel, consts: vec![("ROUNDS", FMA_ROUNDS)], params, buffers: vec![out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{BackendChoice, Device};
    use crate::kernels::harness::{Case, gpu_or_skip};
    use pollster::block_on;

    #[test]
    fn shaders_equal_twins() {
        let mut case = Case::new("copy".into());
        let (x, out) = (case.random(4 * 70, 1.0), case.output(4 * 70, None));
        copy(&mut case.pass, x, out, 70);
        case.check(COPY.tolerance, 0.0);
        case.check_cpu(COPY.tolerance, 0.0);
        let mut case = Case::new("fma".into());
        let out = case.output(4 * 70, None);
        fma(&mut case.pass, &FMA, out, 70);
        case.check(FMA.tolerance, 1e-5);
        case.check_cpu(FMA.tolerance, 1e-5);
    }

    #[test]
    fn the_dot_products_equal_those_of_the_twin() {
        if !gpu_or_skip() {
            return;
        }
        if !block_on(Device::open(BackendChoice::Gpu)).unwrap().features().integer_dot {
            eprintln!("SKIPPED: this adapter has no dot products of bytes");
            return;
        }
        let mut case = Case::new("dot4".into());
        let out = case.output(4 * 70, None);
        fma(&mut case.pass, &DOT4, out, 70);
        case.check_words();
    }

    #[test]
    fn the_f16_shader_equals_the_twin() {
        if !gpu_or_skip() {
            return;
        }
        if !block_on(Device::open(BackendChoice::Gpu)).unwrap().features().f16 {
            eprintln!("SKIPPED: this adapter has no 16-bit floats");
            return;
        }
        let mut case = Case::new("fma_f16".into());
        let out = case.output(4 * 70, None);
        fma(&mut case.pass, &FMA_F16, out, 70);
        case.check(FMA_F16.tolerance, 0.0);
    }
}
