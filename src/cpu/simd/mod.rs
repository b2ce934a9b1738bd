//! Vectors: the operations that AVX-512, AVX2, WebAssembly and plain Rust have in common. Every fast kernel is written
//! once in terms of them.
//!
//! A kernel is a [`Job`], generic over a [`Simd`]; [`Level::run`] compiles it once for every level that the target
//! may have, and calls the one of the chosen level. Every function between that call and an intrinsic must be inlined,
//! or the compiler could not use the instructions: hence `#[inline(always)]`, and no closures, which cannot have it.
#![allow(unsafe_code)] // intrinsics and pointers: bounds are checked once, where a kernel begins

#[cfg(not(target_arch = "wasm32"))]
mod portable;
#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A kernel with its operands.
pub(crate) trait Job {
    /// Runs the kernel.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; further conditions are stated at the job.
    unsafe fn run<S: Simd>(self);
}

/// The instructions that kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// 16 lanes, four byte products per lane and instruction (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 lanes, in WebAssembly.
    #[cfg(target_arch = "wasm32")]
    Simd128,
    /// 4 lanes in plain Rust. (Not in the browser's build, where it would never run.)
    #[cfg(not(target_arch = "wasm32"))]
    Portable,
}

impl Level {
    /// Returns the levels of this machine, the fastest first.
    #[allow(clippy::vec_init_then_push)] // the levels depend on the target
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        levels.extend(x86::available());
        #[cfg(target_arch = "wasm32")]
        levels.push(Self::Simd128);
        #[cfg(not(target_arch = "wasm32"))]
        levels.push(Self::Portable);
        levels
    }

    /// Returns the fastest level of this machine.
    pub(crate) fn best() -> Self {
        Self::available()[0]
    }

    /// Returns the name of the level, for reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "wasm32")]
            Self::Simd128 => wasm::NAME,
            #[cfg(not(target_arch = "wasm32"))]
            Self::Portable => "no SIMD",
        }
    }

    /// Runs a kernel with the instructions of this level.
    ///
    /// # Safety
    /// Those of the job. Levels come from [`available`](Self::available), so the machine has the instructions.
    pub(crate) unsafe fn run(self, job: impl Job) {
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => x86::run_avx512(job),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => x86::run_avx2(job),
                #[cfg(target_arch = "wasm32")]
                Self::Simd128 => job.run::<wasm::Simd128>(),
                #[cfg(not(target_arch = "wasm32"))]
                Self::Portable => job.run::<portable::Portable>(),
            }
        }
    }
}

/// Vectors of [`W`](Self::W) 32-bit lanes.
///
/// # Safety
/// Every function needs the instructions of its level; those with pointers need `W` elements behind them (alignment
/// does not matter).
#[allow(clippy::missing_safety_doc)] // stated once, above
pub(crate) trait Simd: Copy + 'static {
    /// Lanes of f32.
    type F: Copy;
    /// Lanes of i32.
    type I: Copy;
    /// Lanes; at most [`MAX_LANES`].
    const W: usize;
    /// Bits of the weights that [`dot_bytes`](Self::dot_bytes) takes; 0 where there is no such product.
    const BYTE_BITS: u32;
    /// Whether mat-muls of several rows use the [micro-kernel](super::micro_kernel).
    const MICRO_KERNEL: bool;
    /// Whether [`prefetch`](Self::prefetch) does something.
    const PREFETCHES: bool = false;

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(from: *const f32) -> Self::F;
    unsafe fn store(to: *mut f32, x: Self::F);
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, with one rounding or two.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Returns the sum of the lanes.
    unsafe fn sum(x: Self::F) -> f32;
    /// Loads `W` values of type f16. They must be finite.
    unsafe fn load_f16(from: *const u16) -> Self::F;

    unsafe fn splat_i(x: i32) -> Self::I;
    unsafe fn and(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn xor(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn add_i(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn shift_left<const N: u32>(x: Self::I) -> Self::I;
    /// Shifts zeros in.
    unsafe fn shift_right<const N: u32>(x: Self::I) -> Self::I;
    unsafe fn to_f32(x: Self::I) -> Self::F;
    /// Rounds to the nearest integer; values are small.
    unsafe fn nearest(x: Self::F) -> Self::I;
    unsafe fn store_i(to: *mut i32, x: Self::I);
    /// Reinterprets the bits.
    unsafe fn as_f32(x: Self::I) -> Self::F;
    /// Unpacks two f16 per lane: those in the low, and those in the high 16 bits.
    unsafe fn unpack_f16(x: Self::I) -> (Self::F, Self::F);
    /// Requests a line for the second-level cache. The address need not be one of the program's.
    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}
    /// Loads `W` consecutive 16-byte blocks and returns their words `j`, for each of the four `j`.
    unsafe fn words_of_blocks(from: *const u8) -> [Self::I; 4];
    /// Loads `W` consecutive entries of 4 bytes.
    unsafe fn load_words(from: *const u8) -> Self::I;
    /// Loads `W` consecutive entries of 2 bytes, zero-extended.
    unsafe fn load_u16(from: *const u8) -> Self::I;
    /// `acc + w · x` in every lane, over the lane's two i16; `x` is the same in all lanes.
    unsafe fn dot_pairs(acc: Self::I, w: Self::I, x: i32) -> Self::I;
    /// The same over the lane's four bytes: of weights unsigned, of [`BYTE_BITS`](Self::BYTE_BITS) bits at most; of
    /// activations signed, −127 at least. Exact.
    unsafe fn dot_bytes(_acc: Self::I, _w: Self::I, _x: i32) -> Self::I {
        unreachable!("this level has no product of bytes")
    }
}

/// Maximum number of lanes of a level.
pub(crate) const MAX_LANES: usize = 16;

/// Computes `eˣ` to about 2 ULP between −87 and 88; constant outside.
///
/// `2ⁿ · p(r)` with `n = round(x / ln 2)`, `|r| ≤ ln 2 / 2`, the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    unsafe {
        let x = S::min(S::max(x, S::splat(-87.0)), S::splat(88.0));
        let n = S::nearest(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let whole = S::to_f32(n);
        let r = S::mul_add(whole, S::splat(-0.693_359_4), x);
        let r = S::mul_add(whole, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::mul_add(p, r, S::splat(c));
        }
        let p = S::add(S::mul_add(S::mul(r, r), p, r), S::splat(1.0));
        S::mul(p, S::as_f32(S::shift_left::<23>(S::add_i(n, S::splat_i(127)))))
    }
}

