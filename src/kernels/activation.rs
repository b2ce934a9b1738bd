//! Pointwise activations: quick-GELU (CLIP), GELU by tanh (SigLIP), exact GELU (the connector) and ReLU
//! (squeeze-and-excitation) in the epilogue of a product, SiLU·mul (the decoder's gate) as a kernel.

use super::{Rows, row_count};
use crate::config::Activation;
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// `gate = silu(gate) · up`, in place.
pub static SILU_MUL: Kernel = Kernel {
    name: "silu_mul",
    wgsl: concat!(include_str!("silu_mul.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [p[0].div_ceil(64), row_count(p[1], call), 1],
    cost: Cost::negligible,
    operands: Operands::F32,
    // f32 products and one exp of 3 ULP.
    tolerance: 1e-11,
    reference: |op, call: &Call, buffers: &mut [Words]| {
        let [up, gate] = buffers else { unreachable!("checked by Pass::push") };
        let count = row_count(op.params[1], call) as usize * op.params[0] as usize;
        for (g, u) in gate.f32_mut()[..count].iter_mut().zip(up.f32()) {
            *g = (silu(f64::from(*g)) * f64::from(*u)) as f32;
        }
    },
};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x / (1 + e^−x)`
pub(crate) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// Applies an activation to `x`.
pub(super) fn activated(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::QuickGelu => quick_gelu(x),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => x.max(0.0),
    }
}

/// Returns the code of an activation in the parameters of a product.
pub(super) fn activation_code(kind: Option<Activation>) -> u32 {
    match kind {
        None => 0,
        Some(Activation::QuickGelu) => 1,
        Some(Activation::Gelu) => 2,
        Some(Activation::GeluTanh) => 3,
        Some(Activation::Relu) => 4,
    }
}

/// Returns the activation with this code.
pub(crate) fn activation_of_code(code: u32) -> Option<Activation> {
    let all = [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh, Activation::Relu];
    all.into_iter().find(|kind| activation_code(Some(*kind)) == code)
}

fn quick_gelu(x: f64) -> f64 {
    x * sigmoid(1.702 * x)
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`
///
/// # Source
/// Hendrycks and Gimpel, arXiv 1606.08415, section 2; `gelu_pytorch_tanh` of transformers.
fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// Returns erf to about 1e-15: its Taylor series near zero, the continued fraction of erfc elsewhere.
///
/// # Source
/// Abramowitz and Stegun 7.1.5, 7.1.14.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > 1e-17 * sum {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        return x.signum() * sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let tail = (1..=60).rev().fold(a, |t, k| a + f64::from(k) / 2.0 / t);
    x.signum() * (1.0 - (-a * a).exp() / tail / std::f64::consts::PI.sqrt())
}

/// Appends `gate [T, cols] = silu(gate) · up [T, cols]`.
pub fn silu_mul(pass: &mut Pass, m: Rows, gate: Buf, up: Buf, cols: u32) {
    assert!(gate.words >= u64::from(cols) && up.words >= u64::from(cols), "silu_mul");
    let params = [cols, m.param(), 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &SILU_MUL, consts: vec![], params, buffers: vec![up, gate] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn erf_has_the_tabulated_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, y) in
            [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0), (3.0, 0.999_977_909_5)]
        {
            assert!((erf(x) - y).abs() < 1e-10 && (erf(-x) + y).abs() < 1e-10, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn shader_and_fast_version_equal_twin() {
        for (t, cols) in [(1, 4), (3, 100), (37, 1408)] {
            let n = u64::from(t * cols);
            let mut case = Case::new(format!("silu_mul {t}x{cols}"));
            let up = case.random(n, 2.0);
            let gate = case.output(n, Some(4.0));
            silu_mul(&mut case.pass, Rows::Fixed(t), gate, up, cols);
            case.check(SILU_MUL.tolerance, 1e-5);
            case.check_cpu(SILU_MUL.tolerance, 1e-5);
        }
    }
}
