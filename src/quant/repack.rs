//! Blocks of a checkpoint → planes, bit by bit: no value passes through a float, and none changes.

use super::decode::scale_and_minimum;
use super::{BLOCK_BYTES, Encoding, plane_bytes, planes};
use crate::error::Result;
use crate::{ensure, fail};

/// Rows that are written together. Reading follows the rows, writing the groups: this number of rows keeps both in the
/// cache.
const ROW_TILE: usize = 32;

/// Repacks row-major blocks of `rows` rows of `k` values into the planes of [`Encoding::exact`], as
/// [`stored_bytes`](super::stored_bytes) counts them.
///
/// Row `i` of the output is row `order[i]` of the input (GGUF permutes the rows of `q` and `k` for its rotary
/// embedding); without `order` they stay as they come.
///
/// # Errors
/// [`Kind::Tensor`](crate::error::Kind::Tensor) for lengths that do not fit the shape, and for a block whose scale (or
/// a value, where there is none) is not finite; [`Kind::Argument`](crate::error::Kind::Argument) for an `order` that
/// does not.
pub fn repack(
    encoding: Encoding,
    rows: u32,
    k: u32,
    bytes: &[u8],
    order: Option<&[u32]>,
    planes: &mut [u8],
) -> Result<()> {
    let mut job = Job::new(encoding, rows, k, bytes, order, planes)?;
    // Bytes of a block, our blocks in it, groups in it, bytes of a group.
    match encoding {
        Encoding::F32 => job.run::<16, 1, 0, 0>(|b, out| {
            out.blocks[0] = *b;
            (0..4).all(|i| b[4 * i + 3] & 0x7f != 0x7f || b[4 * i + 2] & 0x80 == 0)
        }),
        Encoding::F16 => job.run::<16, 1, 0, 0>(|b, out| {
            out.blocks[0] = *b;
            (0..8).all(|i| finite(b, 2 * i))
        }),
        Encoding::Bf16 => job.run::<8, 1, 0, 0>(|b, out| {
            for i in 0..4 {
                out.blocks[0][4 * i..][..4].copy_from_slice(&[0, 0, b[2 * i], b[2 * i + 1]]);
            }
            (0..4).all(|i| b[2 * i + 1] & 0x7f != 0x7f || b[2 * i] & 0x80 == 0)
        }),
        Encoding::Q4_0 => job.run::<18, 1, 1, 2>(|b, out| {
            out.groups[..2].copy_from_slice(&b[..2]);
            out.blocks[0].copy_from_slice(&b[2..]);
            finite(b, 0)
        }),
        Encoding::Q4_1 => job.run::<20, 1, 1, 4>(|b, out| {
            out.groups[..4].copy_from_slice(&b[..4]);
            out.blocks[0].copy_from_slice(&b[4..]);
            finite(b, 0) && finite(b, 2)
        }),
        Encoding::Q5_0 => job.run::<22, 2, 1, 2>(|b, out| {
            out.groups[..2].copy_from_slice(&b[..2]);
            five_bits(&b[2..], 16, out);
            finite(b, 0)
        }),
        Encoding::Q5_1 => job.run::<24, 2, 1, 4>(|b, out| {
            out.groups[..4].copy_from_slice(&b[..4]);
            five_bits(&b[4..], 0, out);
            finite(b, 0) && finite(b, 2)
        }),
        Encoding::Q8_0 => job.run::<34, 2, 1, 2>(|b, out| {
            out.groups[..2].copy_from_slice(&b[..2]);
            out.blocks[0].copy_from_slice(&b[2..18]);
            out.blocks[1].copy_from_slice(&b[18..]);
            finite(b, 0)
        }),
        Encoding::Q4K => job.run::<144, 8, 8, 2>(q4_k),
        Encoding::Q5K => job.run::<176, 16, 8, 2>(q5_k),
        Encoding::Q6K => job.run::<210, 16, 8, 2>(q6_k),
    }
}

/// The parts of one repacked block; each encoding uses as many entries as it needs.
struct Packed {
    blocks: [[u8; BLOCK_BYTES as usize]; 16],
    groups: [u8; 16],
    supers: [u8; 4],
}

/// Whether the f16 at `at` is neither infinite nor NaN.
fn finite(block: &[u8], at: usize) -> bool {
    block[at + 1] & 0x7c != 0x7c
}

/// Repacks `Q5_0`, `Q5_1`: four bytes of fifth bits, 16 of nibbles → bytes minus `zero`.
fn five_bits(block: &[u8], zero: u8, out: &mut Packed) {
    let fifths = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (j, &b) in block[4..20].iter().enumerate() {
        out.blocks[0][j] = (b & 15 | ((fifths >> j & 1) << 4) as u8).wrapping_sub(zero);
        out.blocks[1][j] = (b >> 4 | ((fifths >> (j + 16) & 1) << 4) as u8).wrapping_sub(zero);
    }
}

/// Repacks `d`, `dmin` and the 6-bit scales and minima of `Q4_K` and `Q5_K`; returns whether they are finite.
fn k_scales(block: &[u8], out: &mut Packed) -> bool {
    out.supers.copy_from_slice(&block[..4]);
    let scales: &[u8; 12] = block[4..16].try_into().expect("12 bytes");
    for g in 0..8 {
        (out.groups[2 * g], out.groups[2 * g + 1]) = scale_and_minimum(scales, g);
    }
    finite(block, 0) && finite(block, 2)
}

