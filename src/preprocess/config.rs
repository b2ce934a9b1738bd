//! Settings of preprocessing, their bounds, and the choice of the longest edge.

use super::{Filter, Rendering};
use crate::config::llava_next::MAX_CANDIDATES;
use crate::config::{Config, PictureLayout, SquarePolicy, TowerKind};
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};

/// The file of the settings.
pub(super) const FILE: &str = "preprocessor_config.json";
/// CLIP's own mean and standard deviation, RGB.
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];
/// SigLIP's mean and standard deviation: values between −1 and 1.
const HALF: [f64; 3] = [0.5; 3];

/// Longest edge of Idefics3 and SmolVLM, sides of a square.
const EDGES: u32 = 4;
/// Longest side of a picture that is cut into squares, pixels (`MAX_IMAGE_SIZE` of Idefics3).
pub(super) const LONGEST: u32 = 4096;
/// Most rows and columns of a grid: the marks of Idefics3 go from `<row_1_col_1>` to `<row_6_col_6>`.
const MOST_ROWS: u32 = 6;
/// Most squares of a size that anyres chooses.
const MOST_SQUARES: usize = 64;

/// Way from a picture to the inputs of the vision tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tiling {
    /// One square.
    One(SquarePolicy),
    /// Idefics3 and SmolVLM: the longer side is resized to `longest_edge`, both sides to multiples of `size`, and the
    /// result is cut into squares, row by row. The whole picture, resized to one square, comes last. A picture that
    /// fills one square is not cut.
    Grid {
        /// Length of the longer side, pixels.
        longest_edge: u32,
    },
    /// LLaVA-NeXT (anyres): the whole picture comes first, stretched to one square. Then come the squares, row by row,
    /// of the picture resized into the best of `candidates` and padded with black.
    Anyres {
        /// Sizes as [height, width], pixels; multiples of `size`.
        candidates: Vec<[u32; 2]>,
    },
}

/// Settings of preprocessing: `preprocessor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct PreprocessConfig {
    /// Way from a picture to squares.
    pub tiling: Tiling,
    /// `S`, the side of a square, pixels.
    pub size: u32,
    /// [`SquarePolicy::Crop`]: length of the shorter side before the crop, pixels; at least `size`.
    pub shortest_edge: u32,
    /// [`Tiling::Grid`]: the longest edge that the checkpoint asks for, pixels. `tiling` holds the chosen one.
    pub default_edge: u32,
    /// [`Tiling::Grid`]: the picture is cut. If not, it becomes one square by way of `longest_edge`.
    pub splitting: bool,
    /// Filter of every resize.
    pub filter: Filter,
    /// Factor on 0 … 255.
    pub rescale_factor: f64,
    /// Subtracted per channel after rescaling.
    pub mean: [f64; 3],
    /// Divided by per channel after that.
    pub std: [f64; 3],
    /// Choice of RGB values; no field of the file.
    pub rendering: Rendering,
}

impl PreprocessConfig {
    /// Returns LLaVA-1.5's own settings: padding, and CLIP's numbers.
    pub fn llava(size: u32) -> Self {
        Self {
            tiling: Tiling::One(SquarePolicy::Pad),
            size,
            shortest_edge: size,
            default_edge: size,
            splitting: true,
            filter: Filter::Bicubic,
            rescale_factor: 1.0 / 255.0,
            mean: CLIP_MEAN,
            std: CLIP_STD,
            rendering: Rendering::Shown,
        }
    }

    /// Returns the settings of the family of `config`: those of its processor in transformers.
    pub fn of(config: &Config) -> Self {
        let (size, tower) = (config.vision.image_size, config.vision.tower);
        match &config.layout {
            PictureLayout::Marked => Self::idefics3(size, EDGES * size),
            PictureLayout::Anyres { candidates } => Self::llava_next(size, candidates.clone()),
            PictureLayout::Single if tower == TowerKind::Siglip => Self::siglip(size),
            PictureLayout::Single => Self::llava(size),
        }
    }

    /// Returns the settings of SigLIP's processor: stretched to one square, values between −1 and 1.
    pub fn siglip(size: u32) -> Self {
        Self { tiling: Tiling::One(SquarePolicy::Stretch), mean: HALF, std: HALF, ..Self::llava(size) }
    }

    /// Returns the settings of Idefics3 and SmolVLM: squares of side `size`, the longer side at `longest_edge` pixels
    /// (2048 with squares of 512, 1536 with squares of 384).
    pub fn idefics3(size: u32, longest_edge: u32) -> Self {
        Self {
            tiling: Tiling::Grid { longest_edge },
            default_edge: longest_edge,
            filter: Filter::Lanczos,
            ..Self::siglip(size)
        }
    }

