//! Image bytes → pixel values `[3, S, S]`, exactly as PIL and transformers make them.
//!
//! decode (`decode`; `large` where that would take too much memory) → RGB, upright, on white → square by policy, in
//! the same step as the bicubic resize (`resample`) → `(u8 · rescale_factor − mean) / std`.
//!
//! # Source
//! `expand2square` of LLaVA's `mm_utils.py` for [`SquarePolicy::Pad`]; `CLIPImageProcessor` of transformers
//! for the rest.

mod decode;
#[cfg(feature = "large-pictures")]
mod large;
mod pixels;
mod resample;
mod sniff;

use crate::config::{SquarePolicy, VisionConfig, json_object};
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use resample::{Axis, Rgb, resample};
use serde_json::Value;

const FILE: &str = "preprocessor_config.json";
/// CLIP's own mean and standard deviation, RGB.
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

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

/// Settings of preprocessing: `preprocessor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct PreprocessConfig {
    /// Way of making the picture square.
    pub policy: SquarePolicy,
    /// `S`, the side of the result, pixels.
    pub size: u32,
    /// [`SquarePolicy::Crop`]: length of the shorter side before the crop, pixels; at least `size`.
    pub shortest_edge: u32,
    /// Factor on 0 … 255.
    pub rescale_factor: f64,
    /// Subtracted per channel after rescaling.
    pub mean: [f64; 3],
    /// Divided by per channel after that.
    pub std: [f64; 3],
    /// Choice of RGB values; no field of the file.
    pub rendering: Rendering,
}

/// A picture as the input of the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelValues {
    /// `[tiles, 3, S, S]`.
    pub data: Vec<f32>,
    /// Squares that the tower sees.
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

impl PreprocessConfig {
    /// Returns LLaVA-1.5's own settings: padding, and CLIP's numbers.
    pub fn llava(size: u32) -> Self {
        Self {
            policy: SquarePolicy::Pad,
            size,
            shortest_edge: size,
            rescale_factor: 1.0 / 255.0,
            mean: CLIP_MEAN,
            std: CLIP_STD,
            rendering: Rendering::Shown,
        }
    }

    /// Parses and checks `preprocessor_config.json`. Without one: [`PreprocessConfig::llava`].
    ///
    /// # Errors
    /// [`Kind::Config`], naming the field, for what is malformed, not implemented, or of another size than
    /// the vision tower's input.
    pub fn parse(bytes: Option<&[u8]>, vision: &VisionConfig) -> Result<Self> {
        let mut config = Self::llava(vision.image_size);
        let Some(bytes) = bytes else {
            return Ok(config);
        };
        let root = json_object(bytes, FILE)?;
        for (key, wanted) in [("do_resize", true), ("do_rescale", true), ("do_normalize", true)] {
            let value = flag(&root, key, true)?;
            ensure!(value == wanted, Config, at(key), "{value} is not implemented");
        }
        let resample = root.get("resample").filter(|v| !v.is_null());
        ensure!(
            resample.is_none_or(|v| v.as_u64() == Some(3)),
            Config,
            at("resample"),
            "`{}` is not implemented (3, bicubic)",
            resample.unwrap()
        );
        let aspect = root.get("image_aspect_ratio").and_then(Value::as_str);
        config.policy = if flag(&root, "do_pad", false)? || aspect == Some("pad") {
            SquarePolicy::Pad
        } else if flag(&root, "do_center_crop", true)? {
            SquarePolicy::Crop
        } else {
            let hint = "set do_pad or do_center_crop";
            return Err(Error::new(Kind::Config, at("do_center_crop"), "nothing makes the picture square").hint(hint));
        };
        let (size, vision_size) = (side(&root, "size", vision.image_size)?, vision.image_size);
        let crop = side(&root, "crop_size", vision_size)?;
        let wrong = if config.policy == SquarePolicy::Pad { size != vision_size } else { size < vision_size };
        ensure!(!wrong, Config, at("size"), "{size}; the vision tower takes {vision_size}");
        ensure!(crop == vision_size, Config, at("crop_size"), "{crop}; the vision tower takes {vision_size}");
        config.shortest_edge = size;
        config.rescale_factor = number(root.get("rescale_factor"), "rescale_factor", config.rescale_factor)?;
        for (key, values) in [("image_mean", &mut config.mean), ("image_std", &mut config.std)] {
            let given = root.get(key).filter(|v| !v.is_null());
            ensure!(
                given.is_none_or(|v| v.as_array().is_some_and(|a| a.len() == 3)),
                Config,
                at(key),
                "is not a list of 3 numbers"
            );
            for (i, value) in values.iter_mut().enumerate() {
                *value = number(given.map(|list| &list[i]), key, *value)?;
            }
        }
        ensure!(
            config.std.iter().all(|s| *s > 0.0) && config.mean.iter().all(|m| (0.0..=1.0).contains(m)),
            Config,
            at("image_mean"),
            "{:?} and image_std {:?} are no means in 0 … 1 and positive deviations",
            config.mean,
            config.std
        );
        Ok(config)
    }

