//! Pictures beyond the limits of exact decoding, shrunk while they are decoded.
//!
//! JPEG is decoded at 1/2, 1/4 or 1/8 by a smaller inverse DCT; of PNG one row at a time is in memory; WebP, GIF and
//! BMP are decoded whole and then shrunk. The result has at most [`TARGET`] pixels, many times the input of a vision
//! tower. Decoding takes at most [`MAX_MEMORY`] besides the file itself.

use super::pixels::{broken, eight_bit, name, of_bmp, rgb};
use super::{LARGEST_PIXELS, LARGEST_SIDE, MAX_MEMORY, Rendering};
use crate::ensure;
use crate::error::Result;
use image::{DynamicImage, ImageDecoder, ImageFormat, RgbImage};
use std::io::{Cursor, Read};

/// Most pixels of a shrunk picture.
const TARGET: u64 = 8_000_000;
/// Columns and rows of the seven passes of an interlaced PNG: (first, step) of each.
///
/// # Source
/// PNG specification, third edition, section 8.1 (Adam7).
const ADAM7: [[(u32, u32); 2]; 7] = [
    [(0, 8), (0, 8)],
    [(4, 8), (0, 8)],
    [(0, 4), (4, 8)],
    [(2, 4), (0, 4)],
    [(0, 2), (2, 4)],
    [(1, 2), (0, 2)],
    [(0, 1), (1, 2)],
];

/// Decodes the picture in `bytes`, whose header `decoder` has read: on white and shrunk, but not turned upright.
///
/// # Errors
/// [`Kind::Image`](crate::error::Kind::Image) beyond [`LARGEST_PIXELS`], [`LARGEST_SIDE`] or [`MAX_MEMORY`], and for
/// damaged files.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, decoder: impl ImageDecoder) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    ensure!(
        width.max(height) <= LARGEST_SIDE && u64::from(width) * u64::from(height) <= LARGEST_PIXELS,
        Image,
        "image",
        "{width} × {height} pixels; at most {LARGEST_SIDE} per side and {} million in all are read (save it smaller)",
        LARGEST_PIXELS / 1_000_000
    );
    shrink(bytes, format, decoder, TARGET)
}

/// Decodes the picture to at most `target` pixels.
fn shrink(bytes: &[u8], format: ImageFormat, decoder: impl ImageDecoder, target: u64) -> Result<RgbImage> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes, target),
        ImageFormat::Png => png(bytes, target),
        _ => whole(format, decoder, target),
    }
}

/// Refuses a picture whose decoder would need `bytes` beyond [`MAX_MEMORY`].
fn fits(width: u32, height: u32, name: &str, bytes: u64) -> Result<()> {
    ensure!(
        bytes <= MAX_MEMORY,
        Image,
        "image",
        "{width} × {height} pixels of {name} take {} MB to decode; at most {} MB are used (save it smaller)",
        bytes / 1_000_000,
        MAX_MEMORY / 1_000_000
    );
    Ok(())
}

/// Means over squares of `factor` × `factor` pixels; those at the right and lower border may be smaller.
struct Squares {
    factor: u32,
    width: u32,
    height: u32,
    /// Squares per row.
    columns: u32,
    /// `[rows, columns, 3]`.
    sums: Vec<u32>,
}

impl Squares {
    /// Starts with the smallest squares that leave at most `target` of `width` × `height` pixels.
    fn new(width: u32, height: u32, target: u64) -> Self {
        let left = |factor: u32| u64::from(width.div_ceil(factor)) * u64::from(height.div_ceil(factor));
        let factor = (1..=width.max(height)).find(|factor| left(*factor) <= target).unwrap_or(1);
        let sums = vec![0; left(factor) as usize * 3];
        Self { factor, width, height, columns: width.div_ceil(factor), sums }
    }

    /// Adds RGB pixels of row `y`: columns `first`, `first + step`, ….
    fn add(&mut self, y: u32, (first, step): (u32, u32), pixels: impl Iterator<Item = u8>) {
        let row = (y / self.factor * self.columns) as usize * 3;
        for (i, value) in pixels.enumerate() {
            let x = first + step * (i / 3) as u32;
            self.sums[row + (x / self.factor) as usize * 3 + i % 3] += u32::from(value);
        }
    }

    /// Returns the means, rounded to nearest.
    fn finish(self) -> RgbImage {
        let Self { factor, width, height, columns, sums } = self;
        let length = |at: u32, all: u32| factor.min(all - at * factor);
        let mean = |(i, sum): (usize, &u32)| {
            let square = i as u32 / 3;
            let count = length(square % columns, width) * length(square / columns, height);
            ((sum + count / 2) / count) as u8
        };
        let data = sums.iter().enumerate().map(mean).collect();
        RgbImage::from_raw(columns, height.div_ceil(factor), data).expect("three values were made for each square")
    }
}

