//! Four lanes in plain Rust, for machines without the others.

use super::Simd;
use half::f16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip<T: Copy, U: Copy, V>(a: [T; 4], b: [U; 4], f: impl Fn(T, U) -> V) -> [V; 4] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type F = [f32; 4];
    type I = [i32; 4];
    const W: usize = 4;
    const BYTES: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: [f32; 4]) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn sum(x: [f32; 4]) -> f32 {
        (x[0] + x[1]) + (x[2] + x[3])
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> [f32; 4] {
        let bits: [u16; 4] = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        bits.map(|bits| f16::from_bits(bits).to_f32_const())
    }

    #[inline(always)]
    unsafe fn splat_i(x: i32) -> [i32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn and(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    unsafe fn xor(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    unsafe fn add_i(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(x: [i32; 4]) -> [i32; 4] {
        x.map(|x| x << N)
    }
    #[inline(always)]
    unsafe fn shift_right<const N: u32>(x: [i32; 4]) -> [i32; 4] {
        x.map(|x| ((x as u32) >> N) as i32)
    }
    #[inline(always)]
    unsafe fn to_f32(x: [i32; 4]) -> [f32; 4] {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn nearest(x: [f32; 4]) -> [i32; 4] {
        x.map(|x| x.round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn store_i(to: *mut i32, x: [i32; 4]) {
        unsafe { to.cast::<[i32; 4]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn as_f32(x: [i32; 4]) -> [f32; 4] {
        x.map(|x| f32::from_bits(x as u32))
    }
    #[inline(always)]
    unsafe fn halves(x: [i32; 4]) -> ([f32; 4], [f32; 4]) {
        let half = |bits: i32| f16::from_bits(bits as u16).to_f32_const();
        (x.map(half), x.map(|x| half(x >> 16)))
    }
    #[inline(always)]
    unsafe fn words_of_blocks(from: *const u8) -> [[i32; 4]; 4] {
        let blocks: [[i32; 4]; 4] = unsafe { from.cast::<[[i32; 4]; 4]>().read_unaligned() };
        std::array::from_fn(|word| blocks.map(|block| block[word]))
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u8) -> [i32; 4] {
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u8) -> [i32; 4] {
        let words: [u16; 4] = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        words.map(i32::from)
    }
    #[inline(always)]
    unsafe fn dot(acc: [i32; 4], w: [i32; 4], x: i32) -> [i32; 4] {
        let product = |w: i32| i32::from(w as i16) * i32::from(x as i16) + (w >> 16) * (x >> 16);
        zip(acc, w, |acc, w| acc + product(w))
    }
}