/// Repacks `Q4_K`. The nibbles of two groups lie in 32 bytes, the first group's low: they become two blocks of 16
/// bytes.
fn q4_k(block: &[u8; 144], out: &mut Packed) -> bool {
    for (pair, bytes) in block[16..].chunks_exact(32).enumerate() {
        let (first, second) = bytes.split_at(16);
        for (j, (&a, &b)) in first.iter().zip(second).enumerate() {
            out.blocks[2 * pair][j] = a & 15 | b << 4;
            out.blocks[2 * pair + 1][j] = a >> 4 | b & 0xf0;
        }
    }
    k_scales(block, out)
}

/// Repacks `Q5_K`: as [`q4_k`], with fifth bits, of which bit `g` of 32 bytes belongs to group `g`. Each group becomes
/// two blocks of bytes.
fn q5_k(block: &[u8; 176], out: &mut Packed) -> bool {
    let (fifths, nibbles) = block[16..].split_at(32);
    for i in 0..16 {
        let (group, at) = (i / 2, i % 2 * 16);
        let bytes = &nibbles[group / 2 * 32 + at..][..16];
        for (j, (&b, &f)) in bytes.iter().zip(&fifths[at..]).enumerate() {
            out.blocks[i][j] = b >> (group % 2 * 4) & 15 | (f >> group & 1) << 4;
        }
    }
    k_scales(block, out)
}

/// Repacks `Q6_K`: low nibbles, high pairs of bits (see [`decode`](super::decode())), sixteen scales, `d` → signed
/// bytes.
fn q6_k(block: &[u8; 210], out: &mut Packed) -> bool {
    for i in 0..16 {
        let (group, at) = (i / 2, i % 2 * 16);
        let (h, s) = (group / 4, group % 4);
        let lows = &block[h * 64 + s % 2 * 32 + at..][..16];
        let highs = &block[128 + h * 32 + at..][..16];
        for (j, (&low, &high)) in lows.iter().zip(highs).enumerate() {
            out.blocks[i][j] = (low >> (s / 2 * 4) & 15 | (high >> (2 * s) & 3) << 4).wrapping_sub(32);
        }
    }
    out.groups.copy_from_slice(&block[192..208]);
    out.supers = [block[208], block[209], 0, 0];
    finite(block, 208)
}

/// A matrix to repack; its lengths are checked, so that [`Job::run`] indexes within bounds.
struct Job<'a> {
    rows: usize,
    row_bytes: usize,
    bytes: &'a [u8],
    order: Option<&'a [u32]>,
    blocks: &'a mut [u8],
    groups: &'a mut [u8],
    supers: &'a mut [u8],
}

impl<'a> Job<'a> {
    fn new(
        encoding: Encoding,
        rows: u32,
        k: u32,
        bytes: &'a [u8],
        order: Option<&'a [u32]>,
        out: &'a mut [u8],
    ) -> Result<Self> {
        let weight_type = encoding.exact();
        let (block_bytes, scale_bytes) = plane_bytes(weight_type, rows, k)?;
        let row_bytes = encoding.row_bytes(u64::from(k))?;
        ensure!(
            bytes.len() as u64 == row_bytes * u64::from(rows) && out.len() as u64 == block_bytes + scale_bytes,
            Tensor,
            "matrix",
            "[{rows}, {k}] in {encoding} has {} bytes, as {weight_type} {}; there are {} and {}",
            row_bytes * u64::from(rows),
            block_bytes + scale_bytes,
            bytes.len(),
            out.len()
        );
        if let Some(order) = order {
            let fits = order.len() == rows as usize && order.iter().all(|&row| row < rows);
            ensure!(fits, Argument, "row order", "{} rows named for {rows}, or one beyond them", order.len());
        }
        let supers = planes(weight_type, rows, k)?.get(2).map_or(block_bytes + scale_bytes, |plane| plane.offset);
        let (blocks, rest) = out.split_at_mut(block_bytes as usize);
        let (groups, supers) = rest.split_at_mut((supers - block_bytes) as usize);
        Ok(Self { rows: rows as usize, row_bytes: row_bytes as usize, bytes, order, blocks, groups, supers })
    }

    /// Unpacks every `IN` bytes into `BLOCKS` blocks and `GROUPS` groups of `GROUP_BYTES` and writes them to the
    /// planes. `unpack` returns whether all values are finite.
    fn run<const IN: usize, const BLOCKS: usize, const GROUPS: usize, const GROUP_BYTES: usize>(
        &mut self,
        unpack: impl Fn(&[u8; IN], &mut Packed) -> bool,
    ) -> Result<()> {
        let (rows, units) = (self.rows, self.row_bytes / IN);
        let mut packed = Packed { blocks: [[0; 16]; 16], groups: [0; 16], supers: [0; 4] };
        for first in (0..rows).step_by(ROW_TILE) {
            for unit in 0..units {
                for row in first..rows.min(first + ROW_TILE) {
                    let source = self.order.map_or(row, |order| order[row] as usize);
                    let bytes = &self.bytes[source * self.row_bytes + unit * IN..][..IN];
                    if !unpack(bytes.try_into().expect("IN bytes"), &mut packed) {
                        fail!(Tensor, format!("row {source}, block {unit}"), "a scale or a value is not finite");
                    }
                    for (b, block) in packed.blocks[..BLOCKS].iter().enumerate() {
                        self.blocks[((unit * BLOCKS + b) * rows + row) * 16..][..16].copy_from_slice(block);
                    }
                    for g in 0..GROUPS {
                        self.groups[((unit * GROUPS + g) * rows + row) * GROUP_BYTES..][..GROUP_BYTES]
                            .copy_from_slice(&packed.groups[g * GROUP_BYTES..][..GROUP_BYTES]);
                    }
                    if GROUPS == 8 {
                        self.supers[(unit * rows + row) * 4..][..4].copy_from_slice(&packed.supers);
                    }
                }
            }
        }
        Ok(())
    }
}
