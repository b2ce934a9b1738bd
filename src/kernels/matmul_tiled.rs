//! [`matmul`](super::matmul)'s product for GPUs: a workgroup computes a tile, its operands go through workgroup memory.
//!
//! Which tile, and as what its operands are multiplied, is the pass's [`Tuning`](super::Tuning);
//! [`linear`](super::matmul::linear) takes these kernels where there is one.

use super::matmul::{P_EPILOGUE, P_M, P_ROWS, reference};
use super::rows;
use crate::gpu::Features;
use crate::pass::{Access::*, Kernel};
use crate::quant::WeightType;
use serde::{Deserialize, Serialize};

/// What a workgroup computes of a product, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// Rows, a multiple of 8.
    pub rows: u32,
    /// Columns, a multiple of 8.
    pub cols: u32,
    /// How operands are multiplied where the weights are integers.
    pub operands: Operands,
}

/// What the operands of a product are multiplied as; what they amount to is summed in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operands {
    /// 32-bit floats.
    F32,
    /// 16-bit floats: integer weights, activations divided by the largest of 32.
    F16,
    /// Bytes: integer weights, activations rounded to a 127th of the largest of 32.
    Int8,
}

impl Operands {
    /// Whether a device can multiply so.
    pub fn supported(self, features: Features) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 => features.f16,
            Self::Int8 => features.integer_dot,
        }
    }

    /// Largest normalised mean square error of a product of values around 1. Activations in bytes: a rounding of at most
    /// 1/254 of a group's largest value, 1/440 of a uniform one's RMS.
    pub fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 1e-9,
            Self::F16 => 2e-6,
            Self::Int8 => 4e-5,
        }
    }
}

impl Tile {
    /// The kernel for a matrix of that type.
    pub(super) fn kernel(self, weights: WeightType) -> &'static Kernel {
        match self.operands {
            Operands::F16 if weights.has_scales() => &MATMUL_F16,
            Operands::Int8 if weights.has_scales() => &MATMUL_INT8,
            _ => &MATMUL_TILED,
        }
    }

    /// As the low 24 bits of a parameter word: [`rows_and_cols`] reads them.
    pub(super) fn word(self) -> u32 {
        self.rows | self.cols << 12
    }
}

fn rows_and_cols(word: u32) -> [u32; 2] {
    [word & 0xfff, word >> 12 & 0xfff]
}

const fn kernel(name: &'static str, wgsl: &'static str) -> Kernel {
    Kernel {
        name,
        wgsl,
        access: &[Read, Read, Read, Read, ReadWrite],
        workgroup: [128, 1, 1],
        grid: |p, call| {
            let [tile_rows, tile_cols] = rows_and_cols(p[P_EPILOGUE]);
            [p[P_ROWS].div_ceil(tile_cols), rows(p[P_M], call).div_ceil(tile_rows), 1]
        },
        reference,
        fast: None,
    }
}

