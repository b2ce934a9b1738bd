//! RMSNorm ahead of a matrix: a dispatch of its own, or part of the mat-vec that reads its result.

use crate::kernels::Rows;
use crate::kernels::matvec::RowInput;
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::select_rows::{Take, select_rows};
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

    /// Copies row `call.head_row` of `x` to `row`, appends its norm and returns `out`.
    pub fn record_head_row(&self, pass: &mut Pass, row: Buf) -> Buf {
        select_rows(pass, self.x, Take::HeadRow, row, self.gamma.words as u32);
        Self { x: row, ..*self }.record(pass, Rows::Fixed(1))
    }

    /// Returns the norm of one row, or of row `call.head_row` by way of a buffer for it, as the input of mat-vecs. They
    /// compute it where the pass's tuning fuses it; else it is appended as a dispatch.
    pub fn record_row(&self, pass: &mut Pass, head_row: Option<Buf>) -> RowInput {
        let Self { x, gamma, eps, .. } = *self;
        match head_row {
            _ if pass.tuning.fuse_norm => RowInput::Norm { x, gamma, eps, head_row: head_row.is_some() },
            Some(row) => RowInput::Plain(self.record_head_row(pass, row)),
            None => RowInput::Plain(self.record(pass, Rows::Fixed(1))),
        }
    }
}
