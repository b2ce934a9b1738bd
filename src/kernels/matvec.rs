//! One row times a matrix, fused with its neighbours in a decoding step: `y = w · z`, where `z` is the row or its
//! RMSNorm, and `y` is stored, added, gated, or rotated by RoPE and cached. A block of the decoder takes six
//! dispatches.

use super::activation::silu;
use super::rope::{put_rotated, rotated};
use super::weight::{block_values, stored_tile, weight_type_code};
use super::{Kv, Weight, cache::put};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Params, Pass, Words};
use crate::tuning::Operands;

/// Every invocation computes four columns, or a share of their sums.
pub static MATVEC: Kernel = Kernel {
    name: "matvec",
    wgsl: concat!(
        include_str!("matvec.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/cache_write.wgsl"),
        include_str!("shared/row.wgsl")
    ),
    access: &[Read, Read, Read, Read, Read, ReadWrite, ReadWrite, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[P_ROWS].div_ceil(4 * p[P_LANES]), 1, 1],
    reference,
    cost,
    operands: Operands::F32,
    // f32 sums of `K` products: the relative error grows like √K · 2⁻²⁴.
    tolerance: 1e-11,
};

/// The same in bytes, for weights that are integers. Needs
/// [`Features::integer_dot`](crate::gpu::Features::integer_dot).
pub static MATVEC_INT8: Kernel = Kernel {
    name: "matvec_int8",
    wgsl: concat!(
        include_str!("matvec_int8.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl"),
        include_str!("shared/cache_write.wgsl"),
        include_str!("shared/row.wgsl")
    ),
    operands: Operands::Int8,
    // The row is rounded to bytes, as activations in MATMUL_INT8. Times gamma, uniform values are a third of their
    // largest, where the mean error is 4.7e-5; a test has 16 outputs at least.
    tolerance: 1.5e-4,
    ..MATVEC
};

// Words of `Params`: columns `K`, rows of the product, first column of `out`, ε as bits, LANES, rows of the planes, the
// product's first row in them, its first bias behind `gamma`.
const P_K: usize = 0;
const P_ROWS: usize = 1;
const P_FIRST: usize = 2;
const P_EPS: usize = 3;
const P_LANES: usize = 4;
const P_PLANE_ROWS: usize = 5;
const P_PLANE_FIRST: usize = 6;
const P_BIAS: usize = 7;

/// The twin, with sums in f64.
fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [x, blocks, scales, gamma, table, out, k_cache, v_cache] = buffers else {
        unreachable!("checked by Pass::push")
    };
    let [k, n, first] = [P_K, P_ROWS, P_FIRST].map(|i| op.params[i] as usize);
    let row = if op.constant("HEAD_ROW") == 1 { call.head_row as usize } else { 0 };
    let mut z: Vec<f64> = x.f32()[row * k..][..k].iter().map(|v| f64::from(*v)).collect();
    if op.constant("NORM") == 1 {
        let mean = z.iter().map(|v| v * v).sum::<f64>() / k as f64;
        let inverse = 1.0 / (mean + f64::from(f32::from_bits(op.params[P_EPS]))).sqrt();
        z.iter_mut().zip(gamma.f32()).for_each(|(z, g)| *z *= inverse * f64::from(*g));
    }
    let mut y = products(op, &z, blocks, scales);
    if op.constant("BIAS") == 1 {
        let bias = &gamma.f32()[op.params[P_BIAS] as usize..];
        y.iter_mut().zip(bias).for_each(|(y, b)| *y += f64::from(*b));
    }
    match op.constant("EPILOGUE") {
        0 => out.f32_mut()[first..][..n].iter_mut().zip(y).for_each(|(o, y)| *o = y as f32),
        1 => out.f32_mut()[first..][..n].iter_mut().zip(y).for_each(|(o, y)| *o = (f64::from(*o) + y) as f32),
        2 => {
            let (gate, up) = y.split_at(n / 2);
            let out = out.f32_mut()[..n / 2].iter_mut();
            out.zip(gate.iter().zip(up)).for_each(|(o, (g, u))| *o = (silu(*g) * u) as f32);
        }
        _ => {
            let [d, q, keys] = ["HEAD_SIZE", "Q_HEADS", "K_HEADS"].map(|name| op.constant(name) as usize);
            let [values, stored] = ["V_HEADS", "CACHE_F16"].map(|name| op.constant(name));
            let position = call.pos as usize;
            let angles = &table.f32()[position * d..][..d];
            for (head, y) in y.chunks_exact(d).enumerate() {
                let y: Vec<f32> = y.iter().map(|y| *y as f32).collect();
                if head < q {
                    out.f32_mut()[head * d..][..d].copy_from_slice(&rotated(&y, angles));
                } else if head < q + keys {
                    put_rotated(stored, k_cache, (position * keys + head - q) * d, &y, angles);
                } else {
                    let to = (position * values as usize + head - q - keys) * d;
                    y.iter().enumerate().for_each(|(i, y)| put(stored, v_cache, to + i, *y));
                }
            }
        }
    }
}

