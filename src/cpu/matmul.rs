//! `out[m, n] = f(Σ_k x[m, k] · w[n, k] (+ bias[n]) (+ out[m, n]))`, in integers where the weights are.
//!
//! Groups of 32 products of integers are summed exactly; their sums, times both scales, are summed in f32. The order of
//! loops is tile of columns, tile of rows, step of `K`, `W` columns ([`panel`]), row. A panel is unpacked once for all
//! rows of a tile, whose accumulators stay in the first-level cache, and the blocks of a step are read in memory order.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `float_rows`

use super::activation::activate;
use super::activations::{Activations, FLOATS_PER_STEP, GROUP, words_of_group};
use super::micro_kernel::{self, ROWS, VECTORS, WidePanel};
use super::panel::{self, Planes, as_bytes, code, has_minimum, offset};
use super::simd::{Job, Level, MAX_LANES, Simd};
use super::thread_pool::Shared;
use crate::config::Activation;
use crate::quant::{WeightTile, WeightType};
use std::ops::Range;

/// Columns from those that a product of one row reads to those that it requests then, as measured.
const AHEAD: usize = 512;
/// Rows of a tile at most.
pub(super) const MAX_ROWS: usize = 64;
/// Rows and columns per tile, for one row and for many. The accumulators take 8 and 16 KiB.
const TILES: [(usize, usize); 2] = [(1, 2048), (MAX_ROWS, 64)];

/// The place of a product in `out`, and its epilogue.
pub(super) struct Epilogue<'a> {
    /// Distance of the rows of `out`, in values.
    pub stride: usize,
    /// First column of `out`.
    pub first: usize,
    /// The bias of the columns of `out`, from 0 on.
    pub bias: Option<&'a [f32]>,
    /// Whether the product is added to `out`.
    pub accumulate: bool,
    /// The activation of the product.
    pub activation: Option<Activation>,
}

/// A product of `m` prepared rows by a matrix.
pub(super) struct Product<'a> {
    weight_type: WeightType,
    w: Planes<'a>,
    m: usize,
    k: usize,
    n: usize,
    epilogue: Epilogue<'a>,
    out: Shared,
}

/// A part of a product whose type of weights is a constant.
struct Part<'a, const KIND: u32> {
    product: &'a Product<'a>,
    x: &'a Activations,
    rows: Range<usize>,
    columns: Range<usize>,
    sums: &'a mut Vec<f32>,
}

impl<const KIND: u32> Job for Part<'_, KIND> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        unsafe { self.product.tiles::<S, KIND>(self.x, self.rows, self.columns, self.sums) }
    }
}

impl<'a> Product<'a> {
    /// Describes `out = f(x · wᵀ (+ bias) (+ out))` for `m` rows. `w` has at least [`MAX_LANES`] rows.
    pub fn new(w: WeightTile<'a>, m: usize, mut epilogue: Epilogue<'a>, out: &'a mut [f32]) -> Self {
        let (n, k, Epilogue { stride, first, bias, .. }) = (w.n, w.k, &mut epilogue);
        assert!(n >= MAX_LANES && m > 0 && out.len() >= (m - 1) * *stride + *first + n, "out of a mat-mul");
        *bias = bias.map(|bias| &bias[*first..][..n]);
        Self { weight_type: w.weight_type, w: Planes::new(w), m, k, n, epilogue, out: Shared::new(out) }
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.n
    }

