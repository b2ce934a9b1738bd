//! Attention of one row over the cache: the decoding step. A workgroup per head.
//!
//! The launcher is [`attention`](crate::kernels::attention::attention), the twin that file's.

use super::attention::{P_HEADS, reference};
use crate::pass::{Access::*, Kernel};

/// A workgroup per head: 64 keys at a time, then each invocation gathers its share of the output.
pub static ATTENTION_STEP: Kernel = Kernel {
    name: "attention_step",
    wgsl: include_str!("attention_step.wgsl"),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[P_HEADS], 1, 1],
    reference,
    fast: Some(crate::cpu::attention::attention),
};
