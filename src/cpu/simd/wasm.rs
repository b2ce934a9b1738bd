//! Four lanes of WebAssembly SIMD.

use super::Simd;
use core::arch::wasm32::*;

/// Whether this build uses relaxed instructions, which not every browser has.
const RELAXED: bool = cfg!(target_feature = "relaxed-simd");
pub(crate) const NAME: &str = if RELAXED { "WebAssembly relaxed SIMD" } else { "WebAssembly SIMD" };

#[derive(Debug, Clone, Copy)]
pub(crate) struct Simd128;

/// Converts the f16 in the low 16 bits to f32: exponent and mantissa move into place, and a multiplication by 2¹¹²
/// corrects the bias and normalises subnormals.
#[inline(always)]
fn f32_of_f16(bits: v128) -> v128 {
    let magnitude = i32x4_shl(v128_and(bits, i32x4_splat(0x7fff)), 13);
    let sign = i32x4_shl(v128_and(bits, i32x4_splat(0x8000)), 16);
    v128_or(f32x4_mul(magnitude, f32x4_splat(f32::from_bits(0x7780_0000))), sign)
}

impl Simd for Simd128 {
    type F = v128;
    type I = v128;
    const W: usize = 4;
    const BYTE_BITS: u32 = if RELAXED { 7 } else { 0 };
    const MICRO_KERNEL: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: v128) {
        unsafe { v128_store(to.cast(), x) }
    }
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: v128, b: v128) -> v128 {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    unsafe fn min(a: v128, b: v128) -> v128 {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }
    #[inline(always)]
    unsafe fn sum(x: v128) -> f32 {
        let pairs = f32x4_add(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
        f32x4_extract_lane::<0>(pairs) + f32x4_extract_lane::<1>(pairs)
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> v128 {
        f32_of_f16(unsafe { u32x4_load_extend_u16x4(from) })
    }

    #[inline(always)]
    unsafe fn splat_i(x: i32) -> v128 {
        i32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn and(a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }
    #[inline(always)]
    unsafe fn xor(a: v128, b: v128) -> v128 {
        v128_xor(a, b)
    }
    #[inline(always)]
    unsafe fn add_i(a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(x: v128) -> v128 {
        i32x4_shl(x, N)
    }
    #[inline(always)]
    unsafe fn shift_right<const N: u32>(x: v128) -> v128 {
        u32x4_shr(x, N)
    }
    #[inline(always)]
    unsafe fn to_f32(x: v128) -> v128 {
        f32x4_convert_i32x4(x)
    }
    #[inline(always)]
    unsafe fn nearest(x: v128) -> v128 {
        i32x4_trunc_sat_f32x4(f32x4_nearest(x))
    }
    #[inline(always)]
    unsafe fn store_i(to: *mut i32, x: v128) {
        unsafe { v128_store(to.cast(), x) }
    }
    #[inline(always)]
    unsafe fn as_f32(x: v128) -> v128 {
        x
    }
    #[inline(always)]
    unsafe fn unpack_f16(x: v128) -> (v128, v128) {
        (f32_of_f16(x), f32_of_f16(u32x4_shr(x, 16)))
    }
    #[inline(always)]
    unsafe fn words_of_blocks(from: *const u8) -> [v128; 4] {
        let from = from.cast::<v128>();
        let (a, b) = unsafe { (v128_load(from), v128_load(from.add(1))) };
        let (c, d) = unsafe { (v128_load(from.add(2)), v128_load(from.add(3))) };
        let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
        let (ab2, cd2) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            i64x2_shuffle::<0, 2>(ab, cd),
            i64x2_shuffle::<1, 3>(ab, cd),
            i64x2_shuffle::<0, 2>(ab2, cd2),
            i64x2_shuffle::<1, 3>(ab2, cd2),
        ]
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u8) -> v128 {
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u8) -> v128 {
        unsafe { u32x4_load_extend_u16x4(from.cast()) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(acc: v128, w: v128, x: i32) -> v128 {
        i32x4_add(acc, i32x4_dot_i16x8(w, i32x4_splat(x)))
    }
    /// The same on all machines for weights of 7 bits.
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn dot_bytes(acc: v128, w: v128, x: i32) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(i32x4_splat(x), w, acc)
    }
}
