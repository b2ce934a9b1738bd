//! The product of [`matmul`](super::matmul) for GPUs: a workgroup computes a tile, with its operands in workgroup
//! memory.
//!
//! The pass's [`Tuning`](crate::tuning::Tuning) names the tile and the number type of its operands;
//! [`matmul`](super::matmul::matmul) chooses these kernels where it names one.

use super::matmul::{P_EPILOGUE, P_M, P_ROWS, cost, reference};
use super::row_count;
use crate::pass::{Access::*, Kernel};
use crate::quant::WeightType;
use crate::tuning::{Operands, WorkgroupTile};

/// Returns the kernel that computes a product of a matrix of this type in such tiles.
pub(super) fn tile_kernel(tile: WorkgroupTile, weights: WeightType) -> &'static Kernel {
    match tile.operands {
        Operands::F16 if weights.has_scales() => &MATMUL_F16,
        Operands::Int8 if weights.has_scales() => &MATMUL_INT8,
        _ => &MATMUL_TILED,
    }
}

/// Encodes the size of a tile in the low 24 bits of a parameter. [`rows_and_cols`] decodes it.
pub(super) fn tile_param(tile: WorkgroupTile) -> u32 {
    tile.rows | tile.cols << 12
}

/// Returns the rows and columns that [`tile_param`] encodes.
fn rows_and_cols(param: u32) -> [u32; 2] {
    [param & 0xfff, param >> 12 & 0xfff]
}

/// Returns a kernel that multiplies in f32.
const fn kernel(name: &'static str, wgsl: &'static str) -> Kernel {
    Kernel {
        name,
        wgsl,
        access: &[Read, Read, Read, Read, ReadWrite],
        workgroup: [128, 1, 1],
        grid: |p, call| {
            let [tile_rows, tile_cols] = rows_and_cols(p[P_EPILOGUE]);
            [p[P_ROWS].div_ceil(tile_cols), row_count(p[P_M], call).div_ceil(tile_rows), 1]
        },
        reference,
        cost,
        operands: Operands::F32,
        // f32 sums of `K` products: the relative error grows like √K · 2⁻²⁴.
        tolerance: 1e-11,
    }
}

/// Every invocation computes eight columns of eight rows.
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
/// The same in 16-bit floats, for weights that are integers. Needs [`Features::f16`](crate::gpu::Features::f16).
pub static MATMUL_F16: Kernel = Kernel {
    operands: Operands::F16,
    // Activations are rounded to f16: by at most a 2048th.
    tolerance: 2e-6,
    ..kernel(
        "matmul_f16",
        concat!(
            include_str!("matmul_f16.wgsl"),
            include_str!("shared/call.wgsl"),
            include_str!("shared/weight.wgsl"),
            include_str!("shared/epilogue.wgsl"),
            include_str!("shared/tile.wgsl")
        ),
    )
};
/// The same in bytes, for weights that are integers. Needs
/// [`Features::integer_dot`](crate::gpu::Features::integer_dot).
pub static MATMUL_INT8: Kernel = Kernel {
    operands: Operands::Int8,
    // Activations are rounded to bytes: by at most 1/254 of a group's largest value, 1/440 of a uniform one's RMS.
    tolerance: 4e-5,
    ..kernel(
        "matmul_int8",
        concat!(
            include_str!("matmul_int8.wgsl"),
            include_str!("shared/call.wgsl"),
            include_str!("shared/weight.wgsl"),
            include_str!("shared/epilogue.wgsl"),
            include_str!("shared/tile.wgsl")
        ),
    )
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Rows;
    use crate::kernels::harness::Case;
    use crate::kernels::matmul::{Epilogue, matmul};
    use crate::quant::WeightType;
    use crate::tuning::Tuning;

    use crate::config::Activation;
    use crate::device::{BackendChoice, Device};
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;

    /// Compares a product whose `x` is scaled by `scale`.
    fn check(
        tile: WorkgroupTile,
        kind: WeightType,
        [m, n, k]: [u32; 3],
        bias: bool,
        epilogue: Epilogue,
        first: u32,
        scale: f32,
    ) {
        let mut case = Case::new(format!("{tile:?} {kind:?} {m}x{n}x{k} bias {bias} {epilogue:?} scale {scale}"));
        case.pass.tuning = Tuning { tile: Some(tile), ..Tuning::HARDWARE };
        let x = case.random(u64::from(m * k), scale);
        // Rows of a taller stack.
        let mut w = case.weight(kind, first, n + 10, k);
        (w.rows, w.plane_first) = (n, 6);
        let b = case.random(u64::from(first + n), scale);
        let unused = case.bytes(&[]);
        let stride = first + n + 3;
        let out = case.output(u64::from(m * stride), (epilogue == Epilogue::Add).then_some(scale));
        matmul(&mut case.pass, Rows::Fixed(m), x, w, bias.then_some(b), unused, out, stride, epilogue);
        let operands = if kind.has_scales() { tile.operands } else { Operands::F32 };
        let size = f64::from(scale.max(1.0));
        let kernel = case.pass.ops[0].kernel;
        assert!(std::ptr::eq(kernel, tile_kernel(tile, kind)) && kernel.operands == operands);
        match operands {
            Operands::F32 => case.check(kernel.tolerance, 1e-4 * size),
            _ => case.check(kernel.tolerance, 0.2 * size),
        }
    }

    /// Returns the number types that the device can multiply in, and prints those that it lacks and skips.
    fn available() -> Vec<Operands> {
        if !gpu_or_skip() {
            return vec![];
        }
        let features = block_on(Device::open(BackendChoice::Gpu)).unwrap().features();
        let (found, lacking): (Vec<_>, Vec<_>) =
            [Operands::F32, Operands::F16, Operands::Int8].into_iter().partition(|o| features.supports(*o));
        lacking.iter().for_each(|operands| eprintln!("SKIPPED: this adapter does not multiply {operands:?}"));
        found
    }

    #[test]
    fn shaders_equal_twin() {
        for operands in available() {
            let tile = WorkgroupTile { rows: 64, cols: 128, operands };
            let suits = |kind: &WeightType| operands == Operands::F32 || kind.has_scales();
            for kind in WeightType::ALL.into_iter().filter(suits) {
                let k = |k: u32| k.next_multiple_of(kind.k_multiple());
                check(tile, kind, [37, 130, k(96)], true, Epilogue::Add, 7, 1.0);
                check(tile, kind, [70, 150, k(36)], true, Epilogue::Add, 0, 1.0);
            }
            check(tile, WeightType::Q4, [8, 6, 64], false, Epilogue::Store, 0, 1.0);
            check(tile, WeightType::Q4, [8, 6, 64], true, Epilogue::Activate(Activation::Gelu), 0, 1.0);
        }
    }

    #[test]
    fn small_and_large_activations_keep_their_accuracy() {
        for operands in available() {
            for scale in [1e-6, 1e-2, 1e3, 1e6] {
                for kind in [WeightType::Q4, WeightType::Q8, WeightType::Q4K] {
                    let tile = WorkgroupTile { rows: 64, cols: 64, operands };
                    check(tile, kind, [37, 70, 256], false, Epilogue::Store, 0, scale);
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
                    check(
                        WorkgroupTile { rows, cols, operands },
                        WeightType::Q4,
                        [133, 200, 608],
                        true,
                        Epilogue::Add,
                        32,
                        1.0,
                    );
                }
            }
        }
    }
}
