//! AVX-512 with VNNI, and AVX2 with FMA and F16C.

use super::{Job, Level, Simd};
use core::arch::x86_64::*;

/// Returns the levels of this processor, the fastest first.
pub(crate) fn available() -> Vec<Level> {
    let mut levels = Vec::new();
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    if avx2 && avx512 {
        levels.push(Level::Avx512);
    }
    if avx2 {
        levels.push(Level::Avx2);
    }
    levels
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn run_avx512(job: impl Job) {
    unsafe { job.run::<Avx512>() }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn run_avx2(job: impl Job) {
    unsafe { job.run::<Avx2>() }
}

/// Defines operations that are one intrinsic.
macro_rules! same {
    ($($name:ident: $intrinsic:ident($($operand:ident: $t:ty),*) -> $out:ty,)*) => {
        $(#[inline(always)]
        unsafe fn $name($($operand: $t),*) -> $out {
            unsafe { $intrinsic($($operand),*) }
        })*
    };
}

/// 16 lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    const W: usize = 16;
    const BYTE_BITS: u32 = 8;
    const MICRO_KERNEL: bool = false;
    const PREFETCHES: bool = true;

    same! {
        splat: _mm512_set1_ps(x: f32) -> __m512,
        load: _mm512_loadu_ps(from: *const f32) -> __m512,
        add: _mm512_add_ps(a: __m512, b: __m512) -> __m512,
        sub: _mm512_sub_ps(a: __m512, b: __m512) -> __m512,
        mul: _mm512_mul_ps(a: __m512, b: __m512) -> __m512,
        div: _mm512_div_ps(a: __m512, b: __m512) -> __m512,
        max: _mm512_max_ps(a: __m512, b: __m512) -> __m512,
        min: _mm512_min_ps(a: __m512, b: __m512) -> __m512,
        mul_add: _mm512_fmadd_ps(a: __m512, b: __m512, c: __m512) -> __m512,
        splat_i: _mm512_set1_epi32(x: i32) -> __m512i,
        and: _mm512_and_si512(a: __m512i, b: __m512i) -> __m512i,
        xor: _mm512_xor_si512(a: __m512i, b: __m512i) -> __m512i,
        add_i: _mm512_add_epi32(a: __m512i, b: __m512i) -> __m512i,
        to_f32: _mm512_cvtepi32_ps(x: __m512i) -> __m512,
        nearest: _mm512_cvtps_epi32(x: __m512) -> __m512i,
        as_f32: _mm512_castsi512_ps(x: __m512i) -> __m512,
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(x: __m512i) -> __m512i {
        unsafe { _mm512_slli_epi32::<N>(x) }
    }
    #[inline(always)]
    unsafe fn shift_right<const N: u32>(x: __m512i) -> __m512i {
        unsafe { _mm512_srli_epi32::<N>(x) }
    }
    #[inline(always)]
    unsafe fn store_i(to: *mut i32, x: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), x) }
    }
    #[inline(always)]
    unsafe fn unpack_f16(x: __m512i) -> (__m512, __m512) {
        unsafe {
            let low = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
            (low, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(x))))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[inline(always)]
    unsafe fn words_of_blocks(from: *const u8) -> [__m512i; 4] {
        unsafe {
            let (a, b) = (_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(64).cast()));
            let (c, d) = (_mm512_loadu_si512(from.add(128).cast()), _mm512_loadu_si512(from.add(192).cast()));
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            let (ab2, cd2) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            // Each 128 bits now hold blocks i, i + 4, i + 8, i + 12.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            [
                _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(ab, cd)),
                _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(ab, cd)),
                _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(ab2, cd2)),
                _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(ab2, cd2)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u8) -> __m512i {
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(acc: __m512i, w: __m512i, x: i32) -> __m512i {
        unsafe { _mm512_dpwssd_epi32(acc, w, _mm512_set1_epi32(x)) }
    }
    #[inline(always)]
    unsafe fn dot_bytes(acc: __m512i, w: __m512i, x: i32) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(x)) }
    }
}

/// 8 lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    const W: usize = 8;
    const BYTE_BITS: u32 = 7;
    const MICRO_KERNEL: bool = false;
    const PREFETCHES: bool = true;

    same! {
        splat: _mm256_set1_ps(x: f32) -> __m256,
        load: _mm256_loadu_ps(from: *const f32) -> __m256,
        add: _mm256_add_ps(a: __m256, b: __m256) -> __m256,
        sub: _mm256_sub_ps(a: __m256, b: __m256) -> __m256,
        mul: _mm256_mul_ps(a: __m256, b: __m256) -> __m256,
        div: _mm256_div_ps(a: __m256, b: __m256) -> __m256,
        max: _mm256_max_ps(a: __m256, b: __m256) -> __m256,
        min: _mm256_min_ps(a: __m256, b: __m256) -> __m256,
        mul_add: _mm256_fmadd_ps(a: __m256, b: __m256, c: __m256) -> __m256,
        splat_i: _mm256_set1_epi32(x: i32) -> __m256i,
        and: _mm256_and_si256(a: __m256i, b: __m256i) -> __m256i,
        xor: _mm256_xor_si256(a: __m256i, b: __m256i) -> __m256i,
        add_i: _mm256_add_epi32(a: __m256i, b: __m256i) -> __m256i,
        to_f32: _mm256_cvtepi32_ps(x: __m256i) -> __m256,
        nearest: _mm256_cvtps_epi32(x: __m256) -> __m256i,
        as_f32: _mm256_castsi256_ps(x: __m256i) -> __m256,
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m256) {
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn sum(x: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(x: __m256i) -> __m256i {
        unsafe { _mm256_sll_epi32(x, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    unsafe fn shift_right<const N: u32>(x: __m256i) -> __m256i {
        unsafe { _mm256_srl_epi32(x, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    unsafe fn store_i(to: *mut i32, x: __m256i) {
        unsafe { _mm256_storeu_si256(to.cast(), x) }
    }
    #[inline(always)]
    unsafe fn unpack_f16(x: __m256i) -> (__m256, __m256) {
        unsafe {
            let low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
            let packed = _mm256_packus_epi32(low, _mm256_srli_epi32::<16>(x));
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            let high = _mm256_extracti128_si256::<1>(ordered);
            (_mm256_cvtph_ps(_mm256_castsi256_si128(ordered)), _mm256_cvtph_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[inline(always)]
    unsafe fn words_of_blocks(from: *const u8) -> [__m256i; 4] {
        unsafe {
            // Blocks i and i + 4 in the two halves of a vector: transposing each half then gives them in order.
            let a = _mm256_loadu2_m128i(from.add(64).cast(), from.cast());
            let b = _mm256_loadu2_m128i(from.add(80).cast(), from.add(16).cast());
            let c = _mm256_loadu2_m128i(from.add(96).cast(), from.add(32).cast());
            let d = _mm256_loadu2_m128i(from.add(112).cast(), from.add(48).cast());
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ab2, cd2) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(ab, cd),
                _mm256_unpackhi_epi64(ab, cd),
                _mm256_unpacklo_epi64(ab2, cd2),
                _mm256_unpackhi_epi64(ab2, cd2),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u8) -> __m256i {
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn dot_pairs(acc: __m256i, w: __m256i, x: i32) -> __m256i {
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(w, _mm256_set1_epi32(x))) }
    }
    #[inline(always)]
    unsafe fn dot_bytes(acc: __m256i, w: __m256i, x: i32) -> __m256i {
        unsafe {
            // Sums of two products saturate as i16: those of weights of 7 bits fit.
            let pairs = _mm256_maddubs_epi16(w, _mm256_set1_epi32(x));
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}
