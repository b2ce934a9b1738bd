//! Tensor values: a deterministic random generator, and blocks of every encoding filled from it.
//!
//! Weights are normally distributed around zero with a standard deviation of 0.02, so that activations keep their
//! magnitude through tens of blocks and all values are finite.

use crate::quant::Encoding;
use half::f16;
use std::sync::OnceLock;

/// Standard deviation of weights.
const DEVIATION: f32 = 0.02;
/// Standard deviation of the levels of a 4-bit weight, of 1 … 15 around 8.
const LEVELS: f32 = 2.5;

/// The distribution of a tensor's values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// All ones, for the weight of a norm.
    Ones,
    /// All zeros, for a bias.
    Zeros,
    /// Random values, for every other tensor.
    Random,
}

impl Fill {
    /// Returns the distribution of the tensor with this canonical name.
    pub fn of(name: &str) -> Self {
        let stem = name.rsplit('.').nth(1).unwrap_or_default();
        match name.rsplit('.').next() {
            Some("bias") => Self::Zeros,
            Some("weight") if stem.contains("norm") => Self::Ones,
            _ => Self::Random,
        }
    }
}

/// The random generator xorshift64*, seeded by a number, a tensor's name and the index of a chunk.
pub struct Random(u64);

impl Random {
    /// Makes the generator of chunk `part` of tensor `name`.
    pub fn new(seed: u64, name: &str, part: u64) -> Self {
        // FNV-1a.
        let hash = name
            .bytes()
            .chain(seed.to_le_bytes())
            .chain(part.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(hash | 1)
    }

    /// Returns the next 64 random bits.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Returns the quantile of the standard normal distribution at (i + ½) / n, by bisection on a logistic approximation of
/// its cumulative distribution function; symmetric around the middle.
fn quantile(i: usize, n: usize) -> f32 {
    let p = (i as f64 + 0.5) / n as f64;
    let integral = |x: f64| 1.0 / (1.0 + (-1.5976 * x - 0.07056 * x * x * x).exp());
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if integral(middle) < p { low = middle } else { high = middle }
    }
    low as f32
}

/// Returns the table from twelve random bits to an f16 value.
fn f16_table() -> &'static [u16; 4096] {
    static TABLE: OnceLock<Box<[u16; 4096]>> = OnceLock::new();
    TABLE.get_or_init(|| Box::new(std::array::from_fn(|i| f16::from_f32(quantile(i, 4096) * DEVIATION).to_bits())))
}

/// Returns the table from sixteen random bits to two levels of 1 … 15.
fn nibble_table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let level = |i: usize| (8.0 + LEVELS * quantile(i, 256)).round().clamp(1.0, 15.0) as u8;
        (0..1 << 16).map(|i| level(i & 255) | level(i >> 8) << 4).collect()
    })
}

/// Fills `out`, whole blocks of `encoding`.
pub fn fill(encoding: Encoding, fill: Fill, random: &mut Random, out: &mut [u8]) {
    let one = |value: f32| if fill == Fill::Ones { value } else { 0.0 };
    match (fill, encoding) {
        (Fill::Random, Encoding::F32) => {
            let values = out.chunks_exact_mut(4);
            values.for_each(|b| b.copy_from_slice(&f16_value(random.next()).to_f32().to_le_bytes()));
        }
        (Fill::Random, Encoding::F16) => fill_f16(random, out),
        (Fill::Random, Encoding::Q4_0) => out.chunks_exact_mut(18).for_each(|block| q4_0(random, block)),
        (Fill::Random, Encoding::Q8_0) => out.chunks_exact_mut(34).for_each(|block| q8_0(random, block)),
        (Fill::Random, Encoding::Q4K) => out.chunks_exact_mut(144).for_each(|block| q4_k(random, block)),
        (Fill::Random, Encoding::Q6K) => out.chunks_exact_mut(210).for_each(|block| q6_k(random, block)),
        (_, Encoding::F32) => out.chunks_exact_mut(4).for_each(|b| b.copy_from_slice(&one(1.0).to_le_bytes())),
        (_, Encoding::F16) => {
            let bytes = f16::from_f32(one(1.0)).to_le_bytes();
            out.chunks_exact_mut(2).for_each(|b| b.copy_from_slice(&bytes));
        }
        (_, other) => unreachable!("no file has {other} there"),
    }
}

fn f16_value(bits: u64) -> f16 {
    f16::from_bits(f16_table()[(bits >> 52) as usize])
}

fn fill_f16(random: &mut Random, out: &mut [u8]) {
    let table = f16_table();
    for five in out.chunks_mut(10) {
        let mut bits = random.next();
        for value in five.chunks_exact_mut(2) {
            value.copy_from_slice(&table[(bits >> 52) as usize].to_le_bytes());
            bits <<= 12;
        }
    }
}

