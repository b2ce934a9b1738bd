//! `out[m, n] = f(Σ_k x[m, k] · w[n, k] (+ bias[n]) (+ out[m, n]))`: every matrix of the model, with its activation.
//!
//! For many rows: prefill and the vision tower. A GPU's decoding step runs [`matvec`](super::matvec).

use super::activation::{activated, activation_code, activation_of_code};
use super::matmul_tiled::{tile_kernel, tile_param};
use super::weight::{block_values, stored_tile, weight_type_code};
use super::{Rows, Weight, row_count};
use crate::config::Activation;
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// Every invocation computes eight columns of eight rows.
pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    wgsl: concat!(
        include_str!("matmul.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/epilogue.wgsl")
    ),
    access: &[Read, Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [p[P_ROWS].div_ceil(512), row_count(p[P_M], call).div_ceil(8), 1],
    reference,
    cost,
    operands: Operands::F32,
    // f32 sums of `K` products: the relative error grows like √K · 2⁻²⁴.
    tolerance: 1e-11,
};

// Words of `Params`: columns `K`, rows of the weight tile, its first row, stride of `out`, rows of `x`, rows of the
// planes, the tile's first row in them; the epilogue and, for tiled kernels, the workgroup's tile.
pub(crate) const P_K: usize = 0;
pub(crate) const P_ROWS: usize = 1;
pub(crate) const P_FIRST: usize = 2;
pub(crate) const P_STRIDE: usize = 3;
pub(crate) const P_M: usize = 4;
pub(crate) const P_PLANE_ROWS: usize = 5;
const P_PLANE_FIRST: usize = 6;
pub(crate) const P_EPILOGUE: usize = 7;

// Bits of `Params[P_EPILOGUE]` above the 24 bits of `tile_param`.
pub(crate) const BIAS: u32 = 1 << 24;
pub(crate) const ACCUMULATE: u32 = 1 << 25;
/// The lowest bit of the activation's code.
pub(crate) const ACTIVATION: u32 = 26;

/// The twin, with sums in f64.
pub(crate) fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [x, blocks, scales, bias, out] = buffers else { unreachable!("checked by Pass::push") };
    let p = &op.params;
    let (k, n, first, stride) = (p[P_K] as usize, p[P_ROWS] as usize, p[P_FIRST] as usize, p[P_STRIDE] as usize);
    let m = row_count(p[P_M], call) as usize;
    let kind = op.constant("WEIGHT_TYPE");
    let per_block = block_values(kind);
    let plane_first = p[P_PLANE_FIRST] as usize;
    let tile = stored_tile(kind, blocks, scales, p[P_PLANE_ROWS] as usize, k);
    let activation = activation_of_code(p[P_EPILOGUE] >> ACTIVATION);
    let mut sums = vec![0f64; m * n];
    let mut values = [0f32; 32];
    for kb in 0..k / per_block {
        for row in 0..n {
            tile.load(kb, plane_first + row, &mut values[..per_block]);
            for i in 0..m {
                let x = &x.f32()[i * k + kb * per_block..][..per_block];
                sums[i * n + row] += dot(x, &values[..per_block]);
            }
        }
    }
    for i in 0..m {
        for row in 0..n {
            let out = &mut out.f32_mut()[i * stride + first + row];
            let start = if p[P_EPILOGUE] & ACCUMULATE != 0 { f64::from(*out) } else { 0.0 };
            let bias = if p[P_EPILOGUE] & BIAS != 0 { f64::from(bias.f32()[first + row]) } else { 0.0 };
            let y = start + bias + sums[i * n + row];
            *out = activation.map_or(y, |kind| activated(kind, y)) as f32;
        }
    }
}

/// Returns `Σ a·b` in f64, in four interleaved sums that the compiler can vectorise. Lengths are multiples of 4.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f64; 4];
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for i in 0..4 {
            sums[i] += f64::from(a[i]) * f64::from(b[i]);
        }
    }
    sums.iter().sum()
}

