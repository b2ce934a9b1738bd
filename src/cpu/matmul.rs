//! `out[m, n] = f(Σ_k x[m, k] · w[n, k] (+ bias[n]) (+ out[m, n]))`, in integers where the weights are.
//!
//! Groups of 32 products of integers are summed exactly; their sums, times both scales, are summed in f32. The order of
//! loops is tile of columns, tile of rows, step of `K`, `W` columns ([`panel`]), row. A panel is unpacked once for all
//! rows of a tile, whose accumulators stay in the first-level cache, and the blocks of a step are read in memory order.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `float_rows`

use super::activation::activate;
use super::activations::{Activations, FLOATS_PER_STEP, words_of_group};
use super::micro_kernel::{self, ROWS, VECTORS, WidePanel};
use super::panel::{self, Planes, as_bytes, code, has_minimum, offset};
use super::simd::{Job, Level, MAX_LANES, Simd};
use super::thread_pool::Shared;
use super::{SCRATCH, Workspace};
use crate::config::Activation;
use crate::kernels::activation::activation_of_code;
use crate::kernels::matmul::{ACCUMULATE, ACTIVATION, BIAS, reference};
use crate::kernels::matmul::{P_EPILOGUE, P_FIRST, P_K, P_M, P_PLANE_ROWS, P_ROWS, P_STRIDE};
use crate::kernels::{row_count, stored_tile};
use crate::pass::{Call, Op, Words};
use crate::quant::{WeightTile, WeightType};
use std::cell::RefCell;
use std::ops::Range;

/// Rows and columns per tile, for one row and for many. The accumulators take 8 and 16 KiB.
const TILES: [(usize, usize); 2] = [(1, 2048), (64, 64)];

/// The sizes of a product and its epilogue.
struct MatmulShape {
    /// Rows of `x`.
    pub m: usize,
    /// Distance of the rows of `out`, in values.
    pub stride: usize,
    /// First column of `out`.
    pub first: usize,
    /// Whether the product is added to `out`.
    pub accumulate: bool,
    /// The activation of the product.
    pub activation: Option<Activation>,
}

/// `out = f(x · wᵀ (+ bias) (+ out))` for one tile of `w`. The twin computes a matrix that is narrower than a vector,
/// or part of a stack (a CPU's weights are not stacked).
pub(super) fn matmul(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [x, blocks, scales, bias, out] = &mut *buffers else { unreachable!("checked by Pass::push") };
    let p = &op.params;
    let tile = stored_tile(op.constant("WEIGHT_TYPE"), blocks, scales, p[P_ROWS] as usize, p[P_K] as usize);
    let shape = MatmulShape {
        m: row_count(p[P_M], call) as usize,
        stride: p[P_STRIDE] as usize,
        first: p[P_FIRST] as usize,
        accumulate: p[P_EPILOGUE] & ACCUMULATE != 0,
        activation: activation_of_code(p[P_EPILOGUE] >> ACTIVATION),
    };
    let bias = (p[P_EPILOGUE] & BIAS != 0).then(|| bias.f32());
    let is_stacked = p[P_PLANE_ROWS] != p[P_ROWS];
    if is_stacked || !product(tile, shape, x.f32(), bias, out.f32_mut(), workspace) {
        reference(op, call, buffers);
    }
}

/// Runs the product for `tile`; `bias` covers the columns of `out` from 0 on. Returns false where the matrix is
/// narrower than a vector.
fn product(
    tile: WeightTile,
    shape: MatmulShape,
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    workspace: &mut Workspace,
) -> bool {
    let (n, k, m) = (tile.n, tile.k, shape.m);
    if n < MAX_LANES || m == 0 {
        return m == 0;
    }
    assert!(out.len() >= (m - 1) * shape.stride + shape.first + n, "out of a mat-mul");
    let bias = bias.map(|bias| &bias[shape.first..][..n]);
    workspace.prepare_rows(tile.weight_type, &x[..m * k], m, k);
    let (w, x, level) = (Planes::new(tile), &workspace.activations, workspace.level);
    let out = Shared::new(out);
    // Every part has whole tiles; parts are as equal as that allows.
    let parts = workspace.parts(m * n * k).min(n.div_ceil(64));
    let cut = |part: usize| (n.div_ceil(64) * part / parts * 64).min(n);
    workspace.pool.run(parts, &|part| {
        let columns = cut(part)..cut(part + 1);
        SCRATCH.with(|scratch| {
            let product = Product { w, x, k, n, shape: &shape, bias, out, columns, scratch };
            // SAFETY: planes, x, bias and out were checked against the shape; parts have disjoint columns.
            unsafe { run(level, tile.weight_type, product) };
        });
    });
    true
}

