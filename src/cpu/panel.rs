//! Panels of weights, as a mat-mul multiplies them. A *panel* holds one step of `W` neighbouring columns, with the same
//! value of every column in one vector.
//!
//! A 16-byte block belongs to one column. Transposing the words of `W` blocks gives four vectors whose lanes are
//! columns; their nibbles or bytes are then four (or, as pairs, two) values per lane. All integers become unsigned
//! by an [`offset`], which is subtracted from the sum again, exactly.
#![allow(unsafe_code)] // SIMD; see `simd`
#![allow(clippy::needless_range_loop)] // see `matmul::float_rows`

use super::activations::{FLOATS_PER_STEP, GROUP, words_of_group};
use super::simd::Simd;
use crate::quant::{BLOCK_BYTES, SUPER, WeightTile, WeightType};

/// The planes of one tile of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    tile: WeightTile<'a>,
    supers: usize,
}

impl<'a> Planes<'a> {
    /// Checks the lengths of the planes against the shape: the functions below read them without a check.
    pub fn new(tile: WeightTile<'a>) -> Self {
        let lengths = crate::quant::plane_bytes(tile.weight_type, tile.n as u32, tile.k as u32);
        let (blocks, scales) = lengths.expect("loaded weights have a shape that fits their type");
        assert!(tile.blocks.len() as u64 >= blocks && tile.scales.len() as u64 >= scales, "planes of a weight");
        Self { tile, supers: tile.k / GROUP * tile.n * 2 }
    }

    /// Returns a pointer to the blocks `kb` of the columns from `n` on.
    #[inline(always)]
    unsafe fn block(&self, kb: usize, n: usize) -> *const u8 {
        unsafe { self.tile.blocks.as_ptr().add((kb * self.tile.n + n) * BLOCK_BYTES as usize) }
    }

    #[inline(always)]
    unsafe fn scale(&self, group: usize, n: usize, bytes: usize) -> *const u8 {
        unsafe { self.tile.scales.as_ptr().add((group * self.tile.n + n) * bytes) }
    }

    #[inline(always)]
    unsafe fn super_scales<S: Simd>(&self, group: usize, n: usize) -> (S::F, S::F) {
        let at = self.supers + (group / (SUPER as usize / GROUP) * self.tile.n + n) * 4;
        unsafe { S::unpack_f16(S::load_words(self.tile.scales.as_ptr().add(at))) }
    }
}

/// The factors of the integer sums of `W` columns: `out += d · (low · Σ₀ + high · Σ₁) + minimum · d · Σx`.
#[derive(Clone, Copy)]
pub(super) struct Scales<S: Simd> {
    /// Scale of the first 16 values; of all 32, except for `q6_k`.
    pub low: S::F,
    /// Scale of the last 16 values.
    pub high: S::F,
    /// Addend per unit of the sum of `x`.
    pub minimum: S::F,
}

/// Codes of the weight types, as constants of generic functions.
pub(super) mod code {
    use crate::quant::WeightType;
    pub const F16: u32 = WeightType::F16 as u32;
    pub const F32: u32 = WeightType::F32 as u32;
    pub const Q8: u32 = WeightType::Q8 as u32;
    pub const Q4: u32 = WeightType::Q4 as u32;
    pub const Q4_1: u32 = WeightType::Q4_1 as u32;
    pub const Q5_1: u32 = WeightType::Q5_1 as u32;
    pub const Q4K: u32 = WeightType::Q4K as u32;
    pub const Q5K: u32 = WeightType::Q5K as u32;
    pub const Q6K: u32 = WeightType::Q6K as u32;
}

/// Returns the offset that a panel adds to every weight.
pub(super) const fn offset(kind: u32) -> i32 {
    match kind {
        code::Q4 => 8,
        code::Q6K => 32,
        code::Q8 => 128,
        _ => 0,
    }
}

/// Returns the number of bits of a weight in a panel.
pub(super) const fn bits_of(kind: u32) -> u32 {
    match kind {
        code::Q4 | code::Q4_1 | code::Q4K => 4,
        code::Q5_1 | code::Q5K => 5,
        code::Q6K => 6,
        _ => 8,
    }
}

/// Returns whether lanes are four bytes; else they are pairs of i16.
pub(super) const fn as_bytes<S: Simd>(kind: u32) -> bool {
    bits_of(kind) <= S::BYTE_BITS
}

/// Returns whether the type has minima.
pub(super) const fn has_minimum(kind: u32) -> bool {
    matches!(kind, code::Q4_1 | code::Q5_1 | code::Q4K | code::Q5K)
}

