//! [`matmul`](super::matmul)'s product for GPUs: a workgroup computes a tile, its operands go through workgroup memory.
//!
//! Which tile is the pass's [`Tuning`](super::Tuning); [`linear`](super::matmul::linear) takes this kernel where there is
//! one.

use super::matmul::{P_M, P_ROWS, P_TILE, reference};
use super::rows;
use crate::pass::{Access::*, Kernel};
use serde::{Deserialize, Serialize};

/// Rows and columns of the product that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// Rows, a multiple of 8.
    pub rows: u32,
    /// Columns, a multiple of 8.
    pub cols: u32,
}

impl Tile {
    /// As a parameter word: [`rows_and_cols`] reads it.
    pub(super) fn word(self) -> u32 {
        self.rows | self.cols << 16
    }
}

fn rows_and_cols(word: u32) -> [u32; 2] {
    [word & 0xffff, word >> 16]
}

/// An invocation computes eight columns of eight rows.
pub static MATMUL_TILED: Kernel = Kernel {
    name: "matmul_tiled",
    wgsl: include_str!("matmul_tiled.wgsl"),
    access: &[Read, Read, Read, Read, ReadWrite],
    workgroup: [128, 1, 1],
    grid: |p, call| {
        let [tile_rows, tile_cols] = rows_and_cols(p[P_TILE]);
        [p[P_ROWS].div_ceil(tile_cols), rows(p[P_M], call).div_ceil(tile_rows), 1]
    },
    reference,
    fast: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::kernels::matmul::{Into, linear};
    use crate::kernels::{Rows, Tuning};
    use crate::quant::WeightType;

    fn check(tile: Tile, kind: WeightType, [m, n, k]: [u32; 3], bias: bool, into: Into, first: u32) {
        let mut case = Case::new(format!("{tile:?} {kind:?} {m}x{n}x{k} bias {bias} {into:?}"));
        case.pass.tuning = Tuning { tile: Some(tile), ..Tuning::HARDWARE };
        let x = case.random(u64::from(m * k), 1.0);
        // Rows of a taller stack.
        let mut w = case.weight(kind, first, n + 10, k);
        (w.rows, w.plane_first) = (n, 6);
        let b = case.random(u64::from(first + n), 1.0);
        let unused = case.bytes(&[]);
        let stride = first + n + 3;
        let out = case.output(u64::from(m * stride), (into == Into::Add).then_some(1.0));
        linear(&mut case.pass, Rows::Fixed(m), x, w, bias.then_some(b), unused, out, stride, into);
        assert_eq!(case.pass.ops[0].kernel.name, "matmul_tiled");
        // As matmul's: f32 sums of K products of values around 1.
        case.check(1e-11, 1e-4);
    }

    #[test]
    fn shader_equals_twin() {
        let tile = Tile { rows: 64, cols: 128 };
        for kind in WeightType::ALL {
            let k = |k: u32| k.next_multiple_of(kind.k_multiple());
            check(tile, kind, [8, 6, k(64)], false, Into::Fresh, 0);
            check(tile, kind, [37, 130, k(96)], true, Into::Add, 7);
            check(tile, kind, [70, 150, k(36)], true, Into::Fresh, 0);
        }
    }

    #[test]
    fn every_tile_that_may_be_chosen_is_right() {
        for (rows, cols) in [(32, 64), (64, 64), (128, 64), (128, 128)] {
            check(Tile { rows, cols }, WeightType::Q4, [133, 200, 608], true, Into::Add, 32);
        }
    }
}
