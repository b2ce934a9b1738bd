//! Blocks of a checkpoint → values: the reference for [`repack`](super::repack()), and the decoder of vectors (norms,
//! biases).

use super::Encoding;
use crate::ensure;
use crate::error::Result;
use half::{bf16, f16};

/// Decodes whole blocks, in order.
///
/// # Numerics
/// f32, in the order of operations of ggml and of the Python package `gguf`: bit-equal to theirs. NaN and infinities
/// pass.
///
/// # Errors
/// [`Kind::Tensor`](crate::error::Kind::Tensor) if `bytes` is no whole number of blocks.
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Vec<f32>> {
    let (values, block_bytes) = encoding.block();
    let whole = bytes.len().is_multiple_of(block_bytes as usize);
    ensure!(whole, Tensor, "tensor", "{} bytes are no whole number of {encoding} blocks", bytes.len());
    let mut out = vec![0.0; bytes.len() / block_bytes as usize * values as usize];
    let blocks = bytes.chunks_exact(block_bytes as usize);
    for (out, block) in out.chunks_exact_mut(values as usize).zip(blocks) {
        match encoding {
            Encoding::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Encoding::F16 => out[0] = f16_at(block, 0),
            Encoding::Bf16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Encoding::Q4K | Encoding::Q5K => decode_q45_k(encoding, block, out),
            Encoding::Q6K => decode_q6_k(block, out),
            _ => decode_32(encoding, block, out),
        }
    }
    Ok(out)
}

/// Reads the f16 at byte `at`.
fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Returns the nibble of value `j` of 32: byte `j` holds values `j` (low nibble) and `j + 16`.
fn nibble(bytes: &[u8], j: usize) -> u8 {
    bytes[j % 16] >> (j / 16 * 4) & 15
}

/// Decodes a block of 32 values.
fn decode_32(encoding: Encoding, block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let fifth = |at: usize, j: usize| (block[at + j / 8] >> (j % 8) & 1) << 4;
    for (j, w) in out.iter_mut().enumerate() {
        *w = match encoding {
            Encoding::Q4_0 => d * f32::from(nibble(&block[2..], j) as i8 - 8),
            Encoding::Q4_1 => d * f32::from(nibble(&block[4..], j)) + f16_at(block, 2),
            Encoding::Q5_0 => d * f32::from((nibble(&block[6..], j) | fifth(2, j)) as i8 - 16),
            Encoding::Q5_1 => d * f32::from(nibble(&block[8..], j) | fifth(4, j)) + f16_at(block, 2),
            _ => d * f32::from(block[2 + j] as i8), // Q8_0
        };
    }
}

/// Scale and minimum of group `g` of 8, 6 bits each: the first four lie in the low bits of bytes `g` and `g + 4`; of
/// the others the low four bits share byte `g + 4`, and the high two are the top bits of bytes `g − 4` and `g`.
pub(super) fn scale_and_minimum(bytes: &[u8; 12], g: usize) -> (u8, u8) {
    if g < 4 {
        (bytes[g] & 63, bytes[g + 4] & 63)
    } else {
        (bytes[g + 4] & 15 | bytes[g - 4] >> 6 << 4, bytes[g + 4] >> 4 | bytes[g] >> 6 << 4)
    }
}

/// `Q4_K` and `Q5_K`: `d`, `dmin`, 12 bytes of scales, (32 bytes of fifth bits: bit `g` for group `g`,) nibbles: the
/// low ones of 32 bytes are a group, the high ones the next.
fn decode_q45_k(encoding: Encoding, block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let scales: &[u8; 12] = block[4..16].try_into().expect("12 bytes");
    let nibbles = if encoding == Encoding::Q5K { 48 } else { 16 };
    for (g, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, g);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(minimum));
        for (j, w) in out.iter_mut().enumerate() {
            let low = block[nibbles + g / 2 * 32 + j] >> (g % 2 * 4) & 15;
            let fifth = if encoding == Encoding::Q5K { block[16 + j] >> g & 1 } else { 0 };
            *w = d * f32::from(low | fifth << 4) - m;
        }
    }
}

/// `Q6_K`: 128 bytes with the low four bits, 64 with the high two, 16 scales, `d`. Half `h` of the block has groups
/// `4h + s`: their nibbles are in 32 of 64 bytes (which 32: `s % 2`; low or high: `s / 2`), their high bits at `2s`.
fn decode_q6_k(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 208);
    for (g, out) in out.chunks_exact_mut(32).enumerate() {
        let (h, s) = (g / 4, g % 4);
        for (j, w) in out.iter_mut().enumerate() {
            let low = block[h * 64 + s % 2 * 32 + j] >> (s / 2 * 4) & 15;
            let high = block[128 + h * 32 + j] >> (2 * s) & 3;
            let scale = block[192 + 2 * g + j / 16] as i8;
            *w = d * f32::from(scale) * f32::from((low | high << 4) as i8 - 32);
        }
    }
}
