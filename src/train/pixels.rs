//! Pictures → pixel values in the layout that the tower's first matmul wants.
//!
//! Training pictures are drawn, not decoded, so they take a short way here: the same padding, filter and
//! numbers as [`preprocess`](crate::preprocess), with rounding that may differ by a level or two. Examination
//! goes through `preprocess` itself.

use super::draw::Picture;
use super::scenes::Scene;
use super::shape::ModelShape;
use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// CLIP's channel means and deviations (of values in 0–1), and the means as bytes for padding.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// CLIP's channel deviations.
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
const PAD: [u8; 3] = [122, 116, 104];

/// Pads to a square with the mean colour and resizes (bicubic, a = −0.5, as Pillow does).
pub fn square(picture: &Picture, side: usize) -> Vec<u8> {
    let (w, h) = (picture.width as usize, picture.height as usize);
    let n = w.max(h);
    let mut padded = Vec::with_capacity(n * n * 3);
    let (left, top) = ((n - w) / 2, (n - h) / 2);
    for y in 0..n {
        if y < top || y >= top + h {
            padded.extend(PAD.repeat(n));
        } else {
            padded.extend(PAD.repeat(left));
            let start = (y - top) * w * 3;
            padded.extend_from_slice(&picture.rgb[start..start + w * 3]);
            padded.extend(PAD.repeat(n - w - left));
        }
    }
    let mut target = Image::new(side as u32, side as u32, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let resized = Image::from_vec_u8(n as u32, n as u32, padded, PixelType::U8x3)
        .is_ok_and(|source| Resizer::new().resize(&source, &mut target, &options).is_ok());
    debug_assert!(resized, "sizes and formats agree");
    target.into_vec()
}

/// Where a position of the scene lies in the padded square, 0–1 on both axes.
pub fn in_square(scene: &Scene, centre: [f32; 2]) -> [f32; 2] {
    let longest = scene.extent[0].max(scene.extent[1]);
    std::array::from_fn(|axis| {
        let pad = (longest - scene.extent[axis]) / 2.0;
        (centre[axis] * scene.extent[axis] + pad) / longest
    })
}

/// Appends the `P` patches of one square picture, each `[3, p, p]`, normalised as CLIP does.
pub fn push_patches(rgb: &[u8], s: &ModelShape, out: &mut Vec<f32>) {
    let (side, p) = (s.image_size, s.patch_size);
    for patch in 0..s.patches() {
        let (py, px) = (patch / (side / p) * p, patch % (side / p) * p);
        for c in 0..3 {
            for y in py..py + p {
                let row = (y * side + px) * 3 + c;
                out.extend((0..p).map(|x| (f32::from(rgb[row + x * 3]) / 255.0 - MEAN[c]) / STD[c]));
            }
        }
    }
}

/// The patches of pixel values `[3, S, S]`, in the order of [`push_patches`].
pub fn patches_of(pixels: &[f32], s: &ModelShape) -> Vec<f32> {
    let (side, p) = (s.image_size, s.patch_size);
    let mut out = Vec::with_capacity(pixels.len());
    for patch in 0..s.patches() {
        let (py, px) = (patch / (side / p) * p, patch % (side / p) * p);
        for row in (0..3 * p).map(|i| (i / p * side + py + i % p) * side + px) {
            out.extend_from_slice(&pixels[row..row + p]);
        }
    }
    out
}
