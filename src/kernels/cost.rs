//! What an operation moves and computes at least: the floor that its time is compared with.

use super::{attention, matmul, matvec};
use crate::pass::{Call, Op};

/// Bytes of memory, and operations: a multiply-add counts as two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Cost {
    /// Bytes of operands and results, each once.
    pub bytes: u64,
    /// Multiplications and additions of matrices and attention; what else there is does not count beside them.
    pub flops: u64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |a, b| Self { bytes: a.bytes + b.bytes, flops: a.flops + b.flops })
    }
}

/// What an operation costs in a call. Only products and attention are counted: what the others move is small
/// beside them, and what they take is their dispatch.
pub fn cost(op: &Op, call: &Call) -> Cost {
    match op.kernel.name {
        "matmul" | "matmul_tiled" | "matmul_f16" | "matmul_int8" => matmul::cost(op, call),
        "matvec" => matvec::cost(op),
        "attention" | "attention_tiled" | "attention_step" => attention::cost(op, call),
        _ => Cost::default(),
    }
}
