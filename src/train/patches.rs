//! Pictures → rows of patch pixels, the layout that the patch embedding multiplies.
//!
//! All pixel values come from [`preprocess`], so training sees exactly the values that the engine computes for the same
//! picture.

use super::model_shape::ModelShape;
use crate::error::Result;
use crate::preprocess::{PreprocessConfig, preprocess};
use crate::scenes::dataset::bmp;
use crate::scenes::draw::Picture;
use crate::scenes::scene::Scene;

/// Returns the preprocessing of the trained model: padded to a square, CLIP's mean and deviation.
pub fn preprocess_config(s: &ModelShape) -> PreprocessConfig {
    PreprocessConfig::llava(s.image_size as u32)
}

/// Returns the pixel values of a picture file.
///
/// # Shapes
/// → `[3, S, S]`.
///
/// # Errors
/// [`Kind::Image`](crate::error::Kind::Image) when the file cannot be decoded.
pub fn pixel_values(file: &[u8], s: &ModelShape) -> Result<Vec<f32>> {
    Ok(preprocess(file, &preprocess_config(s))?.data)
}

/// Returns the patches of a drawn picture.
///
/// # Shapes
/// → `[P, 3 · p · p]`.
///
/// # Errors
/// [`Kind::Image`](crate::error::Kind::Image) when the picture's size and its bytes disagree.
pub fn picture_patches(picture: &Picture, s: &ModelShape) -> Result<Vec<f32>> {
    Ok(patches(&pixel_values(&bmp(picture)?, s)?, s))
}

/// Rearranges pixel values into patches, row by row.
///
/// # Shapes
/// `[3, S, S]` → `[P, 3 · p · p]`.
pub fn patches(pixels: &[f32], s: &ModelShape) -> Vec<f32> {
    patch_rows(pixels, s.image_size, s.patch_size)
}

/// Rearranges the pixel values of a square of `side` pixels into its whole patches of `p` pixels, row by row.
///
/// # Shapes
/// `[3, S, S]` → `[P, 3 · p · p]`.
pub fn patch_rows(pixels: &[f32], side: usize, p: usize) -> Vec<f32> {
    let across = side / p;
    let mut out = Vec::with_capacity(pixels.len());
    for patch in 0..across * across {
        let (py, px) = (patch / across * p, patch % across * p);
        for row in (0..3 * p).map(|i| (i / p * side + py + i % p) * side + px) {
            out.extend_from_slice(&pixels[row..row + p]);
        }
    }
    out
}

/// Converts a position in the scene (fractions of width and height) to fractions of the padded square's side.
pub fn in_square(scene: &Scene, centre: [f32; 2]) -> [f32; 2] {
    let longest = scene.extent[0].max(scene.extent[1]);
    std::array::from_fn(|axis| {
        let pad = (longest - scene.extent[axis]) / 2.0;
        (centre[axis] * scene.extent[axis] + pad) / longest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::dataset::png;
    use crate::scenes::draw::draw;
    use crate::scenes::scene::{TRAIN_SEED, sample, scene_rng};

    /// Each patch value is the engine's pixel value at the same place, bit for bit.
    #[test]
    fn training_sees_the_pixel_values_of_the_engine() {
        let s = ModelShape::shipped();
        let (side, p) = (s.image_size, s.patch_size);
        for index in 0..10 {
            let picture = draw(&sample(&mut scene_rng(TRAIN_SEED, index)), 200);
            let engine = preprocess(&png(&picture).unwrap(), &PreprocessConfig::llava(side as u32)).unwrap().data;
            let trained = picture_patches(&picture, &s).unwrap();
            assert_eq!(trained.len(), engine.len());
            for (i, value) in trained.iter().enumerate() {
                let (patch, channel, y, x) = (i / (3 * p * p), i / (p * p) % 3, i / p % p, i % p);
                let (row, column) = (patch / (side / p) * p + y, patch % (side / p) * p + x);
                assert_eq!(value.to_bits(), engine[(channel * side + row) * side + column].to_bits(), "{index} {i}");
            }
        }
    }
}