/// Loads fewer than `W` values, followed by zeros.
#[inline(always)]
pub(crate) unsafe fn load_part<S: Simd>(from: &[f32]) -> S::F {
    let mut lanes = [0f32; MAX_LANES];
    lanes[..from.len()].copy_from_slice(from);
    unsafe { S::load(lanes.as_ptr()) }
}

/// Stores the first lanes of a vector, one per element of `to`.
#[inline(always)]
pub(crate) unsafe fn store_part<S: Simd>(to: &mut [f32], x: S::F) {
    let mut lanes = [0f32; MAX_LANES];
    unsafe { S::store(lanes.as_mut_ptr(), x) };
    to.copy_from_slice(&lanes[..to.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f32], &'a mut Vec<f32>);
    impl Job for Exp<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            for x in self.0 {
                let mut lanes = [0f32; MAX_LANES];
                unsafe { S::store(lanes.as_mut_ptr(), exp::<S>(S::splat(*x))) };
                self.1.push(lanes[S::W - 1]);
            }
        }
    }

    #[test]
    fn exp_is_exp() {
        let x: Vec<f32> = (-8600..8700).map(|i| i as f32 / 100.0 + 0.003).collect();
        for level in Level::available() {
            let mut got = Vec::new();
            unsafe { level.run(Exp(&x, &mut got)) };
            for (x, got) in x.iter().zip(got) {
                let wanted = f64::from(*x).exp();
                assert!((f64::from(got) / wanted - 1.0).abs() < 3e-7, "{level:?}: exp({x}) = {got}");
            }
        }
    }

    struct Integers<'a>(&'a [u8], &'a mut Vec<f32>);
    impl Job for Integers<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let mut lanes = [0f32; MAX_LANES];
            unsafe {
                for vector in S::words_of_blocks(self.0.as_ptr()) {
                    let low_byte = S::and(vector, S::splat_i(255));
                    S::store(lanes.as_mut_ptr(), S::to_f32(low_byte));
                    self.1.extend(&lanes[..S::W]);
                }
                S::store(lanes.as_mut_ptr(), S::load_f16([0x3c00u16, 0xc000, 0x0001, 0x7bff].repeat(4).as_ptr()));
                self.1.extend(&lanes[..4]);
                for unpacked in <[S::F; 2]>::from(S::unpack_f16(S::splat_i(0xc000_0001u32 as i32))) {
                    S::store(lanes.as_mut_ptr(), unpacked);
                    self.1.push(lanes[S::W - 1]);
                }
            }
        }
    }

    #[test]
    fn integers_and_f16_are_unpacked_alike() {
        // Byte 4 j of block b is 4 b + j.
        let blocks: Vec<u8> = (0..16u8).flat_map(|b| (0..16).map(move |i| 4 * b + i / 4)).collect();
        for level in Level::available() {
            let mut got = Vec::new();
            unsafe { level.run(Integers(&blocks, &mut got)) };
            let lanes = (got.len() - 6) / 4;
            let mut wanted: Vec<f32> = (0..4 * lanes).map(|i| (i % lanes * 4 + i / lanes) as f32).collect();
            wanted.extend([1.0, -2.0, 2f32.powi(-24), 65504.0, 2f32.powi(-24), -2.0]);
            assert_eq!(got, wanted, "{level:?}");
        }
    }

    /// Products, each with its expected value.
    struct Products<'a>(&'a mut Vec<[i32; 2]>);
    impl Job for Products<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let mut lanes = [0; MAX_LANES];
            unsafe {
                S::store_i(lanes.as_mut_ptr(), S::dot_pairs(S::splat_i(5), S::splat_i(0x0007_0009), 0x0003_ffff));
                self.0.push([lanes[S::W - 1], 5 - 9 + 21]);
                if S::BYTE_BITS == 0 {
                    return;
                }
                // Levels that add two products as i16 must hold the greatest sum.
                let most = ((1 << S::BYTE_BITS) - 1) as u8;
                for (w, x) in [([1, 2, 3, 4], [9, -9, 99, -99]), ([most; 4], [-127; 4]), ([most; 4], [127; 4])] {
                    let activations = i32::from_le_bytes(x.map(|x: i8| x as u8));
                    let got = S::dot_bytes(S::splat_i(5), S::splat_i(i32::from_le_bytes(w)), activations);
                    S::store_i(lanes.as_mut_ptr(), got);
                    let wanted: i32 = w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(x)).sum();
                    self.0.push([lanes[S::W - 1], 5 + wanted]);
                }
            }
        }
    }

    #[test]
    fn products_of_integers_are_exact() {
        for level in Level::available() {
            let mut products = Vec::new();
            unsafe { level.run(Products(&mut products)) };
            assert!(products.iter().all(|[got, wanted]| got == wanted), "{level:?}: {products:?}");
        }
    }
}