struct Product<'a> {
    w: Planes<'a>,
    x: &'a Activations,
    k: usize,
    n: usize,
    shape: &'a MatmulShape,
    bias: Option<&'a [f32]>,
    out: Shared,
    columns: Range<usize>,
    scratch: &'a RefCell<Vec<f32>>,
}

/// A product whose type of weights is a constant.
struct TypedProduct<'a, const KIND: u32>(Product<'a>);

impl<const KIND: u32> Job for TypedProduct<'_, KIND> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        unsafe { self.0.tiles::<S, KIND>() }
    }
}

/// # Safety
/// Planes, activations, bias and `out` have the lengths of the shape; parts have disjoint columns.
unsafe fn run(level: Level, kind: WeightType, product: Product) {
    unsafe {
        match kind {
            WeightType::F32 => level.run(TypedProduct::<{ code::F32 }>(product)),
            WeightType::F16 => level.run(TypedProduct::<{ code::F16 }>(product)),
            WeightType::Q8 => level.run(TypedProduct::<{ code::Q8 }>(product)),
            WeightType::Q4 => level.run(TypedProduct::<{ code::Q4 }>(product)),
            WeightType::Q4_1 => level.run(TypedProduct::<{ code::Q4_1 }>(product)),
            WeightType::Q5_1 => level.run(TypedProduct::<{ code::Q5_1 }>(product)),
            WeightType::Q4K => level.run(TypedProduct::<{ code::Q4K }>(product)),
            WeightType::Q5K => level.run(TypedProduct::<{ code::Q5K }>(product)),
            WeightType::Q6K => level.run(TypedProduct::<{ code::Q6K }>(product)),
        }
    }
}

/// A tile of the product.
struct ProductTile {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Number of vectors that cover the columns. The last one overlaps the one before where it would pass the end of
    /// the matrix.
    vectors: usize,
}

