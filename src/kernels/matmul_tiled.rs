//! The product of [`matmul`](super::matmul) for GPUs: a workgroup computes a tile, with its operands in workgroup
//! memory.
//!
//! The pass's [`Tuning`](crate::tuning::Tuning) names the tile and the number type of its operands;
//! [`matmul`](super::matmul::matmul) chooses these kernels where it names one.

use super::matmul::{P_EPILOGUE, P_M, P_ROWS, cost, reference};
use super::row_count;
use crate::pass::{Access::*, Kernel};
use crate::tuning::{Operands, WorkgroupTile};

/// Returns the kernel that multiplies tiles of this type. Those of f16 and bytes take matrices of integers.
pub(super) fn tile_kernel(operands: Operands) -> &'static Kernel {
    match operands {
        Operands::F32 => &MATMUL_TILED,
        Operands::F16 => &MATMUL_F16,
        Operands::Int8 => &MATMUL_INT8,
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
    workgroup: [64, 1, 1],
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
/// The same in bytes, four columns of eight rows per invocation, for weights that are integers. Needs
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

    /// Returns a tuning with this tile for all matrices that it can be used for.
    fn tuning(tile: WorkgroupTile) -> Tuning {
        let float_tile = if tile.operands == Operands::F32 { Some(tile) } else { Tuning::HARDWARE.float_tile };
        Tuning { tile: Some(tile), float_tile, ..Tuning::HARDWARE }
    }

    /// Compares products of shapes `[m, n, k]`, each with its epilogue, the first column of its output, and perhaps a
    /// bias. They are one case, because a software adapter takes seconds to compile a pipeline.
    fn check(tile: WorkgroupTile, kind: WeightType, products: &[([u32; 3], bool, Epilogue, u32)]) {
        let mut case = Case::new(format!("{tile:?} {kind:?} {products:?}"));
        case.pass.tuning = tuning(tile);
        let unused = case.bytes(&[]);
        for ([m, n, k], bias, epilogue, first) in products.iter().copied() {
            let k = k.next_multiple_of(kind.k_multiple());
            let x = case.random(u64::from(m * k), 1.0);
            // Rows of a taller stack.
            let mut w = case.weight(kind, first, n + 10, k);
            (w.rows, w.plane_first) = (n, 6);
            let b = case.random(u64::from(first + n), 1.0);
            let stride = first + n + 3;
            let out = case.output(u64::from(m * stride), (epilogue == Epilogue::Add).then_some(1.0));
            matmul(&mut case.pass, Rows::Fixed(m), x, w, bias.then_some(b), unused, out, stride, epilogue);
        }
        let kernel = case.pass.ops[0].kernel;
        assert!(std::ptr::eq(kernel, tile_kernel(tile.operands)) && kernel.operands == tile.operands);
        case.check(kernel.tolerance, if tile.operands == Operands::F32 { 1e-4 } else { 0.2 });
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
            // WebGPU promises 16 KiB of workgroup memory.
            let tile = WorkgroupTile::new(64, if operands == Operands::F16 { 64 } else { 128 }, operands);
            let suits = |kind: &WeightType| operands == Operands::F32 || kind.has_scales();
            for kind in WeightType::ALL.into_iter().filter(suits) {
                let shapes = [([37, 130, 96], true, Epilogue::Add, 7), ([70, 150, 36], true, Epilogue::Add, 0)];
                check(tile, kind, &shapes);
            }
            let small = [Epilogue::Store, Epilogue::Activate(Activation::Gelu)];
            check(tile, WeightType::Q4, &small.map(|epilogue| ([8, 6, 64], epilogue != Epilogue::Store, epilogue, 0)));
        }
    }

    #[test]
    fn small_and_large_activations_keep_their_accuracy() {
        let scales = [1e-6, 1e-2, 1e3, 1e6];
        for operands in available() {
            for kind in [WeightType::Q4, WeightType::Q8, WeightType::Q4K] {
                // One case for all scales: a software adapter takes seconds to compile a pipeline.
                let tile = WorkgroupTile::new(64, 64, operands);
                let mut case = Case::new(format!("{tile:?} {kind:?} with x of {scales:?}"));
                case.pass.tuning = tuning(tile);
                let (w, unused) = (case.weight(kind, 0, 70, 256), case.bytes(&[]));
                for scale in scales {
                    let (x, out) = (case.random(37 * 256, scale), case.output(37 * 70, None));
                    matmul(&mut case.pass, Rows::Fixed(37), x, w, None, unused, out, 70, Epilogue::Store);
                }
                let bound = if operands == Operands::F32 { 1e-4 } else { 0.2 };
                let bounds = scales.map(|scale| bound * f64::from(scale.max(1.0f32)));
                case.check_each(tile_kernel(operands).tolerance, &bounds);
            }
        }
    }

    #[test]
    fn every_tile_that_may_be_chosen_is_right() {
        for operands in available() {
            for (rows, cols) in [(32, 64), (64, 64), (64, 128), (128, 128)] {
                let fits = match operands {
                    Operands::F32 => true,
                    // WebGPU promises 16 KiB of workgroup memory and 256 invocations.
                    Operands::F16 => cols == 64,
                    Operands::Int8 => rows * cols <= 32 * 256,
                };
                let tile = WorkgroupTile::new(rows, cols, operands);
                let unrolled = (operands == Operands::F32).then_some(tile.unrolled());
                for tile in [tile].into_iter().chain(unrolled).filter(|_| fits) {
                    check(tile, WeightType::Q4, &[([133, 200, 608], true, Epilogue::Add, 32)]);
                }
            }
        }
    }
}