/// Counts the weights, `x` and `out` once.
pub(super) fn cost(op: &Op, call: &Call) -> Cost {
    let p = &op.params;
    let [k, n, m] = [p[P_K], p[P_ROWS], row_count(p[P_M], call)].map(u64::from);
    let scales = if op.buffers[2].words > 1 { op.buffers[2].words } else { 0 };
    let weights = (op.buffers[1].words + scales) * n / u64::from(p[P_PLANE_ROWS].max(1));
    Cost { bytes: 4 * (weights + m * k + m * n), flops: 2 * m * n * k }
}

/// The last step of a product, on its way to `out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Overwrites `out` with the product.
    Store,
    /// Overwrites `out` with an activation of the product.
    Activate(Activation),
    /// Adds the product to `out`: a residual connection.
    Add,
}

/// Rows per invocation of every kernel here. Tiles do not pay below it.
const ROWS_PER_INVOCATION: u32 = 8;

/// Appends `out [M, N] = f(x [M, K] · wᵀ (+ bias) (+ out))` for one tile of `w`, with the kernel of the pass's
/// tuning.
///
/// # Shapes
/// `x` `[M, K]`, `w` a tile of `[N, K]`, `bias` `[N]`, `out` `[M, stride]` with the tile's columns at
/// `w.first_row`. `unused` is bound instead of a bias of `None`.
///
/// # Panics
/// When a buffer is too small for a fixed number of rows: shapes come from a checked config.
#[allow(clippy::too_many_arguments)] // the operands of the formula
pub fn matmul(
    pass: &mut Pass,
    m: Rows,
    x: Buf,
    w: Weight,
    bias: Option<Buf>,
    unused: Buf,
    out: Buf,
    stride: u32,
    epilogue: Epilogue,
) {
    let fixed = if let Rows::Fixed(n) = m { n } else { 1 };
    assert!(x.words >= u64::from(fixed) * u64::from(w.cols), "matmul: x");
    assert!(out.words >= u64::from(fixed - 1) * u64::from(stride) + u64::from(w.first_row + w.rows), "matmul: out");
    assert!(bias.is_none_or(|b| b.words >= u64::from(w.first_row + w.rows)), "matmul: bias");
    let mut params: Params = [0; 8];
    params[P_K] = w.cols;
    params[P_ROWS] = w.rows;
    params[P_FIRST] = w.first_row;
    params[P_STRIDE] = stride;
    params[P_M] = m.param();
    params[P_PLANE_ROWS] = w.plane_rows;
    params[P_PLANE_FIRST] = w.plane_first;
    let activation = if let Epilogue::Activate(kind) = epilogue { Some(kind) } else { None };
    params[P_EPILOGUE] = if bias.is_some() { BIAS } else { 0 };
    params[P_EPILOGUE] |= if epilogue == Epilogue::Add { ACCUMULATE } else { 0 };
    params[P_EPILOGUE] |= activation_code(activation) << ACTIVATION;
    let mut consts = vec![("WEIGHT_TYPE", weight_type_code(w.kind))];
    let few = matches!(m, Rows::Fixed(n) if n < ROWS_PER_INVOCATION);
    let tile = if w.kind.has_scales() { pass.tuning.tile } else { pass.tuning.float_tile };
    let kernel = match tile {
        Some(tile) if !few => {
            params[P_EPILOGUE] |= tile_param(tile);
            consts.extend([("ROWS", tile.rows), ("COLS", tile.cols)]);
            let kernel = tile_kernel(tile.operands);
            if kernel.operands == Operands::F32 {
                consts.push(("UNROLLED", tile.unrolled.into()));
            }
            kernel
        }
        _ => &MATMUL,
    };
    pass.push(Op { kernel, consts, params, buffers: vec![x, w.blocks, w.scales, bias.unwrap_or(unused), out] });
}

#[cfg(test)]
mod tests {
    use super::super::matmul_tiled::MATMUL_INT8;
    use super::*;
    use crate::kernels::harness::Case;
    use crate::quant::WeightType;