/// One group of `W` columns, in four quarters of four vectors. With bytes as lanes, the first two quarters are the
/// values 0 … 15 and 16 … 31, and the others are unused. With pairs as lanes, two quarters are 16 values.
pub(super) type Panel<S> = [[<S as Simd>::I; 4]; 4];

/// Returns group `g` of the columns `n .. n + W`.
///
/// # Safety
/// `g < K / 32`, `n + W ≤ N`.
#[inline(always)]
pub(super) unsafe fn integers<S: Simd, const KIND: u32>(w: &Planes, g: usize, n: usize) -> Panel<S> {
    unsafe {
        let unused = [S::splat_i(0); 4];
        if matches!(KIND, code::Q4 | code::Q4_1 | code::Q4K) {
            let w = S::words_of_blocks(w.block(g, n));
            if as_bytes::<S>(KIND) {
                return [bits::<S, 0>(&w, 0x0f0f_0f0f), bits::<S, 4>(&w, 0x0f0f_0f0f), unused, unused];
            }
            let [a, b] = pairs::<S, 0, 8>(&w, 0x000f_000f);
            let [c, d] = pairs::<S, 4, 12>(&w, 0x000f_000f);
            return [a, b, c, d];
        }
        // Flipping the top bit of a signed value and masking its sign extension adds the offset.
        let flip = S::splat_i(offset(KIND).wrapping_mul(0x0101_0101));
        let mask = (1 << bits_of(KIND)) - 1;
        let [a, b, c, d] = S::words_of_blocks(w.block(2 * g, n));
        let [e, f, g, h] = S::words_of_blocks(w.block(2 * g + 1, n));
        let low = [S::xor(a, flip), S::xor(b, flip), S::xor(c, flip), S::xor(d, flip)];
        let high = [S::xor(e, flip), S::xor(f, flip), S::xor(g, flip), S::xor(h, flip)];
        if as_bytes::<S>(KIND) {
            let mask = i32::from_le_bytes([mask as u8; 4]);
            return [bits::<S, 0>(&low, mask), bits::<S, 0>(&high, mask), unused, unused];
        }
        let [a, b] = pairs::<S, 0, 8>(&low, mask << 16 | mask);
        let [c, d] = pairs::<S, 0, 8>(&high, mask << 16 | mask);
        [a, b, c, d]
    }
}

/// Requests the memory that [`integers`] and [`scales`] read. What hardware requests by itself ends with a page of 4 KiB.
///
/// # Safety
/// As [`integers`].
#[inline(always)]
pub(super) unsafe fn request<S: Simd, const KIND: u32>(w: &Planes, g: usize, n: usize) {
    /// Bytes of a line of a cache.
    const LINE: usize = 64;
    let planes = if matches!(KIND, code::Q4 | code::Q4_1 | code::Q4K) { 1 } else { 2 };
    let scale = if matches!(KIND, code::Q4_1 | code::Q5_1) { 4 } else { 2 };
    unsafe {
        for plane in 0..planes {
            for line in (0..S::W * BLOCK_BYTES as usize).step_by(LINE) {
                S::prefetch(w.block(planes * g + plane, n).add(line));
            }
        }
        S::prefetch(w.scale(g, n, scale));
    }
}

/// Returns the bits of `mask`, after a shift to the right by `N`.
#[inline(always)]
unsafe fn bits<S: Simd, const N: u32>(w: &[S::I; 4], mask: i32) -> [S::I; 4] {
    unsafe {
        let mask = S::splat_i(mask);
        let [a, b, c, d] = *w;
        let (a, b) = (S::shift_right::<N>(a), S::shift_right::<N>(b));
        let (c, d) = (S::shift_right::<N>(c), S::shift_right::<N>(d));
        [S::and(a, mask), S::and(b, mask), S::and(c, mask), S::and(d, mask)]
    }
}

/// Returns bytes 0 and 2, then 1 and 3 of every lane as pairs: their bits of `mask`, after shifts by `EVEN` and `ODD`.
#[inline(always)]
unsafe fn pairs<S: Simd, const EVEN: u32, const ODD: u32>(w: &[S::I; 4], mask: i32) -> [[S::I; 4]; 2] {
    unsafe {
        let (even, odd) = (bits::<S, EVEN>(w, mask), bits::<S, ODD>(w, mask));
        [[even[0], odd[0], even[1], odd[1]], [even[2], odd[2], even[3], odd[3]]]
    }
}

