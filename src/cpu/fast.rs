//! The table of fast versions: kernels that the CPU runs without their twin.

use super::{Workspace, activation, attention, attention_weights, calibrate, map, norm, rope};
use crate::kernels::activation::SILU_MUL;
use crate::kernels::attention::{ATTENTION, ATTENTION_KEPT};
use crate::kernels::attention_weights::ATTENTION_WEIGHTS;
use crate::kernels::calibrate::{COPY, FMA};
use crate::kernels::depthwise::DEPTHWISE;
use crate::kernels::excite::EXCITE;
use crate::kernels::layer_norm::LAYER_NORM;
use crate::kernels::mean_pool::MEAN_POOL;
use crate::kernels::rms_norm::RMS_NORM;
use crate::kernels::rope::ROPE;
use crate::pass::{Call, Kernel, Op, Words};

/// A fast version of a kernel. It takes the twin's arguments and the executor's [`Workspace`].
pub(super) type Fast = fn(&Op, &Call, &mut [Words], &mut Workspace);

/// Kernels and their fast versions. The twin runs every other kernel, but for mat-muls ([`products`](super::products)).
static FAST: [(&Kernel, Fast); 12] = [
    (&ATTENTION, attention::attention),
    (&ATTENTION_KEPT, attention::attention),
    (&ATTENTION_WEIGHTS, attention_weights::weights),
    (&RMS_NORM, norm::rms_norm),
    (&LAYER_NORM, norm::layer_norm),
    (&ROPE, rope::rope),
    (&SILU_MUL, activation::silu_mul),
    (&DEPTHWISE, map::depthwise),
    (&MEAN_POOL, map::mean_pool),
    (&EXCITE, map::excite),
    (&COPY, calibrate::copy),
    (&FMA, calibrate::fma),
];

/// Returns the fast version of a kernel; `None` where only the twin exists.
pub(super) fn fast_version(kernel: &'static Kernel) -> Option<Fast> {
    FAST.iter().find(|(known, _)| std::ptr::eq(*known, kernel)).map(|(_, fast)| *fast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::sample::SAMPLE;

    /// The kernels that a model on the CPU spends its time in, and those that its rates are measured with.
    #[test]
    fn kernels_that_take_time_have_a_fast_version() {
        for kernel in
            [&ATTENTION, &RMS_NORM, &LAYER_NORM, &ROPE, &SILU_MUL, &DEPTHWISE, &MEAN_POOL, &EXCITE, &COPY, &FMA]
        {
            assert!(fast_version(kernel).is_some(), "{}: missing in the table", kernel.name);
        }
        assert!(fast_version(&SAMPLE).is_none());
    }
}