/// Decodes row by row. The seven passes of an interlaced picture fall into the same squares.
fn png(bytes: &[u8], target: u64) -> Result<RgbImage> {
    let broken = |e: png::DecodingError| broken("png", e);
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 64 << 20 });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(broken)?;
    let (width, height, interlaced) = (reader.info().width, reader.info().height, reader.info().interlaced);
    let channels = reader.output_color_type().0.samples();
    let mut squares = Squares::new(width, height, target);
    let passes: &[_] = if interlaced { &ADAM7 } else { &[[(0, 1), (0, 1)]] };
    for [columns, (first, step)] in passes.iter().filter(|[columns, rows]| columns.0 < width && rows.0 < height) {
        for y in (*first..height).step_by(*step as usize) {
            let Some(row) = reader.next_interlaced_row().map_err(broken)? else { break };
            squares.add(y, *columns, rgb(row.data(), channels, Rendering::Shown));
        }
    }
    Ok(squares.finish())
}

/// Decodes by a smaller inverse DCT: 1/2, 1/4 or 1/8 of each side.
fn jpeg(bytes: &[u8], target: u64) -> Result<RgbImage> {
    let broken = |e: jpeg_decoder::Error| broken("jpeg", e);
    // A file that is cut off goes on with end-of-image markers: grey below, as other decoders show it.
    let mut decoder = jpeg_decoder::Decoder::new(bytes.chain(EndOfImage(false)));
    decoder.read_info().map_err(broken)?;
    let Some(info) = decoder.info() else { unreachable!("its header has been read") };
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let channels = info.pixel_format.pixel_bytes() as u64;
    // Coefficients of two bytes: all of them for progressive files, else those that wait for their transform.
    fits(width, height, "jpeg", 2 * channels * u64::from(width) * u64::from(height))?;
    let size = |divisor: u16| (info.width.div_ceil(divisor), info.height.div_ceil(divisor));
    let small = |(width, height): (u16, u16)| u64::from(width) * u64::from(height) <= target;
    let (wanted_width, wanted_height) = size([1, 2, 4].into_iter().find(|d| small(size(*d))).unwrap_or(8));
    let (width, height) = decoder.scale(wanted_width, wanted_height).map_err(broken)?;
    let samples = decoder.decode().map_err(broken)?;
    let rgb = match info.pixel_format {
        jpeg_decoder::PixelFormat::RGB24 => samples,
        jpeg_decoder::PixelFormat::L8 => rgb(&samples, 1, Rendering::Shown).collect(),
        jpeg_decoder::PixelFormat::CMYK32 => samples.chunks_exact(4).flat_map(from_cmyk).collect(),
        jpeg_decoder::PixelFormat::L16 => return Err(super::pixels::broken("jpeg", "lossless, with 16 bits")),
    };
    let image = RgbImage::from_raw(width.into(), height.into(), rgb);
    image.ok_or_else(|| super::pixels::broken("jpeg", "it holds fewer pixels than it says"))
}

/// Converts ink to light: (255 − ink) · (255 − black) / 255.
fn from_cmyk(ink: &[u8]) -> [u8; 3] {
    let light = |ink: u8| u32::from(255 - ink);
    [ink[0], ink[1], ink[2]].map(|value| ((light(value) * light(ink[3]) + 127) / 255) as u8)
}

/// End-of-image markers without end. The flag says that the marker's first byte has been read.
struct EndOfImage(bool);

impl Read for EndOfImage {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        for byte in out.iter_mut() {
            *byte = if self.0 { 0xD9 } else { 0xFF };
            self.0 = !self.0;
        }
        Ok(out.len())
    }
}

/// Decodes the whole picture, then shrinks it.
fn whole(format: ImageFormat, decoder: impl ImageDecoder, target: u64) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    let name = name(format).unwrap_or_default();
    // What comes out, as much inside the decoder (planes, a frame that is smaller than the canvas), and the squares.
    fits(width, height, name, 2 * decoder.total_bytes() + 12 * target)?;
    let (samples, channels) = eight_bit(DynamicImage::from_decoder(decoder).map_err(|e| broken(name, e))?);
    let shown = Rendering::Shown;
    let rendering = if format == ImageFormat::Bmp { of_bmp(&samples, channels, shown) } else { shown };
    let mut squares = Squares::new(width, height, target);
    for (y, row) in samples.chunks_exact(width as usize * channels).enumerate() {
        squares.add(y as u32, (0, 1), rgb(row, channels, rendering));
    }
    Ok(squares.finish())
}

#[cfg(test)]
mod tests;
