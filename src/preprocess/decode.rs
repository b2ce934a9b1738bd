//! File bytes → upright 8-bit RGB, converted as PIL's `convert("RGB")` does.

use super::resample::Rgb;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Longest side that is decoded, pixels.
pub const MAX_SIDE: u32 = 16384;
/// Most pixels that are decoded: what 8-bit RGBA of them takes is 200 MB, which a tab can still spare.
pub const MAX_PIXELS: u64 = 50_000_000;
/// What a decoder may allocate, bytes: 16-bit RGBA of [`MAX_PIXELS`], and something for its tables.
const MAX_ALLOCATION: u64 = 8 * MAX_PIXELS + (64 << 20);

/// Decodes the first frame, turns it upright (EXIF), and converts it to RGB.
///
/// # Numerics
/// Alpha is dropped, not composited. Of 16 bits the upper 8 are kept, as PIL does for colour; for 16-bit grey,
/// which PIL clips at 255 (nearly every such picture turns white), the same is done deliberately.
///
/// # Errors
/// [`Kind::Image`].
pub(super) fn decode(bytes: &[u8]) -> Result<(Rgb, &'static str)> {
    let format = image::guess_format(bytes).ok().and_then(|format| Some((format, name(format)?)));
    let Some((format, format_name)) = format else {
        let hint = "JPEG, PNG, WebP, GIF and BMP can be read";
        return Err(Error::new(Kind::Image, "image", "is in no format that we know").hint(hint));
    };
    let broken = |e: ImageError| {
        let message = format!("cannot be read as {format_name}: {e}");
        Error::new(Kind::Image, "image", message).hint("the file may be damaged")
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    ensure!(
        width > 0 && height > 0 && width.max(height) <= MAX_SIDE && u64::from(width) * u64::from(height) <= MAX_PIXELS,
        Image,
        "image",
        "{width} × {height} pixels; at most {MAX_SIDE} per side and {} million in all are read",
        MAX_PIXELS / 1_000_000
    );
    // An unreadable EXIF block does not make a picture unreadable.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::ImageRgb8(to_rgb(DynamicImage::from_decoder(decoder).map_err(broken)?));
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    Ok((Rgb { width, height, data: image.into_rgb8().into_raw() }, format_name))
}

fn name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Jpeg => Some("jpeg"),
        ImageFormat::Png => Some("png"),
        ImageFormat::WebP => Some("webp"),
        ImageFormat::Gif => Some("gif"),
        ImageFormat::Bmp => Some("bmp"),
        _ => None,
    }
}

/// The upper 8 bits of 16, alpha dropped, grey repeated.
fn to_rgb(image: DynamicImage) -> image::RgbImage {
    let (width, height) = (image.width(), image.height());
    let high = |v: u16| (v >> 8) as u8;
    let data: Vec<u8> = match image {
        DynamicImage::ImageLuma16(grey) => grey.into_raw().into_iter().flat_map(|v| [high(v); 3]).collect(),
        DynamicImage::ImageLumaA16(grey) => grey.into_raw().chunks_exact(2).flat_map(|p| [high(p[0]); 3]).collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(rgba) => {
            rgba.into_raw().chunks_exact(4).flat_map(|p| [high(p[0]), high(p[1]), high(p[2])]).collect()
        }
        eight_bit => return eight_bit.into_rgb8(),
    };
    image::RgbImage::from_raw(width, height, data).expect("three bytes were made for each pixel")
}