    /// `int(255 · mean)`: the colour of the border.
    fn border(&self) -> [u8; 3] {
        self.mean.map(|m| (m * 255.0) as u8)
    }

    /// Returns the axes of the resize: which part of which virtual image the result is, along columns and rows.
    fn axes(&self, width: u32, height: u32) -> (Axis, Axis) {
        let (size, short, long) = (self.size, width.min(height), width.max(height));
        let axis = |length: u32| match self.policy {
            // Pasted at (long − length) // 2 on a square of side `long`, which is resized to `size`.
            SquarePolicy::Pad => {
                Axis { virtual_in: long, before: (long - length) / 2, length, virtual_out: size, first: 0, count: size }
            }
            // Resized to `shortest_edge` or int(shortest_edge · long / short), then cut at (length − size) // 2.
            SquarePolicy::Crop => {
                let edge = u64::from(self.shortest_edge);
                let virtual_out = (edge * u64::from(length) / u64::from(short)) as u32;
                let first = (virtual_out - size) / 2;
                Axis { virtual_in: length, before: 0, length, virtual_out, first, count: size }
            }
        };
        (axis(width), axis(height))
    }
}

/// Converts a JPEG, PNG, WebP, GIF (first frame) or BMP file to pixel values.
///
/// # Shapes
/// `data`: `[3, S, S]`.
///
/// # Numerics
/// Resizing is PIL's to the bit (`tests/reference.rs`), and so are the decoders of PNG, WebP, GIF and BMP. JPEG
/// decoders differ in rounding: by at most 2/255 from libjpeg-turbo after resizing to 56 × 56 (measured on 4:4:4,
/// 4:2:2, 4:2:0, progressive, grey and CMYK at qualities 75 to 95), 0.1/255 on average.
///
/// # Errors
/// [`Kind::Image`] for bytes that are no such file; for dimensions beyond [`LARGEST_SIDE`] and [`LARGEST_PIXELS`]
/// (without the feature `large-pictures`: [`MAX_SIDE`] and [`MAX_PIXELS`]), which the header states before anything is
/// decoded; and for a picture whose decoding would take more than [`MAX_MEMORY`].
pub fn preprocess(bytes: &[u8], config: &PreprocessConfig) -> Result<PixelValues> {
    let decode::Decoded { image, width, height, format } = decode::decode(bytes, config.rendering)?;
    Ok(PixelValues { tiles: 1, grid: [0, 0], data: normalize(&square(image, config), config), width, height, format })
}

/// Resizes a picture to a square; returns `[S, S, 3]`.
fn square(image: Rgb, config: &PreprocessConfig) -> Vec<u8> {
    let (columns, rows) = config.axes(image.width, image.height);
    resample(image, &columns, &rows, config.border())
}

/// Normalises `[S, S, 3]` bytes to `[3, S, S]` values.
fn normalize(square: &[u8], config: &PreprocessConfig) -> Vec<f32> {
    let mut data = Vec::with_capacity(square.len());
    for channel in 0..3 {
        let value = |u: u8| (f64::from(u) * config.rescale_factor - config.mean[channel]) / config.std[channel];
        let table: Vec<f32> = (0..=255).map(|u| value(u) as f32).collect();
        data.extend(square.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]));
    }
    data
}

fn at(key: &str) -> String {
    format!("{FILE}: {key}")
}

fn flag(root: &Value, key: &str, default: bool) -> Result<bool> {
    match root.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => fail!(Config, at(key), "`{other}` is not true or false"),
    }
}

fn number(value: Option<&Value>, key: &str, default: f64) -> Result<f64> {
    match value.filter(|v| !v.is_null()).map(|v| (v, v.as_f64())) {
        None => Ok(default),
        Some((_, Some(number))) if number.abs() < 1e6 => Ok(number),
        Some((value, _)) => fail!(Config, at(key), "`{value}` is not a number"),
    }
}

/// Reads a side length, written as a number, `{"shortest_edge": n}` or `{"height": n, "width": n}`.
fn side(root: &Value, key: &str, default: u32) -> Result<u32> {
    let Some(value) = root.get(key).filter(|v| !v.is_null()) else {
        return Ok(default);
    };
    let found = match value {
        Value::Object(map) => match (map.get("shortest_edge"), map.get("height"), map.get("width")) {
            (Some(edge), None, None) => edge.as_u64(),
            // For `size` this stretches a picture that is not square; only where it is, is it the same.
            (None, Some(height), Some(width)) if height == width => height.as_u64(),
            _ => None,
        },
        single => single.as_u64(),
    };
    match found {
        Some(n) if (1..=4096).contains(&n) => Ok(n as u32),
        _ => fail!(Config, at(key), "`{value}` is not the side of a square of at most 4096"),
    }
}

#[cfg(test)]
mod tests;