    /// Returns the settings of LLaVA-NeXT: squares of side `size` of the best of `candidates` ([height, width], pixels:
    /// `image_grid_pinpoints`), CLIP's numbers.
    pub fn llava_next(size: u32, candidates: Vec<[u32; 2]>) -> Self {
        Self { tiling: Tiling::Anyres { candidates }, ..Self::llava(size) }
    }

    /// Checks the sizes. They bound what a picture can become: at most 4096 × 4096 pixels and one square besides, cut
    /// into at most 65 squares; 37 of [`Tiling::Grid`].
    ///
    /// # Errors
    /// [`Kind::Config`] for a square or a longest edge outside 1 … 4096, a grid of more than 6 × 6, no candidate, more
    /// than 64, or one that is not made of at most 64 squares and at most 4096 pixels long.
    pub fn check(&self) -> Result<()> {
        let size = self.size;
        ensure!((1..=LONGEST).contains(&size), Config, at("size"), "{size} is not within 1 … {LONGEST}");
        match &self.tiling {
            Tiling::One(_) => Ok(()),
            Tiling::Grid { longest_edge } => {
                let range = 1..=LONGEST;
                ensure!(range.contains(longest_edge), Config, at("size"), "{longest_edge} is not within 1 … {LONGEST}");
                let rows = self.most_rows(*longest_edge);
                let fits = !self.splitting || rows == 1 || rows <= MOST_ROWS && rows * size <= LONGEST;
                ensure!(
                    fits,
                    Config,
                    at("size"),
                    "a longest edge of {longest_edge} makes {rows} × {rows} squares of {size}; at most {MOST_ROWS} × \
                     {MOST_ROWS} and {LONGEST} pixels are implemented"
                );
                Ok(())
            }
            Tiling::Anyres { candidates } => {
                let place = at("image_grid_pinpoints");
                let count = candidates.len();
                ensure!(
                    (1..=MAX_CANDIDATES).contains(&count),
                    Config,
                    place,
                    "has {count} sizes; 1 to {MAX_CANDIDATES} are implemented"
                );
                for [height, width] in candidates {
                    let side = |n: &u32| *n > 0 && *n <= LONGEST && n.is_multiple_of(size);
                    let fits = side(height)
                        && side(width)
                        && (height / size) as usize * (width / size) as usize <= MOST_SQUARES;
                    ensure!(
                        fits,
                        Config,
                        place,
                        "[{height}, {width}] is not made of 1 to {MOST_SQUARES} squares of {size}, within {LONGEST}"
                    );
                }
                Ok(())
            }
        }
    }

    /// Returns the lengths of the longest edge that are worth offering, ascending: one square, two squares, and the
    /// checkpoint's own. Empty where the picture is not cut by [`Tiling::Grid`].
    pub fn longest_edges(&self) -> Vec<u32> {
        let Tiling::Grid { .. } = self.tiling else { return Vec::new() };
        let smaller = [self.size, 2 * self.size].into_iter().filter(|edge| self.splitting && *edge < self.default_edge);
        smaller.chain([self.default_edge]).collect()
    }

    /// Returns the chosen longest edge, pixels, where the picture is cut by [`Tiling::Grid`].
    pub fn longest_edge(&self) -> Option<u32> {
        match self.tiling {
            Tiling::Grid { longest_edge } => Some(longest_edge),
            _ => None,
        }
    }

    /// Chooses the longest edge: a multiple of `size`, or the checkpoint's own.
    ///
    /// # Errors
    /// [`Kind::Argument`] where the picture is not cut by [`Tiling::Grid`], and for a length that is no such multiple or
    /// makes more squares than [`PreprocessConfig::check`] allows. The settings are then unchanged.
    pub fn set_longest_edge(&mut self, longest_edge: u32) -> Result<()> {
        const PLACE: &str = "longest edge";
        let Tiling::Grid { .. } = self.tiling else {
            fail!(Argument, PLACE, "pictures are not cut by a longest edge in this model")
        };
        ensure!(
            longest_edge == self.default_edge || longest_edge > 0 && longest_edge.is_multiple_of(self.size),
            Argument,
            PLACE,
            "{longest_edge} is no multiple of {}, nor the checkpoint's own {}",
            self.size,
            self.default_edge
        );
        let chosen = Self { tiling: Tiling::Grid { longest_edge }, ..self.clone() };
        chosen.check().map_err(|error| Error::new(Kind::Argument, PLACE, error.message))?;
        *self = chosen;
        Ok(())
    }

    /// `int(255 · mean)`: the colour of the border.
    pub(super) fn border(&self) -> [u8; 3] {
        self.mean.map(|m| (m * 255.0) as u8)
    }
}

/// Returns the place of a field, for errors.
pub(super) fn at(key: &str) -> String {
    format!("{FILE}: {key}")
}