/// Adds the products of four vectors of a panel with four words of each of `R` rows.
#[inline(always)]
unsafe fn dot4<S: Simd, const KIND: u32, const R: usize>(acc: &mut [S::I; R], w: &[S::I; 4], x: *const i32) {
    unsafe {
        let width = words_of_group(as_bytes::<S>(KIND));
        for j in 0..4 {
            for r in 0..R {
                let x = *x.add(r * width + j);
                acc[r] =
                    if as_bytes::<S>(KIND) { S::dot_bytes(acc[r], w[j], x) } else { S::dot_pairs(acc[r], w[j], x) };
            }
        }
    }
}

/// Adds the products of 16 values of a group to `acc`: of the first (`part` 0) or the last (`part` 1). `x` points to
/// the group of the first of `R` rows, whose groups are adjacent.
///
/// # Safety
/// `x` has [`words_of_group`] words of every row.
#[inline(always)]
pub(super) unsafe fn dot_16<S: Simd, const KIND: u32, const R: usize>(
    acc: &mut [S::I; R],
    w: &Panel<S>,
    x: *const i32,
    part: usize,
) {
    unsafe {
        if as_bytes::<S>(KIND) {
            dot4::<S, KIND, R>(acc, &w[part], x.add(4 * part));
        } else {
            dot4::<S, KIND, R>(acc, &w[2 * part], x.add(8 * part));
            dot4::<S, KIND, R>(acc, &w[2 * part + 1], x.add(8 * part + 4));
        }
    }
}

/// Returns the scales of group `g` of the columns `n .. n + W`.
///
/// # Safety
/// As [`integers`].
#[inline(always)]
pub(super) unsafe fn scales<S: Simd, const KIND: u32>(w: &Planes, g: usize, n: usize) -> Scales<S> {
    unsafe {
        let zero = S::splat(0.0);
        match KIND {
            code::Q4 | code::Q8 => {
                let d = S::load_f16(w.scale(g, n, 2).cast());
                Scales { low: d, high: d, minimum: zero }
            }
            code::Q4_1 | code::Q5_1 => {
                let (d, m) = S::unpack_f16(S::load_words(w.scale(g, n, 4)));
                Scales { low: d, high: d, minimum: m }
            }
            code::Q6K => {
                let (both, (d, _)) = (S::load_u16(w.scale(g, n, 2)), w.super_scales::<S>(g, n));
                let low = S::mul(d, signed_byte::<S>(both));
                Scales { low, high: S::mul(d, signed_byte::<S>(S::shift_right::<8>(both))), minimum: zero }
            }
            _ => {
                let (both, (d, dmin)) = (S::load_u16(w.scale(g, n, 2)), w.super_scales::<S>(g, n));
                let d = S::mul(d, S::to_f32(S::and(both, S::splat_i(255))));
                let minimum = S::mul(dmin, S::to_f32(S::shift_right::<8>(both)));
                Scales { low: d, high: d, minimum: S::sub(zero, minimum) }
            }
        }
    }
}

/// Returns the low byte of every lane, as a signed byte: the unsigned one with its top bit flipped, less 128.
#[inline(always)]
unsafe fn signed_byte<S: Simd>(bits: S::I) -> S::F {
    unsafe {
        let flipped = S::xor(S::and(bits, S::splat_i(255)), S::splat_i(128));
        S::sub(S::to_f32(flipped), S::splat(128.0))
    }
}

/// Returns the values `8 step ..` of the columns `n .. n + W` of f16 or f32 weights; zeros after the end of a column.
///
/// # Safety
/// `step < ⌈K / 8⌉`, `n + W ≤ N`.
#[inline(always)]
pub(super) unsafe fn floats<S: Simd, const KIND: u32>(w: &Planes, step: usize, n: usize) -> [S::F; FLOATS_PER_STEP] {
    unsafe {
        if KIND == code::F16 {
            let [a, b, c, d] = S::words_of_blocks(w.block(step, n));
            let (a, b, c, d) = (S::unpack_f16(a), S::unpack_f16(b), S::unpack_f16(c), S::unpack_f16(d));
            return [a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1];
        }
        let [a, b, c, d] = S::words_of_blocks(w.block(2 * step, n));
        let zero = S::splat_i(0);
        let mut rest = [zero; 4];
        if 2 * step + 1 < w.tile.k / WeightType::F32.block_values() as usize {
            rest = S::words_of_blocks(w.block(2 * step + 1, n));
        }
        let [e, f, g, h] = rest;
        let first = [S::as_f32(a), S::as_f32(b), S::as_f32(c), S::as_f32(d)];
        [first[0], first[1], first[2], first[3], S::as_f32(e), S::as_f32(f), S::as_f32(g), S::as_f32(h)]
    }
}
