//! File bytes → 8-bit RGB, as a [`Rendering`] chooses.

use super::pixels::{broken, eight_bit, name, of_bmp, rgb};
use super::resample::Rgb;
use super::sniff::sniff;
use super::{MAX_PIXELS, MAX_SIDE, Rendering};
use crate::error::{Error, Kind, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;

/// Hint for a format that is not read.
const READABLE: &str = "JPEG, PNG, WebP, GIF and BMP can be read";
/// Most memory that a decoder allocates below [`MAX_PIXELS`], bytes: 16-bit RGBA of them, and its tables.
const MAX_ALLOCATION: u64 = 8 * MAX_PIXELS + (64 << 20);
/// Most memory that a decoder allocates beside pixels once their number is known, bytes.
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

/// Decodes the first frame as `rendering` chooses.
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
        // A frame of a GIF may be larger than the screen whose size was checked.
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

/// The error for a picture of this size: `why`, the limits of exact decoding, and a hint.
fn too_large(width: u32, height: u32, why: &str) -> Error {
    let message = format!(
        "{width} × {height} pixels: {why}; at most {MAX_SIDE} per side and {} million in all",
        MAX_PIXELS / 1_000_000
    );
    Error::new(Kind::Image, "image", message).hint("save it smaller")
}

/// Returns the format of a file by its first bytes, and its name.
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

/// Converts the pixels of `image` to 8-bit RGB.
fn to_rgb(image: DynamicImage, format: ImageFormat, rendering: Rendering) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let (samples, channels) = eight_bit(image);
    let rendering = if format == ImageFormat::Bmp { of_bmp(&samples, channels, rendering) } else { rendering };
    let rgb = if channels == 3 { samples } else { rgb(&samples, channels, rendering).collect() };
    RgbImage::from_raw(width, height, rgb).expect("three bytes were made for each pixel")
}
