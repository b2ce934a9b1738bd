//! Four lanes in plain Rust, for machines without vector instructions of the other levels.

use super::Simd;
use half::f16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// An expression for every lane. (A closure would not be inlined everywhere.)
macro_rules! lanes {
    ($a:ident in $x:expr => $value:expr) => {{
        let x = $x;
        [
            {
                let $a = x[0];
                $value
            },
            {
                let $a = x[1];
                $value
            },
            {
                let $a = x[2];
                $value
            },
            {
                let $a = x[3];
                $value
            },
        ]
    }};
}

impl Simd for Portable {
    type F = [f32; 4];
    type I = [i32; 4];
    const W: usize = 4;
    const BYTE_BITS: u32 = 0;
    const MICRO_KERNEL: bool = true;

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
        lanes!(i in [0, 1, 2, 3] => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn sum(x: [f32; 4]) -> f32 {
        (x[0] + x[1]) + (x[2] + x[3])
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> [f32; 4] {
        let bits: [u16; 4] = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        lanes!(bits in bits => f16::from_bits(bits).to_f32_const())
    }

    #[inline(always)]
    unsafe fn splat_i(x: i32) -> [i32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn and(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn xor(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i] ^ b[i])
    }
    #[inline(always)]
    unsafe fn add_i(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        lanes!(i in [0, 1, 2, 3] => a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(x: [i32; 4]) -> [i32; 4] {
        lanes!(x in x => x << N)
    }
    #[inline(always)]
    unsafe fn shift_right<const N: u32>(x: [i32; 4]) -> [i32; 4] {
        lanes!(x in x => ((x as u32) >> N) as i32)
    }
    #[inline(always)]
    unsafe fn to_f32(x: [i32; 4]) -> [f32; 4] {
        lanes!(x in x => x as f32)
    }
    #[inline(always)]
    unsafe fn nearest(x: [f32; 4]) -> [i32; 4] {
        lanes!(x in x => x.round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn store_i(to: *mut i32, x: [i32; 4]) {
        unsafe { to.cast::<[i32; 4]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn as_f32(x: [i32; 4]) -> [f32; 4] {
        lanes!(x in x => f32::from_bits(x as u32))
    }
    #[inline(always)]
    unsafe fn unpack_f16(x: [i32; 4]) -> ([f32; 4], [f32; 4]) {
        let low = lanes!(x in x => f16::from_bits(x as u16).to_f32_const());
        (low, lanes!(x in x => f16::from_bits((x >> 16) as u16).to_f32_const()))
    }
    #[inline(always)]
    unsafe fn words_of_blocks(from: *const u8) -> [[i32; 4]; 4] {
        let blocks: [[i32; 4]; 4] = unsafe { from.cast::<[[i32; 4]; 4]>().read_unaligned() };
        lanes!(j in [0, 1, 2, 3] => lanes!(block in blocks => block[j]))
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u8) -> [i32; 4] {
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u8) -> [i32; 4] {
        let words: [u16; 4] = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        lanes!(x in words => i32::from(x))
    }
    #[inline(always)]
    unsafe fn dot_pairs(acc: [i32; 4], w: [i32; 4], x: i32) -> [i32; 4] {
        lanes!(i in [0, 1, 2, 3] => {
            let (low, high) = (i32::from(w[i] as i16) * i32::from(x as i16), (w[i] >> 16) * (x >> 16));
            acc[i] + low + high
        })
    }
}
