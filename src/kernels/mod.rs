//! Kernels: WGSL shaders, each with a CPU twin that defines what the shader computes.
//!
//! Each `NAME.rs` holds, in this order: the formula, the [`Kernel`](crate::pass::Kernel) with its twin, the launcher
//! that checks shapes and appends an [`Op`](crate::pass::Op), and tests that compare the shader with the twin. How to
//! add one is said at [`Kernel`](crate::pass::Kernel). Kernels know no executor: the CPU's fast versions are in `cpu/`.

pub mod activation;
pub mod attention;
pub mod attention_step;
pub mod attention_weights;
pub(crate) mod cache;
pub mod calibrate;
pub mod depthwise;
pub mod embed_rows;
pub mod excite;
#[cfg(test)]
pub(crate) mod harness;
pub mod layer_norm;
pub mod matmul;
pub mod matmul_tiled;
pub mod matvec;
pub mod mean_pool;
pub mod patches;
pub mod pixel_shuffle;
pub mod process_logits;
pub mod rms_norm;
pub mod rope;
pub mod sample;
pub mod select_rows;
pub mod vision_embed;
mod weight;

pub use cache::{CacheType, Kv};
pub use weight::Weight;
pub(crate) use weight::stored_tile;

use crate::pass::Call;

/// The number of rows that an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The same number in every call.
    Fixed(u32),
    /// `call.rows`.
    Call,
}

impl Rows {
    /// Encodes the number of rows as a parameter: 0 stands for `call.rows`. [`row_count`] decodes it.
    pub(crate) fn param(self) -> u32 {
        match self {
            Rows::Fixed(n) => n,
            Rows::Call => 0,
        }
    }
}

/// Returns the number of rows that [`Rows::param`] encodes.
pub(crate) fn row_count(param: u32, call: &Call) -> u32 {
    if param == 0 { call.rows } else { param }
}
