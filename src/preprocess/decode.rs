//! File bytes → 8-bit RGB: what a person sees of the picture, or what transformers of old read of it.

use super::resample::Rgb;
use super::sniff::sniff;
use super::{MAX_PIXELS, MAX_SIDE, Rendering};
use crate::error::{Error, Kind, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;

/// What can be read, for messages.
const READABLE: &str = "JPEG, PNG, WebP, GIF and BMP can be read";
/// What a decoder may allocate below [`MAX_PIXELS`], bytes: 16-bit RGBA of them, and its tables.
const MAX_ALLOCATION: u64 = 8 * MAX_PIXELS + (64 << 20);
/// What a decoder may allocate beside pixels once it is known how many there are, bytes.
const TABLES: u64 = 8 << 20;

/// The first frame of a file.
pub(super) struct Decoded {
    /// The pixels, shrunk where the picture is beyond [`MAX_PIXELS`] or [`MAX_SIDE`].
    pub image: Rgb,
    /// Width before it was shrunk, pixels.
    pub width: u32,
    /// Height before it was shrunk, pixels.
    pub height: u32,
    /// Name of the format, lower case.
    pub format: &'static str,
}

/// Decodes the first frame as `rendering` says.
///
/// # Numerics
/// [`Rendering`]. Of 16 bits the upper 8 are kept, as PIL does for colour; for 16-bit grey, which PIL clips at 255
/// (nearly every such picture turns white), the same is done deliberately.
///
/// # Errors
/// [`Kind::Image`].
pub(super) fn decode(bytes: &[u8], rendering: Rendering) -> Result<Decoded> {
    let (format, name) = format_of(bytes)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|e| broken(name, e))?;
    let (width, height) = decoder.dimensions();
    let orientation = match rendering {
        // An unreadable EXIF block does not make a picture unreadable.
        Rendering::Shown => decoder.orientation().unwrap_or(Orientation::NoTransforms),
        Rendering::Reference => Orientation::NoTransforms,
    };
    let exact = width.max(height) <= MAX_SIDE && u64::from(width) * u64::from(height) <= MAX_PIXELS;
    let rgb = if width == 0 || height == 0 {
        return Err(too_large(width, height, "has no pixels"));
    } else if exact {
        // A frame of a GIF may be larger than the screen that was judged.
        limits.max_alloc = Some(8 * u64::from(width) * u64::from(height) + TABLES);
        decoder.set_limits(limits).map_err(|e| broken(name, e))?;
        to_rgb(DynamicImage::from_decoder(decoder).map_err(|e| broken(name, e))?, format, rendering)
    } else {
        shrunk(bytes, format, decoder, rendering)?
    };
    let mut image = DynamicImage::ImageRgb8(rgb);
    image.apply_orientation(orientation);
    let turned = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let image = Rgb { width: image.width(), height: image.height(), data: image.into_rgb8().into_raw() };
    Ok(Decoded { image, width, height, format: name })
}

/// Decodes a picture beyond the limits of exact decoding.
#[cfg(feature = "large-pictures")]
fn shrunk(bytes: &[u8], format: ImageFormat, decoder: impl ImageDecoder, rendering: Rendering) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    match rendering {
        Rendering::Shown => super::large::decode(bytes, format, decoder),
        Rendering::Reference => Err(too_large(width, height, "is not read exactly, as the reference is")),
    }
}

/// Refuses a picture beyond the limits of exact decoding: this build reads no larger ones.
#[cfg(not(feature = "large-pictures"))]
fn shrunk(_: &[u8], _: ImageFormat, decoder: impl ImageDecoder, _: Rendering) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    Err(too_large(width, height, "is too large"))
}

/// The error for a picture of this size: `why`, the limits of exact decoding, and what to do.
fn too_large(width: u32, height: u32, why: &str) -> Error {
    let message = format!(
        "{width} × {height} pixels: {why}; at most {MAX_SIDE} per side and {} million in all",
        MAX_PIXELS / 1_000_000
    );
    Error::new(Kind::Image, "image", message).hint("save it smaller")
}

/// The error of a decoder.
pub(super) fn broken(name: &str, error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Image, "image", format!("cannot be read as {name}: {error}")).hint("the file may be damaged")
}

/// The format of a file by its first bytes, and its name.
fn format_of(bytes: &[u8]) -> Result<(ImageFormat, &'static str)> {
    let format = image::guess_format(bytes).ok();
    if let Some(found) = format.and_then(|format| Some((format, name(format)?))) {
        return Ok(found);
    }
    let message = match sniff(bytes) {
        Some(what) => format!("is {what}, which is not read"),
        None => "is in no format that we know".into(),
    };
    Err(Error::new(Kind::Image, "image", message).hint(READABLE))
}

/// Name of a format that is read.
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

/// The pixels of `image` as 8-bit RGB.
fn to_rgb(image: DynamicImage, format: ImageFormat, rendering: Rendering) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let (samples, channels) = eight_bit(image);
    let rendering = if format == ImageFormat::Bmp { of_bmp(&samples, channels, rendering) } else { rendering };
    let rgb = if channels == 3 { samples } else { rgb(&samples, channels, rendering).collect() };
    RgbImage::from_raw(width, height, rgb).expect("three bytes were made for each pixel")
}

/// Samples of 8 bits, and the channels per pixel: grey, grey and alpha, RGB or RGBA.
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

/// How a BMP's alpha is rendered: programs that know no alpha leave its byte zero, and mean an opaque picture.
pub(super) fn of_bmp(samples: &[u8], channels: usize, rendering: Rendering) -> Rendering {
    let transparent = channels == 4 && samples.chunks_exact(4).all(|pixel| pixel[3] == 0);
    if transparent { Rendering::Reference } else { rendering }
}

/// Samples of `channels` per pixel as RGB: grey repeated, alpha composited or dropped.
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
