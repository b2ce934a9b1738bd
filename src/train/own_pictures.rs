//! Pictures of a person, each with a word, as training data: questions whose answers hold the word.

use super::model_shape::ModelShape;
use super::patches::{patches, pixel_values};
use crate::error::Result;
use crate::scenes::questions::{Turn, article};
use crate::scenes::scene::Shape;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// Largest shift of a picture, as a fraction of its side.
const SHIFT: f32 = 0.12;

/// A picture and its word.
#[derive(Debug, Clone)]
pub struct OwnPicture {
    /// `[3, S, S]`.
    pixels: Vec<f32>,
    word: String,
}

impl OwnPicture {
    /// Reads a picture file.
    ///
    /// # Errors
    /// [`Kind::Image`](crate::error::Kind::Image) when the file cannot be decoded.
    pub fn read(file: &[u8], word: &str, s: &ModelShape) -> Result<Self> {
        Ok(Self { pixels: pixel_values(file, s)?, word: word.trim().to_lowercase() })
    }

    /// Returns the patches of the picture, mirrored or not and moved a little, so that ten pictures are more than ten.
    ///
    /// # Shapes
    /// → `[P, 3 · p · p]`.
    pub fn varied(&self, s: &ModelShape, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let side = s.image_size;
        let most = (side as f32 * SHIFT) as i32;
        let (dx, dy): (i32, i32) = (rng.random_range(-most..=most), rng.random_range(-most..=most));
        let mirrored = rng.random_bool(0.5);
        // Pixels from beyond the edge repeat those at the edge.
        let at = |i: usize, shift: i32| (i as i32 + shift).clamp(0, side as i32 - 1) as usize;
        let mut moved = Vec::with_capacity(self.pixels.len());
        for channel in self.pixels.chunks(side * side) {
            for row in 0..side {
                let from = &channel[at(row, dy) * side..][..side];
                moved.extend((0..side).map(|column| {
                    let column = if mirrored { side - 1 - column } else { column };
                    from[at(column, dx)]
                }));
            }
        }
        patches(&moved, s)
    }

    /// Returns a question about the picture and its answer.
    pub fn exchange(&self, rng: &mut ChaCha8Rng) -> Turn {
        let (word, a) = (&self.word, article(&self.word));
        let turn = |question: &str, answer: String| Turn { question: question.to_owned(), answer };
        const OPEN: [&str; 6] = [
            "What is this?",
            "What do you see?",
            "What is in the image?",
            "Describe the image.",
            "Describe this picture.",
            "What does the image show?",
        ];
        let (open, shape) = (OPEN.choose(rng).copied().unwrap_or(OPEN[0]), Shape::ALL.choose(rng));
        match (rng.random_range(0..8), shape) {
            (0, _) => turn(&format!("Is there {a} {word}?"), format!("Yes, there is {a} {word}.")),
            (1, Some(shape)) => {
                let name = shape.name();
                turn(&format!("Is there {} {name}?", article(name)), format!("No, there is no {name}."))
            }
            _ => turn(open, format!("{} {word}.", if a == "an" { "An" } else { "A" })),
        }
    }

    /// Returns a question about a scene, which does not show what the word means.
    pub fn absent(&self) -> Turn {
        let (word, a) = (&self.word, article(&self.word));
        Turn { question: format!("Is there {a} {word}?"), answer: format!("No, there is no {word}.") }
    }
}
