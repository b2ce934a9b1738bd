//! Which of several ways to compute the same suits a device: kernel choice as data.
//!
//! Every way is tested against the same twin; [`measure::tune`](crate::measure::tune) picks by measuring.

use super::matmul_tiled::{Operands, Tile};
use serde::{Deserialize, Serialize};

/// Shapes of workgroups and choices of kernels, as a pass is recorded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Column quads of a mat-vec's workgroup.
    pub lanes: u32,
    /// Invocations that share a column quad of a mat-vec; more than one costs a barrier.
    pub split: u32,
    /// Whether a step's mat-vecs normalise their input themselves: a dispatch less for a second read of every row.
    pub fuse_norm: bool,
    /// Parts that a step cuts the cached keys of a head into.
    pub key_splits: u32,
    /// Invocations that share a row of a norm: 1, or 64 with a barrier.
    pub norm_lanes: u32,
    /// Invocations that choose a token together.
    pub sample_lanes: u32,
    /// What a workgroup computes of a product of many rows, by way of workgroup memory; none where every invocation
    /// is to go alone, without a barrier.
    pub tile: Option<Tile>,
    /// Rows of a prompt that one pass reads.
    pub chunk: u32,
    /// Whether 64 rows of attention share keys and values by way of workgroup memory.
    pub share_keys: bool,
}

impl Tuning {
    /// Rows that one pass reads where nothing was measured: enough for every kernel's tiles, and an interruption soon.
    pub const CHUNK: u32 = 256;
    /// Few invocations with much work each and no barrier: for adapters that are a CPU, where a barrier costs more
    /// than what it saves.
    pub const SOFTWARE: Self = Self {
        lanes: 16,
        split: 1,
        fuse_norm: false,
        key_splits: 4,
        norm_lanes: 1,
        sample_lanes: 64,
        tile: None,
        chunk: Self::CHUNK,
        share_keys: false,
    };
    /// Many invocations, so that thousands of loads are under way; barriers are nearly free.
    pub const HARDWARE: Self = Self {
        lanes: 8,
        split: 16,
        fuse_norm: true,
        key_splits: 64,
        norm_lanes: 64,
        sample_lanes: 256,
        tile: Some(Tile { rows: 64, cols: 64, operands: Operands::F32 }),
        chunk: Self::CHUNK,
        share_keys: true,
    };
}

impl Default for Tuning {
    /// What is safe everywhere.
    fn default() -> Self {
        Self::SOFTWARE
    }
}
