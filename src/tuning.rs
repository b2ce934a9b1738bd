//! The choices between several ways to compute the same, as plain data that a pass is recorded with.
//!
//! Every way is tested against the same twin; [`measure::tune`](crate::measure::tune) chooses one by measuring.

use serde::{Deserialize, Serialize};

/// Workgroup shapes and kernel choices that a pass is recorded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Column quads per workgroup of a mat-vec.
    pub lanes: u32,
    /// Invocations that share a column quad of a mat-vec; more than one costs a barrier.
    pub split: u32,
    /// The number type in which a mat-vec multiplies where the weights are integers: f32 or bytes.
    pub row_operands: Operands,
    /// Whether the mat-vecs of a decoding step normalise their input themselves: one dispatch less, but every row is
    /// read twice.
    pub fuse_norm: bool,
    /// Parts into which a decoding step splits the cached keys of a head.
    pub key_splits: u32,
    /// Invocations that share a row of a norm: 1, or 64 with a barrier.
    pub norm_lanes: u32,
    /// Invocations that sample a token together.
    pub sample_lanes: u32,
    /// The tile that a workgroup computes of a product of many rows with a matrix of integers, with its operands in
    /// workgroup memory. `None` where every invocation works alone, without a barrier.
    pub tile: Option<WorkgroupTile>,
    /// The same for a matrix of floats, such as those of a vision tower. `None` where [`tile`](Self::tile) is.
    pub float_tile: Option<WorkgroupTile>,
    /// Rows of a prompt per pass.
    pub chunk: u32,
    /// Whether 64 rows of attention share keys and values in workgroup memory, and 64 invocations a decoding step's.
    pub share_keys: bool,
}

/// The tile of a product that one workgroup computes, and the number type in which it multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkgroupTile {
    /// Rows, a multiple of 8.
    pub rows: u32,
    /// Columns, a multiple of 8.
    pub cols: u32,
    /// The number type of the operands.
    pub operands: Operands,
    /// Whether a turn of the loop over `k` multiplies four of them, in f32: fewer instructions, more registers.
    pub unrolled: bool,
}

impl WorkgroupTile {
    /// Returns a tile whose loop multiplies one `k` per turn.
    pub const fn new(rows: u32, cols: u32, operands: Operands) -> Self {
        Self { rows, cols, operands, unrolled: false }
    }

    /// Returns this tile with a loop that multiplies four `k` per turn.
    pub const fn unrolled(self) -> Self {
        Self { unrolled: true, ..self }
    }
}

/// The number type in which a kernel multiplies. Products are summed in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operands {
    /// 32-bit floats.
    F32,
    /// 16-bit floats: integer weights, activations divided by the largest of 16.
    F16,
    /// Bytes: integer weights, activations rounded to a 127th of the largest of 32.
    Int8,
}

impl Tuning {
    /// Rows per pass where nothing was measured: they fill the tiles of every kernel, and a pass is short enough to
    /// interrupt a prompt after it.
    pub const CHUNK: u32 = 256;
    /// Few invocations with much work each and no barrier: for adapters that are a CPU, where a barrier costs more than
    /// it saves.
    pub const SOFTWARE: Self = Self {
        lanes: 16,
        split: 1,
        row_operands: Operands::F32,
        fuse_norm: false,
        key_splits: 4,
        norm_lanes: 1,
        sample_lanes: 64,
        tile: None,
        float_tile: None,
        chunk: Self::CHUNK,
        share_keys: false,
    };
    /// Many invocations, which keep thousands of loads in flight; barriers are nearly free.
    pub const HARDWARE: Self = Self {
        lanes: 8,
        split: 16,
        row_operands: Operands::F32,
        fuse_norm: true,
        key_splits: 16,
        norm_lanes: 64,
        sample_lanes: 256,
        tile: Some(WorkgroupTile::new(64, 64, Operands::F32)),
        float_tile: Some(WorkgroupTile::new(64, 64, Operands::F32).unrolled()),
        chunk: Self::CHUNK,
        share_keys: true,
    };
}

impl Default for Tuning {
    /// Returns the tuning that works on every device.
    fn default() -> Self {
        Self::SOFTWARE
    }
}