    /// Computes some columns of some rows. `sums` is scratch memory.
    ///
    /// # Safety
    /// `x` holds `[m, k]` for the type of the weights; no other thread computes these values.
    pub unsafe fn run(
        &self,
        level: Level,
        x: &Activations,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &mut Vec<f32>,
    ) {
        macro_rules! run {
            ($kind:ident) => {
                level.run(Part::<{ code::$kind }> { product: self, x, rows, columns, sums })
            };
        }
        unsafe {
            match self.weight_type {
                WeightType::F32 => run!(F32),
                WeightType::F16 => run!(F16),
                WeightType::Q8 => run!(Q8),
                WeightType::Q4 => run!(Q4),
                WeightType::Q4_1 => run!(Q4_1),
                WeightType::Q5_1 => run!(Q5_1),
                WeightType::Q4K => run!(Q4K),
                WeightType::Q5K => run!(Q5K),
                WeightType::Q6K => run!(Q6K),
            }
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
    unsafe fn tiles<S: Simd, const KIND: u32>(
        &self,
        x: &Activations,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &mut Vec<f32>,
    ) {
        let (row_step, column_step) = TILES[usize::from(self.m > 1)];
        for n in columns.clone().step_by(column_step) {
            let columns = n..(n + column_step).min(columns.end);
            for row in rows.clone().step_by(row_step) {
                let vectors = columns.len().div_ceil(S::W);
                let tile = ProductTile { rows: row..(row + row_step).min(rows.end), columns: columns.clone(), vectors };
                sums.clear();
                sums.resize(tile.rows.len() * vectors * S::W, 0.0);
                unsafe {
                    if KIND == code::F32 || KIND == code::F16 {
                        self.sum_floats::<S, KIND>(x, &tile, sums.as_mut_ptr());
                    } else if S::PREFETCHES && self.m == 1 {
                        self.sum_integer_row::<S, KIND>(x, &tile, sums.as_mut_ptr());
                    } else {
                        self.sum_integers::<S, KIND>(x, &tile, sums.as_mut_ptr());
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
    unsafe fn sum_floats<S: Simd, const KIND: u32>(&self, x: &Activations, tile: &ProductTile, sums: *mut f32) {
        let (m, width, rows) = (self.m, tile.vectors * S::W, tile.rows.len());
        for step in 0..self.k.div_ceil(FLOATS_PER_STEP) {
            for vector in 0..tile.vectors {
                unsafe {
                    let w = panel::floats::<S, KIND>(&self.w, step, self.column::<S>(tile, vector));
                    let x = x.words.as_ptr().add((step * m + tile.rows.start) * FLOATS_PER_STEP).cast::<f32>();
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
    unsafe fn sum_integers<S: Simd, const KIND: u32>(&self, x: &Activations, tile: &ProductTile, sums: *mut f32) {
        let (width, rows) = (tile.vectors * S::W, tile.rows.len());
        // The micro-kernel computes these rows of these vectors.
        let mut wide = unsafe { WidePanel::<S>::new() };
        let wide_rows = if S::MICRO_KERNEL { rows / ROWS * ROWS } else { 0 };
        let wide_vectors = if wide_rows > 0 { tile.columns.len() / (VECTORS * S::W) * VECTORS } else { 0 };
        for group in 0..self.k / GROUP {
            let at = group * self.m + tile.rows.start;
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
                            micro_kernel::multiply::<S, KIND>(&wide, x, at, wide_rows, sums, width);
                        }
                    }
                    let sums = sums.add(vector * S::W);
                    while !S::MICRO_KERNEL && row + 4 <= rows {
                        integer_rows::<S, KIND, 4>(&w, &scales, x, at + row, sums.add(row * width), width);
                        row += 4;
                    }
                    while row < rows {
                        integer_rows::<S, KIND, 1>(&w, &scales, x, at + row, sums.add(row * width), width);
                        row += 1;
                    }
                }
            }
        }
    }

    /// The same for a tile of one row, which waits for memory alone: what is read soon is requested.
    #[inline(always)]
    unsafe fn sum_integer_row<S: Simd, const KIND: u32>(&self, x: &Activations, tile: &ProductTile, sums: *mut f32) {
        let groups = self.k / GROUP;
        let (mut group_ahead, mut vector_ahead) = (AHEAD / S::W / tile.vectors, AHEAD / S::W % tile.vectors);
        for group in 0..groups {
            for vector in 0..tile.vectors {
                let n = self.column::<S>(tile, vector);
                unsafe {
                    if group_ahead < groups {
                        panel::request::<S, KIND>(&self.w, group_ahead, self.column::<S>(tile, vector_ahead));
                    }
                    let w = panel::integers::<S, KIND>(&self.w, group, n);
                    let scales = panel::scales::<S, KIND>(&self.w, group, n);
                    integer_rows::<S, KIND, 1>(&w, &scales, x, group, sums.add(vector * S::W), 0);
                }
                vector_ahead += 1;
                if vector_ahead == tile.vectors {
                    (group_ahead, vector_ahead) = (group_ahead + 1, 0);
                }
            }
        }
    }

    /// Writes the sums of a tile to `out`, through the epilogue.
    #[inline(always)]
    unsafe fn write<S: Simd>(&self, tile: &ProductTile, sums: *const f32) {
        let (width, Epilogue { stride, first, bias, accumulate, activation }) = (tile.vectors * S::W, &self.epilogue);
        for (i, row) in tile.rows.clone().enumerate() {
            for vector in 0..tile.vectors {
                let n = self.column::<S>(tile, vector);
                let valid = tile.columns.start + vector * S::W - n..(tile.columns.end - n).min(S::W);
                unsafe {
                    let sums = sums.add(i * width + vector * S::W);
                    let out = self.out.pointer().add(row * stride + first + n);
                    for lane in valid {
                        let bias = bias.map_or(0.0, |bias| *bias.get_unchecked(n + lane));
                        let before = if *accumulate { *out.add(lane) } else { 0.0 };
                        *out.add(lane) = before + bias + *sums.add(lane);
                    }
                }
            }
            if let Some(kind) = *activation {
                let from = row * stride + first + tile.columns.start;
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