fn fill_nibbles(random: &mut Random, out: &mut [u8]) {
    let table = nibble_table();
    for four in out.chunks_mut(4) {
        let mut bits = random.next();
        for byte in four {
            *byte = table[(bits & 0xffff) as usize];
            bits >>= 16;
        }
    }
}

/// Returns a random scale of ¾ to 1½ times `usual`.
fn scale(random: &mut Random, usual: f32) -> f16 {
    f16::from_f32(usual * (0.75 + (random.next() >> 61) as f32 * 0.09))
}

/// Fills a block of Q4_0: `d · (q − 8)`.
fn q4_0(random: &mut Random, block: &mut [u8]) {
    let d = scale(random, DEVIATION / LEVELS);
    block[..2].copy_from_slice(&d.to_le_bytes());
    fill_nibbles(random, &mut block[2..]);
}

/// Fills a block of Q8_0: `d · q` with `q` of deviation 32.
fn q8_0(random: &mut Random, block: &mut [u8]) {
    let d = scale(random, DEVIATION / 32.0);
    block[..2].copy_from_slice(&d.to_le_bytes());
    for two in block[2..].chunks_exact_mut(2) {
        let bits = random.next();
        for (value, shift) in two.iter_mut().zip([52, 40]) {
            let normal = f16::from_bits(f16_table()[(bits >> shift) as usize & 4095]).to_f32() / DEVIATION;
            *value = (normal * 32.0).round().clamp(-127.0, 127.0) as i8 as u8;
        }
    }
}

/// Fills a block of Q4_K: `d · sc · q − dmin · m` with `m = sc` and `dmin = 8 d`, which is `d · sc · (q − 8)`.
fn q4_k(random: &mut Random, block: &mut [u8]) {
    let d = scale(random, DEVIATION / LEVELS / 40.0);
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(8.0 * d.to_f32()).to_le_bytes());
    let bits = random.next();
    let sc: [u8; 8] = std::array::from_fn(|i| 24 + (bits >> (5 * i)) as u8 % 32);
    for i in 0..4 {
        let (low, high) = (sc[i], sc[i + 4]);
        block[4 + i] = low | (high >> 4) << 6;
        block[8 + i] = low | (high >> 4) << 6;
        block[12 + i] = (high & 15) | (high & 15) << 4;
    }
    fill_nibbles(random, &mut block[16..]);
}

/// Fills a block of Q6_K: `d · sc · (q − 32)` with six random bits `q`. Random signs of `sc` keep the mean at zero.
fn q6_k(random: &mut Random, block: &mut [u8]) {
    for eight in block[..192].chunks_exact_mut(8) {
        eight.copy_from_slice(&random.next().to_le_bytes());
    }
    let bits = random.next();
    for (i, sc) in block[192..208].iter_mut().enumerate() {
        let size = 32 + ((bits >> (3 * i)) & 7) as i8 * 4;
        *sc = if bits >> (48 + i) & 1 == 1 { -size } else { size } as u8;
    }
    // 6-bit levels are uniform with a deviation of 18.5, scales 46 on average.
    block[208..210].copy_from_slice(&f16::from_f32(DEVIATION / 18.5 / 46.0).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::decode;

    /// Checks of every encoding: finite, mean about 0, deviation about 0.02, reproducible from the seed.
    #[test]
    fn weights_are_sane() {
        for encoding in [Encoding::F32, Encoding::F16, Encoding::Q4_0, Encoding::Q8_0, Encoding::Q4K, Encoding::Q6K] {
            let (values, bytes) = encoding.block();
            let mut out = vec![0; (1 << 18) / values as usize * bytes as usize];
            fill(encoding, Fill::Random, &mut Random::new(7, "x", 0), &mut out);
            let mut again = vec![0; out.len()];
            fill(encoding, Fill::Random, &mut Random::new(7, "x", 0), &mut again);
            assert_eq!(out, again);
            fill(encoding, Fill::Random, &mut Random::new(8, "x", 0), &mut again);
            assert_ne!(out, again);
            fill(encoding, Fill::Random, &mut Random::new(7, "x", 1), &mut again);
            assert_ne!(out, again);
            let weights = decode(encoding, &out).unwrap();
            let mean = weights.iter().sum::<f32>() / weights.len() as f32;
            let deviation = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
            // 2^18 values: the mean's own deviation is 0.02 / 512; scales shared by 256 values make it wider.
            assert!(mean.abs() < 3e-4 && (0.015..0.025).contains(&deviation), "{encoding}: {mean} ± {deviation}");
            assert!(weights.iter().all(|w| w.abs() < 0.3), "{encoding}");
        }
    }
}
