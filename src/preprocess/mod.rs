//! Image bytes → pixel values `[tiles, 3, S, S]`, exactly as PIL and transformers make them.
//!
//! decode (`decode`; `large` where that would take too much memory) → RGB, upright, on white → squares by [`Tiling`]
//! (`tiles`), resized by PIL's filters (`resample`) → `(u8 · rescale_factor − mean) / std`.
//!
//! # Source
//! `expand2square` of LLaVA's `mm_utils.py` for [`SquarePolicy::Pad`](crate::config::SquarePolicy::Pad);
//! `CLIPImageProcessor`, `SiglipImageProcessor`, `Idefics3ImageProcessor` and `LlavaNextImageProcessor` of
//! transformers 5.23.0, in their PIL versions, for the rest.

mod config;
mod decode;
#[cfg(feature = "large-pictures")]
mod large;
mod parse;
mod pixels;
mod regions;
mod resample;
mod sniff;
mod tiles;

pub use config::{PreprocessConfig, Tiling};
pub use regions::Region;
pub use resample::Filter;

use crate::error::{Error, Result};
use crate::fail;

/// Longest side that is decoded exactly, pixels.
pub const MAX_SIDE: u32 = 16384;
/// Most pixels that are decoded exactly: their 8-bit RGBA takes 200 MB, which a tab can still spare.
pub const MAX_PIXELS: u64 = 50_000_000;
/// Longest side that is read, pixels: the longest of any JPEG.
pub const LARGEST_SIDE: u32 = 65535;
/// Most pixels that are read.
pub const LARGEST_PIXELS: u64 = 400_000_000;
/// Most memory that decoding takes besides the file itself, bytes: the coefficients of a progressive JPEG of 220
/// million pixels, without subsampling.
pub const MAX_MEMORY: u64 = 1280 << 20;

/// Choice of the RGB values that a file stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rendering {
    /// As a person sees the picture: turned upright by EXIF, transparency composited on white (transformers 5),
    /// pictures beyond [`MAX_PIXELS`] or [`MAX_SIDE`] shrunk.
    #[default]
    Shown,
    /// As PIL's `convert("RGB")` converts the stored pixels, and with it transformers 4 and LLaVA's own code: alpha
    /// dropped, EXIF ignored, nothing shrunk. For comparison with published figures.
    Reference,
}

impl std::str::FromStr for Rendering {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "shown" => Ok(Self::Shown),
            "reference" => Ok(Self::Reference),
            other => fail!(Argument, "rendering", "`{other}` is neither shown nor reference"),
        }
    }
}

/// A picture as inputs of the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelValues {
    /// `[tiles, 3, S, S]`, in the order of [`Tiling`].
    pub data: Vec<f32>,
    /// Number of squares, the whole picture included.
    pub tiles: u32,
    /// Rows and columns that the picture was cut into; `[0, 0]` where it was not.
    pub grid: [u32; 2],
    /// Width of the original, upright, pixels.
    pub width: u32,
    /// Height of the original, upright, pixels.
    pub height: u32,
    /// `jpeg`, `png`, `webp`, `gif` or `bmp`.
    pub format: &'static str,
}

/// Converts a JPEG, PNG, WebP, GIF (first frame) or BMP file to pixel values.
///
/// # Shapes
/// `data`: `[tiles, 3, S, S]`.
///
/// # Numerics
/// Resizing is PIL's to the bit (`tests/native/tiles.rs`, `tests/native/reference.rs`), and so are the decoders of PNG, WebP, GIF and
/// BMP. JPEG decoders differ in rounding: by at most 2/255 from libjpeg-turbo after resizing to 56 × 56 (measured on
/// 4:4:4, 4:2:2, 4:2:0, progressive, grey and CMYK at qualities 75 to 95), 0.1/255 on average.
///
/// # Errors
/// [`Kind::Image`](crate::error::Kind::Image) for bytes that are no such file; for dimensions beyond [`LARGEST_SIDE`]
/// and [`LARGEST_PIXELS`] (without the feature `large-pictures`: [`MAX_SIDE`] and [`MAX_PIXELS`]), which the header
/// states before anything is decoded; and for a picture whose decoding would take more than [`MAX_MEMORY`].
/// [`Kind::Config`](crate::error::Kind::Config) for settings beyond the bounds of [`PreprocessConfig::check`].
pub fn preprocess(bytes: &[u8], config: &PreprocessConfig) -> Result<PixelValues> {
    config.check()?;
    let decode::Decoded { image, width, height, format } = decode::decode(bytes, config.rendering)?;
    let tiles::Tiles { data, grid } = tiles::cut(image, config);
    let square = 3 * config.size as usize * config.size as usize;
    let tiles = (data.len() / square) as u32;
    Ok(PixelValues { data: normalize(&data, config), tiles, grid, width, height, format })
}

/// Normalises `[tiles, S, S, 3]` bytes to `[tiles, 3, S, S]` values.
fn normalize(squares: &[u8], config: &PreprocessConfig) -> Vec<f32> {
    let table = |channel: usize| -> Vec<f32> {
        let value = |u: u8| (f64::from(u) * config.rescale_factor - config.mean[channel]) / config.std[channel];
        (0..=255).map(|u| value(u) as f32).collect()
    };
    let tables = [0, 1, 2].map(table);
    let mut data = Vec::with_capacity(squares.len());
    for square in squares.chunks_exact(3 * config.size as usize * config.size as usize) {
        for (channel, table) in tables.iter().enumerate() {
            data.extend(square.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]));
        }
    }
    data
}

#[cfg(test)]
mod tests;
