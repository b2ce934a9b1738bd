//! `out[r] = x[first + r]`: selects the tower's patches without the class row, or the row of a pass that the head
//! reads.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass};
use crate::tuning::Operands;

/// The first row is `params.first`, or `call.head_row` where that is `FROM_CALL`.
pub static SELECT_ROWS: Kernel = Kernel {
    name: "select_rows",
    wgsl: concat!(include_str!("select_rows.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), p[1], 1],
    cost: Cost::negligible,
    operands: Operands::F32,
    // A copy is exact.
    tolerance: 0.0,
    reference: |op, call, buffers| {
        let [x, out] = buffers else { unreachable!("checked by Pass::push") };
        let [cols, count] = [0, 1].map(|i| op.params[i] as usize);
        let first = if op.params[2] == FROM_CALL { call.head_row } else { op.params[2] } as usize;
        out.0[..count * cols].copy_from_slice(&x.0[first * cols..][..count * cols]);
    },
};

/// The parameter that stands for `call.head_row`.
const FROM_CALL: u32 = u32::MAX;

/// The rows that are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// `count` rows from `first` on.
    Range {
        /// First row.
        first: u32,
        /// Number of rows.
        count: u32,
    },
    /// The one row `call.head_row`.
    HeadRow,
}

/// Appends `out [count, cols] = x[first .. first + count]`.
pub fn select_rows(pass: &mut Pass, x: Buf, take: Take, out: Buf, cols: u32) {
    let (first, count) = match take {
        Take::Range { first, count } => (first, count),
        Take::HeadRow => (FROM_CALL, 1),
    };
    assert!(out.words >= u64::from(count) * u64::from(cols), "select_rows");
    let params = [cols, count, first, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &SELECT_ROWS, consts: vec![], params, buffers: vec![x, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::pass::Call;

    #[test]
    fn shader_equals_twin() {
        for (take, count) in [(Take::Range { first: 1, count: 5 }, 5), (Take::HeadRow, 1)] {
            let mut case = Case::new(format!("{take:?}"));
            case.call = Call { head_row: 3, ..Call::new(6, 0) };
            let (x, out) = (case.random(6 * 70, 1.0), case.output(count * 70, None));
            select_rows(&mut case.pass, x, take, out, 70);
            case.check(SELECT_ROWS.tolerance, 0.0);
        }
    }
}
