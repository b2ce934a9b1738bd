//! [`attention`](super::attention) of many rows for GPUs: 64 rows of a head share keys and values in workgroup memory.
//!
//! [`attention`](super::attention::attention()) takes this kernel where the pass's [`Tuning`](super::Tuning) says so.

use super::attention::{P_HEADS, P_ROWS, reference};
use super::rows;
use crate::pass::{Access::*, Kernel};

/// Rows of a workgroup.
const ROWS: u32 = 64;

/// An invocation computes 4 × 4 of every product of tiles.
pub static ATTENTION_TILED: Kernel = Kernel {
    name: "attention_tiled",
    wgsl: concat!(
        include_str!("attention_tiled.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/cache.wgsl")
    ),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [128, 1, 1],
    grid: |p, call| [rows(p[P_ROWS], call).div_ceil(ROWS), p[P_HEADS], 1],
    reference,
    fast: None,
};
