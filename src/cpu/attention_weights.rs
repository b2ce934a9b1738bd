//! Attention weights of one row, in f32: the softmaxes of each layer as a mean over its heads.
#![allow(unsafe_code)] // SIMD; see `simd`

use super::Workspace;
use super::simd::{Job, MAX_LANES, Simd, exp, load_part};
use crate::kernels::attention_weights::{P_HEADS, P_LAYERS, P_STRIDE};
use crate::pass::{Call, Op, Words};

/// Weights of all layers; see [`ATTENTION_WEIGHTS`](crate::kernels::attention_weights::ATTENTION_WEIGHTS).
pub(super) fn weights(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [kept, out] = buffers else { unreachable!("checked by Pass::push") };
    let [layers, heads, stride] = [P_LAYERS, P_HEADS, P_STRIDE].map(|i| op.params[i] as usize);
    let (seen, level) = (call.pos as usize + 1, workspace.level);
    assert!(seen + 2 <= stride, "attention weights");
    for layer in 0..layers {
        let kept = &kept.f32()[layer * heads * stride..][..heads * stride];
        let out = &mut out.f32_mut()[..seen * layers];
        // SAFETY: the level is one of this machine, and the slices are as long as the sizes say.
        unsafe { level.run(Means { kept, stride, seen, out, layer, layers }) };
    }
}

/// The mean of a layer's softmaxes.
struct Means<'a> {
    /// `[N, stride]`.
    kept: &'a [f32],
    stride: usize,
    seen: usize,
    out: &'a mut [f32],
    layer: usize,
    layers: usize,
}

impl Job for Means<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let share = self.stride as f32 / self.kept.len() as f32;
        let mut s = 0;
        while s < self.seen {
            let count = S::W.min(self.seen - s);
            let mut lanes = [0f32; MAX_LANES];
            unsafe {
                let mut sum = S::splat(0.0);
                for row in self.kept.chunks_exact(self.stride) {
                    let scores = &row[s..][..count];
                    let scores = if count == S::W { S::load(scores.as_ptr()) } else { load_part::<S>(scores) };
                    let power = exp::<S>(S::sub(scores, S::splat(row[self.stride - 2])));
                    sum = S::mul_add(power, S::splat(row[self.stride - 1]), sum);
                }
                S::store(lanes.as_mut_ptr(), sum);
            }
            for (i, lane) in lanes[..count].iter().enumerate() {
                self.out[(s + i) * self.layers + self.layer] = lane * share;
            }
            s += count;
        }
    }
}
