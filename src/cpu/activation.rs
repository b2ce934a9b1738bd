//! The activations quick-GELU, GELU, GELU by tanh, ReLU and `silu(gate) · up`, in f32.
#![allow(unsafe_code)] // SIMD; see `simd`

use super::Workspace;
use super::simd::{Job, Simd, exp, load_part, store_part};
use super::thread_pool::Shared;
use crate::config::Activation;
use crate::kernels::row_count;
use crate::pass::{Call, Op, Words};

/// Values that belong to one part of an operation.
const BLOCK: usize = 64;
/// What `silu` of a value takes, in the time of a multiply-add.
const WORK_PER_VALUE: usize = 16;

/// `a = f(a)`.
///
/// # Safety
/// The machine has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn activate<S: Simd>(a: &mut [f32], kind: Activation) {
    let function = match kind {
        Activation::QuickGelu => Function::QuickGelu,
        Activation::Gelu => Function::Gelu,
        Activation::GeluTanh => Function::GeluTanh,
        Activation::Relu => Function::Relu,
    };
    unsafe { Elementwise { a, up: None, function }.run::<S>() };
}

/// `gate = silu(gate) · up`.
pub(super) fn silu_mul(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [up, gate] = buffers else { unreachable!("checked by Pass::push") };
    let count = row_count(op.params[1], call) as usize * op.params[0] as usize;
    let (gate, up, level) = (Shared::new(&mut gate.f32_mut()[..count]), &up.f32()[..count], workspace.level);
    workspace.ranges(count.div_ceil(BLOCK), BLOCK * WORK_PER_VALUE, &|blocks| {
        let up = &up[blocks.start * BLOCK..(blocks.end * BLOCK).min(count)];
        // SAFETY: slices of equal length; parts have disjoint blocks.
        unsafe {
            let a = std::slice::from_raw_parts_mut(gate.pointer().add(blocks.start * BLOCK), up.len());
            level.run(Elementwise { a, up: Some(up), function: Function::Silu });
        }
    });
}

#[derive(Debug, Clone, Copy)]
enum Function {
    QuickGelu,
    Gelu,
    GeluTanh,
    Relu,
    Silu,
}

struct Elementwise<'a> {
    a: &'a mut [f32],
    /// The factor of the result.
    up: Option<&'a [f32]>,
    function: Function,
}

impl Job for Elementwise<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (i, a) in self.a.chunks_mut(S::W).enumerate() {
            unsafe {
                let x = if a.len() == S::W { S::load(a.as_ptr()) } else { load_part::<S>(a) };
                let mut y = match self.function {
                    Function::Silu => S::mul(x, sigmoid::<S>(x)),
                    Function::QuickGelu => S::mul(x, sigmoid::<S>(S::mul(x, S::splat(1.702)))),
                    Function::Gelu => gelu::<S>(x),
                    Function::GeluTanh => gelu_tanh::<S>(x),
                    Function::Relu => S::max(x, S::splat(0.0)),
                };
                if let Some(up) = self.up {
                    let up = &up[i * S::W..][..a.len()];
                    y = S::mul(y, if up.len() == S::W { S::load(up.as_ptr()) } else { load_part::<S>(up) });
                }
                if a.len() == S::W { S::store(a.as_mut_ptr(), y) } else { store_part::<S>(a, y) }
            }
        }
    }
}

#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::splat(0.0), x))))
    }
}

/// `x/2 · (1 + tanh(u)) = x · sigmoid(2u)`, `u = √(2/π) (x + 0.044715 x³)`.
#[inline(always)]
unsafe fn gelu_tanh<S: Simd>(x: S::F) -> S::F {
    unsafe {
        let factor = S::mul_add(S::splat(0.071_354_82), S::mul(x, x), S::splat(1.595_769));
        S::mul(x, sigmoid::<S>(S::mul(x, factor)))
    }
}

/// `x/2 · (1 + erf(x/√2))`; erf to 1.5e-7 (Abramowitz and Stegun 7.1.26), of `|x|`, because it is odd.
#[inline(always)]
unsafe fn gelu<S: Simd>(x: S::F) -> S::F {
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let magnitude = S::max(x, S::sub(zero, x));
        let z = S::mul(magnitude, S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = S::div(one, S::mul_add(S::splat(0.327_591_1), z, one));
        let mut p = S::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
            p = S::mul_add(p, t, S::splat(c));
        }
        let tail = S::mul(S::mul(p, t), exp::<S>(S::sub(zero, S::mul(z, z))));
        // x/2 + |x|/2 · erf(|x|/√2)
        let half = S::splat(0.5);
        S::mul_add(S::mul(magnitude, half), S::sub(one, tail), S::mul(x, half))
    }
}
