//! Contents of the buffers that are tried: pseudo-random, the same on every device.

use crate::device::Device;
use crate::pass::Buf;

/// A 32-bit LCG.
fn noise(n: u64) -> impl Iterator<Item = u32> {
    (0..n).scan(1u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(*state ^ *state >> 15)
    })
}

pub(super) fn words(device: &mut Device, buffer: Buf) {
    device.upload(buffer, 0, bytemuck::cast_slice(&noise(buffer.words).collect::<Vec<u32>>()));
}

/// Uniform in ±1.
pub(super) fn floats(device: &mut Device, buffer: Buf) {
    let values: Vec<f32> = noise(buffer.words).map(|bits| (bits >> 8) as f32 / (1 << 23) as f32 - 1.0).collect();
    device.upload(buffer, 0, bytemuck::cast_slice(&values));
}

/// 2⁻⁷ in f16.
pub(super) fn scales(device: &mut Device, buffer: Buf) {
    device.upload(buffer, 0, bytemuck::cast_slice(&vec![0x2000_2000u32; buffer.words as usize]));
}
