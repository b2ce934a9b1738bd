//! Pseudo-random contents of the trials' buffers, the same on every device.

use crate::device::Device;
use crate::pass::Buf;

/// Returns `n` words of a 32-bit linear congruential generator.
fn noise(n: u64) -> impl Iterator<Item = u32> {
    (0..n).scan(1u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(*state ^ *state >> 15)
    })
}

/// Fills `buffer` with random words.
pub(super) fn words(device: &mut Device, buffer: Buf) {
    device.upload(buffer, 0, bytemuck::cast_slice(&noise(buffer.words).collect::<Vec<u32>>()));
}

/// Returns `n` floats, uniform in ±1.
fn uniform(n: u64) -> impl Iterator<Item = f32> {
    noise(n).map(|bits| (bits >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

/// Fills `buffer` with floats, uniform in ±1.
pub(super) fn floats(device: &mut Device, buffer: Buf) {
    device.upload(buffer, 0, bytemuck::cast_slice(&uniform(buffer.words).collect::<Vec<f32>>()));
}

/// Fills `buffer` with f16, uniform in ±1.
pub(super) fn halves(device: &mut Device, buffer: Buf) {
    let values: Vec<half::f16> = uniform(2 * buffer.words).map(half::f16::from_f32).collect();
    device.upload(buffer, 0, bytemuck::cast_slice(&values));
}

/// Fills `buffer` with f16 scales of 2⁻⁷.
pub(super) fn scales(device: &mut Device, buffer: Buf) {
    device.upload(buffer, 0, bytemuck::cast_slice(&vec![0x2000_2000u32; buffer.words as usize]));
}