impl Product<'_> {
    #[inline(always)]
    unsafe fn tiles<S: Simd, const KIND: u32>(&self) {
        let m = self.shape.m;
        let (rows, columns) = TILES[usize::from(m > 1)];
        let mut sums = self.scratch.borrow_mut();
        for n in self.columns.clone().step_by(columns) {
            let columns = n..(n + columns).min(self.columns.end);
            for row in (0..m).step_by(rows) {
                let vectors = columns.len().div_ceil(S::W);
                let tile = ProductTile { rows: row..(row + rows).min(m), columns: columns.clone(), vectors };
                sums.clear();
                sums.resize(tile.rows.len() * vectors * S::W, 0.0);
                unsafe {
                    if KIND == code::F32 || KIND == code::F16 {
                        self.sum_floats::<S, KIND>(&tile, sums.as_mut_ptr());
                    } else {
                        self.sum_integers::<S, KIND>(&tile, sums.as_mut_ptr());
                    }
                    self.write::<S>(&tile, sums.as_ptr());
                }
            }
        }
    }

    /// Returns the first column of a vector.
    #[inline(always)]
    fn column<S: Simd>(&self, tile: &ProductTile, vector: usize) -> usize {
        (tile.columns.start + vector * S::W).min(self.n - S::W)
    }

    #[inline(always)]
    unsafe fn sum_floats<S: Simd, const KIND: u32>(&self, tile: &ProductTile, sums: *mut f32) {
        let (m, width, rows) = (self.shape.m, tile.vectors * S::W, tile.rows.len());
        for step in 0..self.k.div_ceil(FLOATS_PER_STEP) {
            for vector in 0..tile.vectors {
                unsafe {
                    let w = panel::floats::<S, KIND>(&self.w, step, self.column::<S>(tile, vector));
                    let x = self.x.words.as_ptr().add((step * m + tile.rows.start) * FLOATS_PER_STEP).cast::<f32>();
                    let sums = sums.add(vector * S::W);
                    let mut row = 0;
                    while row + 4 <= rows {
                        float_rows::<S, 4>(&w, x.add(row * FLOATS_PER_STEP), sums.add(row * width), width);
                        row += 4;
                    }
                    while row < rows {
                        float_rows::<S, 1>(&w, x.add(row * FLOATS_PER_STEP), sums.add(row * width), width);
                        row += 1;
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_integers<S: Simd, const KIND: u32>(&self, tile: &ProductTile, sums: *mut f32) {
        let (width, rows) = (tile.vectors * S::W, tile.rows.len());
        // The micro-kernel computes these rows of these vectors.
        let mut wide = unsafe { WidePanel::<S>::new() };
        let wide_rows = if S::MICRO_KERNEL { rows / ROWS * ROWS } else { 0 };
        let wide_vectors = if wide_rows > 0 { tile.columns.len() / (VECTORS * S::W) * VECTORS } else { 0 };
        for group in 0..self.k / super::activations::GROUP {
            let at = group * self.shape.m + tile.rows.start;
            for vector in 0..tile.vectors {
                let n = self.column::<S>(tile, vector);
                let mut row = if vector < wide_vectors { wide_rows } else { 0 };
                unsafe {
                    let w = panel::integers::<S, KIND>(&self.w, group, n);
                    let scales = panel::scales::<S, KIND>(&self.w, group, n);
                    if S::MICRO_KERNEL && row > 0 {
                        wide.set::<KIND>(vector % VECTORS, &w, &scales);
                        if vector % VECTORS == VECTORS - 1 {
                            let sums = sums.add((vector + 1 - VECTORS) * S::W);
                            micro_kernel::multiply::<S, KIND>(&wide, self.x, at, wide_rows, sums, width);
                        }
                    }
                    let sums = sums.add(vector * S::W);
                    while !S::MICRO_KERNEL && row + 4 <= rows {
                        integer_rows::<S, KIND, 4>(&w, &scales, self.x, at + row, sums.add(row * width), width);
                        row += 4;
                    }
                    while row < rows {
                        integer_rows::<S, KIND, 1>(&w, &scales, self.x, at + row, sums.add(row * width), width);
                        row += 1;
                    }
                }
            }
        }
    }

    /// Writes the sums of a tile to `out`, through the epilogue.
    #[inline(always)]
    unsafe fn write<S: Simd>(&self, tile: &ProductTile, sums: *const f32) {
        let width = tile.vectors * S::W;
        for (i, row) in tile.rows.clone().enumerate() {
            for vector in 0..tile.vectors {
                let n = self.column::<S>(tile, vector);
                let valid = tile.columns.start + vector * S::W - n..(tile.columns.end - n).min(S::W);
                unsafe {
                    let sums = sums.add(i * width + vector * S::W);
                    let out = self.out.pointer().add(row * self.shape.stride + self.shape.first + n);
                    for lane in valid {
                        let bias = self.bias.map_or(0.0, |bias| *bias.get_unchecked(n + lane));
                        let before = if self.shape.accumulate { *out.add(lane) } else { 0.0 };
                        *out.add(lane) = before + bias + *sums.add(lane);
                    }
                }
            }
            if let Some(kind) = self.shape.activation {
                let from = row * self.shape.stride + self.shape.first + tile.columns.start;
                unsafe {
                    let row = std::slice::from_raw_parts_mut(self.out.pointer().add(from), tile.columns.len());
                    activate::<S>(row, kind);
                }
            }
        }
    }
}

// Below, loops over rows and vectors must be unrolled, and panels must stay in registers. Indices are a third faster
// here than iterators over arrays, as measured.

/// Computes `sums[r] += w · x[r]` for `R` rows, whose steps of `x` are adjacent.
#[inline(always)]
unsafe fn float_rows<S: Simd, const R: usize>(
    w: &[S::F; FLOATS_PER_STEP],
    x: *const f32,
    sums: *mut f32,
    width: usize,
) {
    unsafe {
        let mut acc = [S::splat(0.0); R];
        for r in 0..R {
            acc[r] = S::load(sums.add(r * width));
        }
        for j in 0..FLOATS_PER_STEP {
            for r in 0..R {
                acc[r] = S::mul_add(w[j], S::splat(*x.add(r * FLOATS_PER_STEP + j)), acc[r]);
            }
        }
        for r in 0..R {
            S::store(sums.add(r * width), acc[r]);
        }
    }
}

/// Computes `sums[r] += w · x[r]` in integers. `at` is the index of the first row's group in the activations.
#[inline(always)]
unsafe fn integer_rows<S: Simd, const KIND: u32, const R: usize>(
    w: &panel::Panel<S>,
    scales: &panel::Scales<S>,
    x: &Activations,
    at: usize,
    sums: *mut f32,
    width: usize,
) {
    unsafe {
        let words = x.words.as_ptr().add(at * words_of_group(as_bytes::<S>(KIND)));
        let (x_sums, x_scales) = (x.sums.as_ptr().add(at), x.scales.as_ptr().add(at));
        let mut acc = [S::splat_i(0); R];
        let mut values = [S::splat(0.0); R];
        if KIND == code::Q6K {
            for r in 0..R {
                acc[r] = S::splat_i(-offset(KIND) * (*x_sums.add(r))[0]);
            }
            panel::dot_16::<S, KIND, R>(&mut acc, w, words, 0);
            for r in 0..R {
                values[r] = S::mul(S::to_f32(acc[r]), scales.low);
                acc[r] = S::splat_i(-offset(KIND) * (*x_sums.add(r))[1]);
            }
            panel::dot_16::<S, KIND, R>(&mut acc, w, words, 1);
            for r in 0..R {
                values[r] = S::mul_add(S::to_f32(acc[r]), scales.high, values[r]);
            }
        } else {
            for r in 0..R {
                let [low, high] = *x_sums.add(r);
                acc[r] = S::splat_i(-offset(KIND) * (low + high));
            }
            panel::dot_16::<S, KIND, R>(&mut acc, w, words, 0);
            panel::dot_16::<S, KIND, R>(&mut acc, w, words, 1);
            for r in 0..R {
                values[r] = S::mul(S::to_f32(acc[r]), scales.low);
            }
        }
        for r in 0..R {
            if has_minimum(KIND) {
                let [low, high] = *x_sums.add(r);
                values[r] = S::mul_add(scales.minimum, S::splat((low + high) as f32), values[r]);
            }
            let to = sums.add(r * width);
            S::store(to, S::mul_add(values[r], S::splat(*x_scales.add(r)), S::load(to)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::thread_pool::{SingleThread, ThreadPool, Three};
    use crate::quant::plane_bytes;

    /// Multiplies rows of `k` values by a weight of arbitrary blocks and of small scales.
    fn multiply(kind: WeightType, n: usize, k: usize, x: &[f32], level: Level, pool: Box<dyn ThreadPool>) -> Vec<f32> {
        let [blocks, scales] = <[u64; 2]>::from(plane_bytes(kind, n as u32, k as u32).unwrap());
        let blocks: Vec<u8> = (0..blocks).map(|i| (i * i * 37 + i) as u8 & 0xbf).collect();
        let scales: Vec<u8> = (0..scales).map(|i| (i * 37 % 0x2b) as u8).collect();
        let tile = WeightTile { weight_type: kind, n, k, blocks: &blocks, scales: &scales };
        let (m, mut workspace) = (x.len() / k, Workspace::new(level, pool));
        let (shape, mut out) =
            (MatmulShape { m, stride: n, first: 0, accumulate: false, activation: None }, vec![f32::NAN; m * n]);
        assert!(product(tile, shape, x, None, &mut out, &mut workspace));
        out
    }

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn several_threads_compute_what_one_does() {
        for (kind, m, n) in [(WeightType::Q4, 1, 1000), (WeightType::F16, 70, 330), (WeightType::Q8, 9, 130)] {
            let compute = |pool| multiply(kind, n, 512, &values(m * 512), Level::best(), pool);
            assert_eq!(compute(Box::new(Three)), compute(Box::new(SingleThread)), "{kind} {m} {n}");
        }
    }

    #[test]
    fn many_rows_give_the_bits_that_each_gives_alone() {
        use WeightType::{Q4, Q4_1, Q4K, Q5_1, Q5K, Q6K, Q8};
        for level in Level::available() {
            for kind in [Q8, Q4, Q4_1, Q5_1, Q4K, Q5K, Q6K] {
                let compute = |x: &[f32]| multiply(kind, 86, 512, x, level, Box::new(SingleThread));
                let x = values(7 * 512);
                let alone: Vec<f32> = x.chunks_exact(512).flat_map(compute).collect();
                assert!(alone.iter().all(|x| x.is_finite()) && alone[0] != alone[1], "{level:?} {kind}");
                assert_eq!(compute(&x), alone, "{level:?} {kind}");
            }
        }
    }
}
