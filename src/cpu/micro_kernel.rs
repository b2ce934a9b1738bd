//! The innermost product of WebAssembly and of plain Rust: the sums of two rows and four vectors of columns stay in
//! registers, and the weights are read from memory.
//!
//! The vectors of a [`Panel`] and the sums of four rows do not fit in 16 registers. Where the compiler saw all products
//! of a group, LLVM loaded the values of all four rows first and V8 spilled them: two thirds of the instructions moved
//! data. Here the words of a group are a loop, and one turn of it needs 12 registers.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `matmul::float_rows`

use super::activations::{Activations, words_of_group};
use super::panel::{Panel, Scales, as_bytes, code, has_minimum, offset};
use super::simd::Simd;
use std::hint::black_box;

/// Vectors of columns whose sums stay in registers.
pub(super) const VECTORS: usize = 4;
/// Rows whose sums stay in registers.
pub(super) const ROWS: usize = 2;

/// A value for each of the sums.
type Tile<T> = [[T; VECTORS]; ROWS];

/// One group of [`VECTORS`] neighbouring vectors of columns.
pub(super) struct WidePanel<S: Simd> {
    /// The vectors of the panels, in the order of the words of the activations.
    words: [[S::I; VECTORS]; 16],
    scales: [Scales<S>; VECTORS],
}

impl<S: Simd> WidePanel<S> {
    /// Returns a panel of zeros.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        let (zero, scale) = unsafe { (S::splat_i(0), S::splat(0.0)) };
        let scales = [Scales { low: scale, high: scale, minimum: scale }; VECTORS];
        Self { words: [[zero; VECTORS]; 16], scales }
    }

    /// Sets the panel of vector `v`, with its scales.
    #[inline(always)]
    pub unsafe fn set<const KIND: u32>(&mut self, v: usize, panel: &Panel<S>, scales: &Scales<S>) {
        for j in 0..words_of_group(as_bytes::<S>(KIND)) {
            self.words[j][v] = panel[j / 4][j % 4];
        }
        self.scales[v] = *scales;
    }
}

/// Computes `sums += w · x` for `rows` rows, a multiple of [`ROWS`], from group `at` of the activations on. Rows of
/// `sums` are `width` apart.
///
/// # Safety
/// The activations have the groups, and `sums` has the rows.
#[inline(never)] // V8 optimises a small function sooner and spills less
pub(super) unsafe fn multiply<S: Simd, const KIND: u32>(
    w: &WidePanel<S>,
    x: &Activations,
    at: usize,
    rows: usize,
    sums: *mut f32,
    width: usize,
) {
    for row in (0..rows).step_by(ROWS) {
        unsafe { multiply_rows::<S, KIND>(w, x, at + row, sums.add(row * width), width) };
    }
}

/// Computes `sums += w · x` for [`ROWS`] rows. The roundings are those of `matmul::integer_rows`.
#[inline(always)]
unsafe fn multiply_rows<S: Simd, const KIND: u32>(
    w: &WidePanel<S>,
    x: &Activations,
    at: usize,
    sums: *mut f32,
    width: usize,
) {
    unsafe {
        let (x_sums, x_scales) = (x.sums.as_ptr().add(at), x.scales.as_ptr().add(at));
        let mut values: Tile<S::F> = [[S::splat(0.0); VECTORS]; ROWS];
        let mut start = [0; ROWS];
        for r in 0..ROWS {
            let [low, high] = *x_sums.add(r);
            start[r] = -offset(KIND) * if KIND == code::Q6K { low } else { low + high };
        }
        let words = words_of_group(as_bytes::<S>(KIND));
        if KIND == code::Q6K {
            let acc = products::<S, KIND>(w, x, at, 0..words / 2, start);
            for r in 0..ROWS {
                start[r] = -offset(KIND) * (*x_sums.add(r))[1];
                for v in 0..VECTORS {
                    values[r][v] = S::mul(S::to_f32(acc[r][v]), w.scales[v].low);
                }
            }
            let acc = products::<S, KIND>(w, x, at, words / 2..words, start);
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    values[r][v] = S::mul_add(S::to_f32(acc[r][v]), w.scales[v].high, values[r][v]);
                }
            }
        } else {
            let acc = products::<S, KIND>(w, x, at, 0..words, start);
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    values[r][v] = S::mul(S::to_f32(acc[r][v]), w.scales[v].low);
                }
            }
        }
        for r in 0..ROWS {
            let ([low, high], scale) = (*x_sums.add(r), S::splat(*x_scales.add(r)));
            for v in 0..VECTORS {
                if has_minimum(KIND) {
                    values[r][v] = S::mul_add(w.scales[v].minimum, S::splat((low + high) as f32), values[r][v]);
                }
                let to = sums.add(r * width + v * S::W);
                S::store(to, S::mul_add(values[r][v], scale, S::load(to)));
            }
        }
    }
}

/// Returns `start + w · x` over the `words` of a group, of the rows from group `at` on.
#[inline(always)]
unsafe fn products<S: Simd, const KIND: u32>(
    w: &WidePanel<S>,
    x: &Activations,
    at: usize,
    words: std::ops::Range<usize>,
    start: [i32; ROWS],
) -> Tile<S::I> {
    unsafe {
        let per_row = words_of_group(as_bytes::<S>(KIND));
        let x = x.words.as_ptr().add(at * per_row);
        let mut acc = [[S::splat_i(0); VECTORS]; ROWS];
        for r in 0..ROWS {
            acc[r] = [S::splat_i(start[r]); VECTORS];
        }
        // The compiler does not know this bound, so it does not unroll the loop.
        for j in words.start..black_box(words.end) {
            for v in 0..VECTORS {
                let w = *w.words.as_ptr().cast::<S::I>().add(j * VECTORS + v);
                for r in 0..ROWS {
                    let x = *x.add(r * per_row + j);
                    acc[r][v] = match as_bytes::<S>(KIND) {
                        true => S::dot_bytes(acc[r][v], w, x),
                        false => S::dot_pairs(acc[r][v], w, x),
                    };
                }
            }
        }
        acc
    }
}
