//! Every kernel twice: a WGSL shader and its CPU twin, which defines what the shader computes.
//!
//! Each `x.rs` holds, in this order: what is computed, the [`Kernel`](crate::pass::Kernel) with its twin, the
//! launcher that checks shapes and appends an [`Op`](crate::pass::Op), and tests that run the shader against
//! the twin. Binding 0 is `Params`, binding 1 is [`Call`], storage starts at 2.

pub mod activation;
pub mod attention;
pub mod attention_step;
pub mod attention_tiled;
mod cache;
pub mod calibrate;
pub mod cost;
pub mod embed_rows;
#[cfg(test)]
pub(crate) mod harness;
pub mod layer_norm;
pub mod matmul;
pub mod matmul_tiled;
pub mod matvec;
pub mod patches;
pub mod rms_norm;
pub mod rope;
pub mod sample;
pub mod select_rows;
mod tuning;
pub mod vision_embed;
mod weight;

pub use cache::{CacheType, Kv};
pub use tuning::Tuning;
pub use weight::Weight;

use crate::pass::Call;

/// How many rows an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The same in every call.
    Fixed(u32),
    /// `call.rows`.
    Call,
}

impl Rows {
    /// The parameter word: 0 stands for `call.rows`.
    pub(crate) fn word(self) -> u32 {
        match self {
            Rows::Fixed(n) => n,
            Rows::Call => 0,
        }
    }
}

/// The number of rows behind a parameter word.
pub(crate) fn rows(word: u32, call: &Call) -> u32 {
    if word == 0 { call.rows } else { word }
}