fn products(op: &Op, z: &[f64], blocks: &Words, scales: &Words) -> Vec<f64> {
    let [k, n, plane_rows, first] = [P_K, P_ROWS, P_PLANE_ROWS, P_PLANE_FIRST].map(|i| op.params[i] as usize);
    let kind = op.constant("WEIGHT_TYPE");
    let per_block = block_values(kind);
    let tile = stored_tile(kind, blocks, scales, plane_rows, k);
    let mut values = [0f32; 32];
    let mut y = vec![0f64; n];
    for (kb, z) in z.chunks_exact(per_block).enumerate() {
        for (row, y) in y.iter_mut().enumerate() {
            tile.load(kb, first + row, &mut values[..per_block]);
            *y += z.iter().zip(&values).map(|(z, w)| z * f64::from(*w)).sum::<f64>();
        }
    }
    y
}

/// Counts the weights and both vectors once.
fn cost(op: &Op, _: &Call) -> Cost {
    let [k, n, plane_rows] = [P_K, P_ROWS, P_PLANE_ROWS].map(|i| u64::from(op.params[i]));
    let scales = if op.buffers[2].words > 1 { op.buffers[2].words } else { 0 };
    let weights = (op.buffers[1].words + scales) * n / plane_rows.max(1);
    let bias = n * u64::from(op.constant("BIAS"));
    Cost { bytes: 4 * (weights + k + n + bias), flops: 2 * n * k }
}

/// The row that is multiplied, and its normalisation.
#[derive(Debug, Clone, Copy)]
pub enum RowInput {
    /// The row as it is.
    Plain(Buf),
    /// RMSNorm of the row.
    Norm {
        /// `[T, K]`.
        x: Buf,
        /// Weights `[K]`.
        gamma: Buf,
        /// ε.
        eps: f32,
        /// Whether the row is `call.head_row` of `x`, else its first.
        head_row: bool,
    },
}

/// The destination of the product of a row, and its epilogue.
#[derive(Debug, Clone, Copy)]
pub enum RowOutput {
    /// `out = y`
    Store(Buf),
    /// `out += y`: a residual connection.
    Add(Buf),
    /// `out[n] = silu(y[n]) · y[rows / 2 + n]`: gate and up projection stacked.
    Gate(Buf),
    /// Heads of the stacked projections: rotated queries go to `q`, rotated keys and values to row `call.pos` of the
    /// cache.
    Heads {
        /// `[N, D]`.
        q: Buf,
        /// Keys and values.
        cache: Kv,
        /// [`rope::table`](super::rope::table).
        table: Buf,
        /// Numbers of heads of q, k and v among the rows.
        counts: [u32; 3],
        /// `D`, elements per head.
        size: u32,
        /// Added before the rotation.
        bias: Option<RowBias>,
    },
}

/// The bias of a product, in a buffer with the weights of the norm ahead: a shader has no binding left for a buffer of
/// its own.
#[derive(Debug, Clone, Copy)]
pub struct RowBias {
    /// The norm's weights `[K]`, then biases. It is bound in place of [`RowInput::Norm`]'s `gamma`.
    pub vectors: Buf,
    /// Place of the product's first bias in it, words.
    pub first: u32,
}

/// Buffers for the bindings that a product does not use: two for reading, then three for writing.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders(pub [Buf; 5]);

impl Placeholders {
    /// Words of each: one `vec4`, the shortest array that a shader can bind.
    pub const WORDS: u64 = 4;
}

