//! RMSNorm ahead of a matrix: a dispatch of its own, or part of the mat-vec that reads its result.

use crate::kernels::Rows;
use crate::kernels::matvec::RowInput;
use crate::kernels::rms_norm::rms_norm;
use crate::pass::{Buf, Pass};

/// Operands of `out [T, H] = rms_norm(x [T, H]) · gamma [H]`.
#[derive(Debug, Clone, Copy)]
pub struct RmsNorm {
    /// `[T, H]`.
    pub x: Buf,
    /// `[H]`.
    pub gamma: Buf,
    /// ε, added to the mean square.
    pub eps: f32,
    /// `[T, H]`.
    pub out: Buf,
}

impl RmsNorm {
    /// Appends the norm of `m` rows and returns `out`.
    pub fn record(&self, pass: &mut Pass, m: Rows) -> Buf {
        rms_norm(pass, m, self.x, self.gamma, self.out, self.gamma.words as u32, self.eps);
        self.out
    }

    /// Returns the norm of one row as the input of mat-vecs: computed by them where the pass's tuning fuses it, else
    /// appended as a dispatch.
    pub fn record_row(&self, pass: &mut Pass) -> RowInput {
        let Self { x, gamma, eps, .. } = *self;
        match pass.tuning.fuse_norm {
            true => RowInput::Norm { x, gamma, eps, head_row: false },
            false => RowInput::Plain(self.record(pass, Rows::Fixed(1))),
        }
    }
}
