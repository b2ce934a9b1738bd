//! The fast versions of [`kernels::calibrate`](crate::kernels::calibrate): the highest rates of the cores. Products of
//! bytes, of which most mat-muls here consist, may be faster than the f32 rate.
#![allow(unsafe_code)] // as in `simd`

use super::Workspace;
use super::simd::{Job, MAX_LANES, Simd, store_part};
use super::thread_pool::Shared;
use crate::pass::{Call, Op, Words};

/// Floats per part of an operation.
const FLOATS_PER_PART: usize = 1 << 14;

/// `out = x`
pub(super) fn copy(op: &Op, _: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [x, out] = buffers else { unreachable!("checked by Pass::push") };
    let words = op.params[0] as usize * 4;
    let (x, out) = (&x.f32()[..words], Shared::new(&mut out.f32_mut()[..words]));
    workspace.pool.run(words.div_ceil(FLOATS_PER_PART), &|part| {
        let from = &x[part * FLOATS_PER_PART..words.min((part + 1) * FLOATS_PER_PART)];
        // SAFETY: parts are disjoint ranges of `out`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), out.pointer().add(part * FLOATS_PER_PART), from.len()) };
    });
}

/// `y ← y · a + b`, repeated in registers.
pub(super) fn fma(op: &Op, _: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [out] = buffers else { unreachable!("checked by Pass::push") };
    let (floats, rounds, level) = (op.params[0] as usize * 4, op.constant("ROUNDS"), workspace.level);
    let out = Shared::new(&mut out.f32_mut()[..floats]);
    workspace.pool.run(floats.div_ceil(FLOATS_PER_PART), &|part| {
        let first = part * FLOATS_PER_PART;
        // SAFETY: parts are disjoint ranges of `out`.
        let out =
            unsafe { std::slice::from_raw_parts_mut(out.pointer().add(first), FLOATS_PER_PART.min(floats - first)) };
        unsafe { level.run(Fma { first, rounds, out }) };
    });
}

struct Fma<'a> {
    first: usize,
    rounds: u32,
    out: &'a mut [f32],
}

impl Job for Fma<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (index, out) in self.out.chunks_mut(S::W).enumerate() {
            let (mut begin, mut add) = ([0f32; MAX_LANES], [0f32; MAX_LANES]);
            for lane in 0..S::W {
                let at = self.first + index * S::W + lane;
                (begin[lane], add[lane]) = ((at / 4 % 64) as f32, 0.25 * (at % 4) as f32);
            }
            // Eight chains keep two multipliers with a latency of four busy.
            unsafe {
                let (a, b, y) = (S::splat(0.968_75), S::load(add.as_ptr()), S::load(begin.as_ptr()));
                let mut chains = [y; 8];
                for (chain, y) in chains.iter_mut().enumerate() {
                    *y = S::add(*y, S::splat(chain as f32));
                }
                for _ in 0..self.rounds {
                    for y in &mut chains {
                        *y = S::mul_add(*y, a, b);
                    }
                }
                let mut sum = chains[0];
                for y in &chains[1..] {
                    sum = S::add(sum, *y);
                }
                store_part::<S>(out, sum);
            }
        }
    }
}
