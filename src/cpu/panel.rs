//! Weights as a mat-mul multiplies them: a *panel* holds one step of `W` neighbouring columns, the same values of
//! every column in one vector.
//!
//! A 16-byte block belongs to one column. Transposing the words of `W` blocks gives four vectors whose lanes are
//! columns; their nibbles or bytes are then four (or, as pairs, two) values per lane. All integers become unsigned:
//! what was added to them is taken off the sum again ([`offset`]), exactly.
#![allow(unsafe_code)] // SIMD; see `simd`

use super::activations::{FLOATS, GROUP};
use super::simd::Simd;
use crate::quant::{BLOCK_BYTES, SUPER, Tile, WeightType};

/// The planes of one tile of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    tile: Tile<'a>,
    supers: usize,
}

impl<'a> Planes<'a> {
    /// Checks that the planes are as long as the shape says: everything below reads them without asking.
    pub fn new(tile: Tile<'a>) -> Self {
        let lengths = crate::quant::plane_bytes(tile.weight_type, tile.n as u32, tile.k as u32);
        let (blocks, scales) = lengths.expect("loaded weights have a shape that fits their type");
        assert!(tile.blocks.len() as u64 >= blocks && tile.scales.len() as u64 >= scales, "planes of a weight");
        Self { tile, supers: tile.k / GROUP * tile.n * 2 }
    }

    /// Pointer to the blocks `kb` of the columns from `n` on.
    #[inline(always)]
    unsafe fn block(&self, kb: usize, n: usize) -> *const u8 {
        unsafe { self.tile.blocks.as_ptr().add((kb * self.tile.n + n) * BLOCK_BYTES as usize) }
    }

    #[inline(always)]
    unsafe fn scale(&self, group: usize, n: usize, bytes: usize) -> *const u8 {
        unsafe { self.tile.scales.as_ptr().add((group * self.tile.n + n) * bytes) }
    }

    #[inline(always)]
    unsafe fn super_halves<S: Simd>(&self, group: usize, n: usize) -> (S::F, S::F) {
        let at = self.supers + (group / (SUPER as usize / GROUP) * self.tile.n + n) * 4;
        unsafe { S::halves(S::load_words(self.tile.scales.as_ptr().add(at))) }
    }
}

/// What multiplies the integer sums of `W` columns: `out += d · (low · Σ₀ + high · Σ₁) + minimum · d · Σx`.
pub(super) struct Scales<S: Simd> {
    /// Of the first 16 values; of all 32, except for `q6_k`.
    pub low: S::F,
    /// Of the others.
    pub high: S::F,
    /// What a group adds per unit of `x`.
    pub minimum: S::F,
}

/// Integer types, as constants of generic functions.
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

/// What the panel has added to every weight.
pub(super) const fn offset(kind: u32) -> i32 {
    match kind {
        code::Q4 => 8,
        code::Q8 | code::Q6K => 128,
        _ => 0,
    }
}

/// Whether the type has minima.
pub(super) const fn has_minimum(kind: u32) -> bool {
    matches!(kind, code::Q4_1 | code::Q5_1 | code::Q4K | code::Q5K)
}

/// Group `g` of the columns `n .. n + W`: the first 8 vectors if lanes are bytes, 16 if they are pairs.
///
/// # Safety
/// `g < K / 32`, `n + W ≤ N`.
#[inline(always)]
pub(super) unsafe fn integers<S: Simd, const KIND: u32>(w: &Planes, g: usize, n: usize) -> [S::I; 16] {
    unsafe {
        let mut panel = [S::splat_i(0); 16];
        if matches!(KIND, code::Q4 | code::Q4_1 | code::Q4K) {
            let words = S::words_of_blocks(w.block(g, n));
            for (j, word) in words.into_iter().enumerate() {
                if S::BYTES {
                    let mask = S::splat_i(0x0f0f_0f0f);
                    panel[j] = S::and(word, mask);
                    panel[j + 4] = S::and(S::shift_right::<4>(word), mask);
                } else {
                    let mask = S::splat_i(0x000f_000f);
                    panel[2 * j] = S::and(word, mask);
                    panel[2 * j + 1] = S::and(S::shift_right::<8>(word), mask);
                    panel[2 * j + 8] = S::and(S::shift_right::<4>(word), mask);
                    panel[2 * j + 9] = S::and(S::shift_right::<12>(word), mask);
                }
            }
            return panel;
        }
        let signed = offset(KIND) == 128;
        for half in 0..2 {
            let words = S::words_of_blocks(w.block(2 * g + half, n));
            for (j, word) in words.into_iter().enumerate() {
                let word = if signed { S::xor(word, S::splat_i(0x8080_8080u32 as i32)) } else { word };
                if S::BYTES {
                    panel[4 * half + j] = word;
                } else {
                    let mask = S::splat_i(0x00ff_00ff);
                    panel[8 * half + 2 * j] = S::and(word, mask);
                    panel[8 * half + 2 * j + 1] = S::and(S::shift_right::<8>(word), mask);
                }
            }
        }
        panel
    }
}

/// The scales of group `g` of the columns `n .. n + W`.
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
                let (d, m) = S::halves(S::load_words(w.scale(g, n, 4)));
                Scales { low: d, high: d, minimum: m }
            }
            code::Q6K => {
                let (both, (d, _)) = (S::load_u16(w.scale(g, n, 2)), w.super_halves::<S>(g, n));
                // A signed byte is the unsigned one with its top bit turned, less 128.
                let signed = |bits: S::I| {
                    let turned = S::xor(S::and(bits, S::splat_i(255)), S::splat_i(128));
                    S::mul(d, S::sub(S::to_f32(turned), S::splat(128.0)))
                };
                Scales { low: signed(both), high: signed(S::shift_right::<8>(both)), minimum: zero }
            }
            _ => {
                let (both, (d, dmin)) = (S::load_u16(w.scale(g, n, 2)), w.super_halves::<S>(g, n));
                let d = S::mul(d, S::to_f32(S::and(both, S::splat_i(255))));
                let minimum = S::mul(dmin, S::to_f32(S::shift_right::<8>(both)));
                Scales { low: d, high: d, minimum: S::sub(zero, minimum) }
            }
        }
    }
}

/// Values `8 step ..` of the columns `n .. n + W` of f16 or f32 weights; zeros after the end of a column.
///
/// # Safety
/// `step < ⌈K / 8⌉`, `n + W ≤ N`.
#[inline(always)]
pub(super) unsafe fn floats<S: Simd, const KIND: u32>(w: &Planes, step: usize, n: usize) -> [S::F; FLOATS] {
    unsafe {
        let mut panel = [S::splat(0.0); FLOATS];
        if KIND == code::F16 {
            for (j, word) in S::words_of_blocks(w.block(step, n)).into_iter().enumerate() {
                (panel[2 * j], panel[2 * j + 1]) = S::halves(word);
            }
            return panel;
        }
        for half in 0..2 {
            if 2 * step + half < w.tile.k / WeightType::F32.block_values() as usize {
                for (j, word) in S::words_of_blocks(w.block(2 * step + half, n)).into_iter().enumerate() {
                    panel[4 * half + j] = S::as_f32(word);
                }
            }
        }
        panel
    }
}