/// Appends the product of a row with one tile of `w`, between `input` and `output`.
///
/// # Panics
/// When a buffer is too small or heads and rows differ: shapes come from a checked config.
pub fn matvec(pass: &mut Pass, input: RowInput, w: Weight, output: RowOutput, placeholders: Placeholders) {
    let Placeholders([no_gamma, no_table, no_out, no_keys, no_values]) = placeholders;
    let tuning = pass.tuning;
    let mut params: Params = [0; 8];
    params[P_K] = w.cols;
    params[P_ROWS] = w.rows;
    params[P_FIRST] = w.first_row;
    params[P_LANES] = tuning.lanes;
    params[P_PLANE_ROWS] = w.plane_rows;
    params[P_PLANE_FIRST] = w.plane_first;
    let (x, gamma, norm, head_row) = match input {
        RowInput::Plain(x) => (x, no_gamma, 0, false),
        RowInput::Norm { x, gamma, eps, head_row } => {
            params[P_EPS] = eps.to_bits();
            (x, gamma, 1, head_row)
        }
    };
    assert!(x.words >= u64::from(w.cols) && (norm == 0 || gamma.words >= u64::from(w.cols)), "matvec: x");
    let mut heads = ([1, 0, 0], 4, 0);
    let mut row_bias = None;
    let (epilogue, least, [table, out, keys, values]) = match output {
        RowOutput::Store(out) => (0, w.first_row + w.rows, [no_table, out, no_keys, no_values]),
        RowOutput::Add(out) => (1, w.first_row + w.rows, [no_table, out, no_keys, no_values]),
        RowOutput::Gate(out) => {
            assert!(w.rows.is_multiple_of(4) && w.first_row == 0, "matvec: gate");
            (2, w.rows / 2, [no_table, out, no_keys, no_values])
        }
        RowOutput::Heads { q, cache, table, counts, size, bias } => {
            row_bias = bias;
            assert!(counts.iter().sum::<u32>() * size == w.rows && size.is_multiple_of(4), "matvec: heads");
            heads = (counts, size, cache.stored.code());
            let q = if counts[0] > 0 { q } else { no_out };
            (3, counts[0] * size, [table, q, cache.k, cache.v])
        }
    };
    assert!(out.words >= u64::from(least), "matvec: out");
    let gamma = match row_bias {
        Some(RowBias { vectors, first }) => {
            assert!(first >= w.cols && vectors.words >= u64::from(first + w.rows), "matvec: bias");
            params[P_BIAS] = first;
            vectors
        }
        None => gamma,
    };
    let ([q_heads, k_heads, v_heads], size, stored) = heads;
    let bytes = tuning.row_operands == Operands::Int8 && w.kind.has_scales();
    pass.push(Op {
        kernel: if bytes { &MATVEC_INT8 } else { &MATVEC },
        consts: vec![
            ("WEIGHT_TYPE", weight_type_code(w.kind)),
            ("EPILOGUE", epilogue),
            ("NORM", norm),
            ("BIAS", u32::from(row_bias.is_some())),
            ("HEAD_ROW", u32::from(head_row)),
            ("LANES", tuning.lanes),
            ("SPLIT", tuning.split),
            ("HEAD_SIZE", size),
            ("Q_HEADS", q_heads),
            ("K_HEADS", k_heads),
            ("V_HEADS", v_heads),
            ("CACHE_F16", stored),
        ],
        params,
        buffers: vec![x, w.blocks, w.scales, gamma, table, out, keys, values],
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{BackendChoice, Device};
    use crate::kernels::harness::{Case, gpu_or_skip};
    use crate::kernels::{CacheType, rope};
    use crate::quant::WeightType;
    use crate::tuning::Tuning;
    use pollster::block_on;

    /// Returns the tunings that this adapter can run.
    fn tunings() -> Vec<Tuning> {
        let int8 = Tuning { row_operands: Operands::Int8, ..Tuning::HARDWARE };
        let mut all = vec![Tuning::SOFTWARE, Tuning::HARDWARE];
        if gpu_or_skip() && block_on(Device::open(BackendChoice::Gpu)).unwrap().features().integer_dot {
            all.extend([int8, Tuning { lanes: 32, split: 4, ..int8 }]);
        } else {
            eprintln!("SKIPPED: this adapter has no dot products of bytes");
        }
        all
    }

    fn case(name: String, tuning: Tuning) -> (Case, Placeholders) {
        let mut case = Case::new(format!("{name}, {tuning:?}"));
        case.pass.tuning = tuning;
        let placeholders = Placeholders([(); 5].map(|()| case.bytes(&[0; 16])));
        (case, placeholders)
    }

    fn check(case: &Case) {
        let kernel = case.pass.ops[0].kernel;
        case.check(kernel.tolerance, if kernel.operands == Operands::Int8 { 0.2 } else { 1e-4 });
    }

    #[test]
    fn stored_added_and_gated_rows_equal_the_twin() {
        for (tuning, kind) in tunings().into_iter().flat_map(|t| WeightType::ALL.map(|kind| (t, kind))) {
            // Of five outputs, errors of rounding have no mean.
            let few = if tuning.row_operands == Operands::Int8 { 16 } else { 5 };
            for (n, k, first) in [(few, 64, 0), (130, 96, 7), (67, 608, 3)] {
                let k = k.max(kind.k_multiple()).next_multiple_of(kind.k_multiple());
                for add in [false, true] {
                    let (mut case, placeholders) = case(format!("matvec {kind:?} {n}x{k} add {add}"), tuning);
                    let (x, gamma) = (case.random(3 * u64::from(k), 1.0), case.random(u64::from(k), 1.0));
                    case.call.head_row = 2;
                    let w = case.weight(kind, first, n, k);
                    let out = case.output(u64::from(first + n), add.then_some(1.0));
                    let (input, output) = match add {
                        true => (RowInput::Plain(x), RowOutput::Add(out)),
                        false => (RowInput::Norm { x, gamma, eps: 1e-5, head_row: true }, RowOutput::Store(out)),
                    };
                    matvec(&mut case.pass, input, w, output, placeholders);
                    check(&case);
                }
            }
            let k = 96u32.next_multiple_of(kind.k_multiple());
            let (mut case, placeholders) = case(format!("gate {kind:?}"), tuning);
            let x = case.random(u64::from(k), 1.0);
            let w = case.weight(kind, 0, 2 * 70, k);
            let out = case.output(70, None);
            matvec(&mut case.pass, RowInput::Plain(x), w, RowOutput::Gate(out), placeholders);
            check(&case);
        }
    }

    #[test]
    fn heads_are_rotated_and_cached() {
        for (tuning, stored) in tunings().into_iter().flat_map(|t| [(t, CacheType::F32), (t, CacheType::F16)]) {
            check_heads(tuning, stored, true, false);
        }
    }

    #[test]
    fn heads_take_their_bias_before_the_rotation() {
        for (tuning, norm) in tunings().into_iter().flat_map(|t| [(t, false), (t, true)]) {
            check_heads(tuning, CacheType::F32, norm, true);
        }
    }

    fn check_heads(tuning: Tuning, stored: CacheType, norm: bool, biased: bool) {
        for (heads, kv_heads, size, pos, part) in
            [(4, 2, 8, 3, 3), (3, 3, 12, 0, 3), (2, 1, 64, 9, 0), (2, 1, 64, 9, 1)]
        {
            let all = [heads, kv_heads, kv_heads];
            let counts = if part == 3 { all } else { [0, 1, 2].map(|i| if i == part { all[i] } else { 0 }) };
            let name = format!("heads {counts:?} x {size} at {pos}, {stored}, norm {norm}, bias {biased}");
            let (mut case, placeholders) = case(name, tuning);
            case.call = Call::new(1, pos);
            let x = case.random(64, 1.0);
            let gamma = case.random(64, 1.0);
            // Rows of a taller stack.
            let mut w = case.weight(WeightType::Q4, 0, counts.iter().sum::<u32>() * size + 10, 64);
            (w.rows, w.plane_first) = (w.rows - 10, 6);
            let table = case.floats_of(&rope::table(pos + 1, size, 10000.0));
            let q = case.output(u64::from(heads * size), None);
            let words = u64::from((pos + 1) * kv_heads * size);
            let [k, v] = [(); 2].map(|()| case.cache_output(stored, words, 1.0));
            let cache = Kv { k, v, stored };
            let input = match norm {
                true => RowInput::Norm { x, gamma, eps: 1e-5, head_row: false },
                false => RowInput::Plain(x),
            };
            // Behind biases of others, as where the matrices are not stacked.
            let first = 64 + 12;
            let bias = biased.then(|| RowBias { vectors: case.random(u64::from(first + w.rows), 1.0), first });
            let output = RowOutput::Heads { q, cache, table, counts, size, bias };
            matvec(&mut case.pass, input, w, output, placeholders);
            match stored {
                CacheType::F32 => check(&case),
                // WGSL lets a conversion to f16 round either way: a step of 2⁻¹⁰.
                CacheType::F16 if tuning.row_operands == Operands::F32 => case.check(1e-6, 2e-3),
                CacheType::F16 => check(&case),
            }
        }
    }
}
