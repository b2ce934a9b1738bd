//! Decoded samples → 8-bit RGB, and what every decoder shares: names of formats and the error of a damaged file.

use super::Rendering;
use crate::error::{Error, Kind};
use image::{DynamicImage, ImageFormat};

/// The error of a decoder.
pub(super) fn broken(name: &str, error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Image, "image", format!("cannot be read as {name}: {error}")).hint("the file may be damaged")
}

/// Returns the name of a format that is read.
pub(super) fn name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Jpeg => Some("jpeg"),
        ImageFormat::Png => Some("png"),
        ImageFormat::WebP => Some("webp"),
        ImageFormat::Gif => Some("gif"),
        ImageFormat::Bmp => Some("bmp"),
        _ => None,
    }
}

/// Returns samples of 8 bits, and the channels per pixel: grey, grey and alpha, RGB or RGBA.
pub(super) fn eight_bit(image: DynamicImage) -> (Vec<u8>, usize) {
    let upper = |samples: Vec<u16>| samples.into_iter().map(|v| (v >> 8) as u8).collect();
    match image {
        DynamicImage::ImageLuma8(grey) => (grey.into_raw(), 1),
        DynamicImage::ImageLumaA8(grey) => (grey.into_raw(), 2),
        DynamicImage::ImageRgba8(rgba) => (rgba.into_raw(), 4),
        DynamicImage::ImageLuma16(grey) => (upper(grey.into_raw()), 1),
        DynamicImage::ImageLumaA16(grey) => (upper(grey.into_raw()), 2),
        DynamicImage::ImageRgb16(rgb) => (upper(rgb.into_raw()), 3),
        DynamicImage::ImageRgba16(rgba) => (upper(rgba.into_raw()), 4),
        other => (other.into_rgb8().into_raw(), 3),
    }
}

/// Returns the rendering of a BMP's alpha: programs without alpha leave its byte zero in an opaque picture.
pub(super) fn of_bmp(samples: &[u8], channels: usize, rendering: Rendering) -> Rendering {
    let transparent = channels == 4 && samples.chunks_exact(4).all(|pixel| pixel[3] == 0);
    if transparent { Rendering::Reference } else { rendering }
}

/// Converts samples of `channels` per pixel to RGB: grey repeated, alpha composited or dropped.
pub(super) fn rgb(samples: &[u8], channels: usize, rendering: Rendering) -> impl Iterator<Item = u8> + '_ {
    let alpha = matches!(channels, 2 | 4).then(|| channels - 1);
    samples.chunks_exact(channels).flat_map(move |pixel| {
        let colour = if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
        match alpha {
            Some(alpha) if rendering == Rendering::Shown => colour.map(|value| on_white(value, pixel[alpha])),
            _ => colour,
        }
    })
}

/// A straight-alpha value over white: (value · alpha + 255 · (255 − alpha)) / 255, rounded to nearest.
///
/// # Source
/// Pillow, `src/libImaging/AlphaComposite.c`, with an opaque white ground, which is what `convert_to_rgb` of
/// transformers 5 (`image_transforms.py`) calls; equal to it for all values.
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
#[test]
fn white_shows_through_as_in_pillow() {
    // Pillow's integers: coefficients with 7 fractional bits, and a division by 255 through shifts.
    let pillow = |value: u32, alpha: u32| {
        let sum = value * (alpha << 7) + 255 * ((255 - alpha) << 7) + (0x80 << 7);
        ((((sum >> 8) + sum) >> 8) >> 7) as u8
    };
    for value in 0..=255 {
        for alpha in 0..=255 {
            assert_eq!(on_white(value, alpha), pillow(value.into(), alpha.into()), "{value} under {alpha}");
        }
    }
}