/// An invocation computes eight columns of eight rows.
pub static MATMUL_TILED: Kernel = kernel(
    "matmul_tiled",
    concat!(
        include_str!("matmul_tiled.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/epilogue.wgsl"),
        include_str!("shared/tile.wgsl")
    ),
);
/// The same in 16-bit floats, for weights that are integers. Needs [`Features::f16`].
pub static MATMUL_F16: Kernel = kernel(
    "matmul_f16",
    concat!(
        include_str!("matmul_f16.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/epilogue.wgsl"),
        include_str!("shared/tile.wgsl")
    ),
);
/// The same in bytes, for weights that are integers. Needs [`Features::integer_dot`].
pub static MATMUL_INT8: Kernel = kernel(
    "matmul_int8",
    concat!(
        include_str!("matmul_int8.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/epilogue.wgsl"),
        include_str!("shared/tile.wgsl")
    ),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::kernels::matmul::{Into, linear};
    use crate::kernels::{Rows, Tuning};
    use crate::quant::WeightType;

    use crate::config::Activation;
    use crate::device::{BackendChoice, Device};
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;

    /// `x` scaled by so much.
    fn check(tile: Tile, kind: WeightType, [m, n, k]: [u32; 3], bias: bool, into: Into, first: u32, scale: f32) {
        let mut case = Case::new(format!("{tile:?} {kind:?} {m}x{n}x{k} bias {bias} {into:?} scale {scale}"));
        case.pass.tuning = Tuning { tile: Some(tile), ..Tuning::HARDWARE };
        let x = case.random(u64::from(m * k), scale);
        // Rows of a taller stack.
        let mut w = case.weight(kind, first, n + 10, k);
        (w.rows, w.plane_first) = (n, 6);
        let b = case.random(u64::from(first + n), scale);
        let unused = case.bytes(&[]);
        let stride = first + n + 3;
        let out = case.output(u64::from(m * stride), (into == Into::Add).then_some(scale));
        linear(&mut case.pass, Rows::Fixed(m), x, w, bias.then_some(b), unused, out, stride, into);
        let operands = if kind.has_scales() { tile.operands } else { Operands::F32 };
        let size = f64::from(scale.max(1.0));
        assert_eq!(case.pass.ops[0].kernel.name, tile.kernel(kind).name);
        match operands {
            // As matmul's: f32 sums of K products of values around 1.
            Operands::F32 => case.check(1e-11, 1e-4 * size),
            _ => case.check(operands.tolerance(), 0.2 * size),
        }
    }

    /// What there is to multiply as; the features that a device lacks are named, since nothing is tested there.
    fn available() -> Vec<Operands> {
        if !gpu_or_skip() {
            return vec![];
        }
        let features = block_on(Device::open(BackendChoice::Gpu)).unwrap().features();
        let (found, lacking): (Vec<_>, Vec<_>) =
            [Operands::F32, Operands::F16, Operands::Int8].into_iter().partition(|o| o.supported(features));
        lacking.iter().for_each(|operands| eprintln!("SKIPPED: this adapter does not multiply {operands:?}"));
        found
    }

    #[test]
    fn shaders_equal_twin() {
        for operands in available() {
            let tile = Tile { rows: 64, cols: 128, operands };
            let suits = |kind: &WeightType| operands == Operands::F32 || kind.has_scales();
            for kind in WeightType::ALL.into_iter().filter(suits) {
                let k = |k: u32| k.next_multiple_of(kind.k_multiple());
                check(tile, kind, [37, 130, k(96)], true, Into::Add, 7, 1.0);
                check(tile, kind, [70, 150, k(36)], true, Into::Add, 0, 1.0);
            }
            check(tile, WeightType::Q4, [8, 6, 64], false, Into::Fresh, 0, 1.0);
            check(tile, WeightType::Q4, [8, 6, 64], true, Into::Activated(Activation::Gelu), 0, 1.0);
        }
    }

    #[test]
    fn small_and_large_activations_keep_their_accuracy() {
        for operands in available() {
            for scale in [1e-6, 1e-2, 1e3, 1e6] {
                for kind in [WeightType::Q4, WeightType::Q8, WeightType::Q4K] {
                    let tile = Tile { rows: 64, cols: 64, operands };
                    check(tile, kind, [37, 70, 256], false, Into::Fresh, 0, scale);
                }
            }
        }
    }

    #[test]
    fn every_tile_that_may_be_chosen_is_right() {
        for operands in available() {
            for (rows, cols) in [(32, 64), (64, 64), (128, 64), (128, 128)] {
                // WebGPU promises 16 KiB of workgroup memory.
                if (rows, cols, operands) != (128, 128, Operands::F16) {
                    check(Tile { rows, cols, operands }, WeightType::Q4, [133, 200, 608], true, Into::Add, 32, 1.0);
                }
            }
        }
    }
}