    fn check(kind: WeightType, m: u32, n: u32, k: u32, bias: bool, epilogue: Epilogue, first: u32) {
        let mut case = Case::new(format!("{kind:?} {m}x{n}x{k} bias {bias} {epilogue:?}"));
        let x = case.random(u64::from(m * k), 1.0);
        let w = case.weight(kind, first, n, k);
        let b = case.random(u64::from(first + n), 1.0);
        let unused = case.bytes(&[]);
        let stride = first + n + 3;
        let out = case.output(u64::from(m * stride), (epilogue == Epilogue::Add).then_some(1.0));
        matmul(&mut case.pass, Rows::Fixed(m), x, w, bias.then_some(b), unused, out, stride, epilogue);
        case.check(MATMUL.tolerance, 1e-4);
        // The CPU rounds activations to bytes, as the GPU's byte kernel does.
        let floats = matches!(kind, WeightType::F32 | WeightType::F16);
        if floats { case.check_cpu(MATMUL.tolerance, 1e-4) } else { case.check_cpu(MATMUL_INT8.tolerance, 0.2) }
    }

    const ACTIVATIONS: [Activation; 3] = [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh];

    #[test]
    fn shader_and_fast_version_equal_twin() {
        for kind in WeightType::ALL {
            let k = |k: u32| k.next_multiple_of(kind.k_multiple());
            check(kind, 1, 5, k(64), false, Epilogue::Store, 0);
            check(kind, 1, 130, k(96), true, Epilogue::Add, 7);
            check(kind, 9, 67, k(64), true, Epilogue::Store, 0);
            check(kind, 37, 64, k(608), false, Epilogue::Add, 32);
            check(kind, 70, 150, k(36), true, Epilogue::Store, 0);
        }
        // The second layer of SigLIP's MLP: rows of 4304 are no multiple of 32.
        check(WeightType::F16, 9, 67, 4304, true, Epilogue::Add, 3);
        for activation in ACTIVATIONS {
            for kind in [WeightType::F32, WeightType::Q4] {
                check(kind, 9, 67, 64, true, Epilogue::Activate(activation), 3);
            }
        }
    }

    #[test]
    fn activations_are_as_exact_as_their_formulas() {
        for activation in ACTIVATIONS {
            for (m, n) in [(1, 64), (3, 100), (37, 1408)] {
                let mut case = Case::new(format!("{activation:?} {m}x{n}"));
                let x = case.random(u64::from(4 * m), 8.0);
                let w = case.weight(WeightType::F32, 0, n, 4);
                let unused = case.bytes(&[]);
                let out = case.output(u64::from(m * n), None);
                let epilogue = Epilogue::Activate(activation);
                matmul(&mut case.pass, Rows::Fixed(m), x, w, None, unused, out, n, epilogue);
                // exp of 3 ULP; erf by a polynomial of 1.5e-7 absolute; sums of four products beside that.
                case.check(MATMUL.tolerance, 2e-6);
                case.check_cpu(MATMUL.tolerance, 2e-6);
            }
        }
    }

    /// Beyond what exp holds: the cube of 1e4 is 1e12. The values of the limits are exact.
    #[test]
    fn gelu_by_tanh_of_large_values_is_their_limit() {
        for factor in [20.0, 1e3, 1e6] {
            let mut case = Case::new(format!("GELU by tanh of ±{factor}"));
            let x = case.floats_of(&[1.0, 0.0, 0.0, 0.0]);
            let w = case.weight(WeightType::F32, 0, 8, 4);
            let bias = case.floats_of(&[factor, -factor, 0.0, factor, -factor, factor, -factor, 0.0]);
            let out = case.output(8, None);
            matmul(
                &mut case.pass,
                Rows::Fixed(1),
                x,
                w,
                Some(bias),
                bias,
                out,
                8,
                Epilogue::Activate(Activation::GeluTanh),
            );
            case.check(MATMUL.tolerance, 2e-6);
            case.check_cpu(MATMUL.tolerance, 2e-6);
            let y = &case.reference()[0];
            assert!(y[1].abs() < 1e-6 && (y[0] - factor).abs() <= 1.0, "{y:?}");
        }
    }
}
