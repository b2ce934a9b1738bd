//! A picture → squares for the vision tower: sizes, resizes and cuts.
//!
//! # Source
//! `image_processing_pil_idefics3.py`, `image_processing_pil_llava_next.py` and `image_processing_utils.py` of
//! transformers 5.23.0. Sizes are rounded there in 64-bit floating point, and here in the same order.

use super::resample::{Axis, Rgb, resample};
use super::{PreprocessConfig, Tiling};
use crate::config::SquarePolicy;
use crate::config::llava_next::most_tiles;

/// The squares of a picture.
pub(super) struct Tiles {
    /// `[tiles, S, S, 3]`.
    pub data: Vec<u8>,
    /// Rows and columns that the picture was cut into; `[0, 0]` where it was not.
    pub grid: [u32; 2],
}

/// Width and height, pixels.
pub(super) type Size = (u32, u32);

impl PreprocessConfig {
    /// Returns the number of squares that a picture of this size becomes, and the rows and columns that it is cut into
    /// ([`PixelValues::grid`](super::PixelValues::grid)). Of pictures that are shrunk while they are decoded the size
    /// after that counts.
    pub fn tiles_of(&self, width: u32, height: u32) -> (u32, [u32; 2]) {
        let size = (width.max(1), height.max(1));
        let grid = match &self.tiling {
            Tiling::One(_) => [0, 0],
            Tiling::Grid { longest_edge } => self.grid(multiples(with_longest_edge(size, *longest_edge), self.size)),
            Tiling::Anyres { candidates } => best(size, candidates).map(|side| side / self.size),
        };
        (grid[0] * grid[1] + 1, grid)
    }

    /// Returns the most squares that any picture becomes.
    pub fn max_tiles(&self) -> u32 {
        match &self.tiling {
            Tiling::Grid { longest_edge } if self.splitting => match self.most_rows(*longest_edge) {
                1 => 1,
                rows => rows * rows + 1,
            },
            Tiling::One(_) | Tiling::Grid { .. } => 1,
            Tiling::Anyres { candidates } => most_tiles(candidates, self.size),
        }
    }

    /// Returns the most rows, or columns, of [`Tiling::Grid`]. An odd longest edge makes squares one pixel longer.
    pub(super) fn most_rows(&self, longest_edge: u32) -> u32 {
        (longest_edge + longest_edge % 2).div_ceil(self.size)
    }

    /// Returns rows and columns of a picture whose sides are multiples of a square's.
    fn grid(&self, (width, height): Size) -> [u32; 2] {
        if self.splitting && width.max(height) > self.size { [height / self.size, width / self.size] } else { [0, 0] }
    }

    /// Returns the axes of the resize to one square: which part of which virtual image the result is, along columns and
    /// rows.
    pub(super) fn axes(&self, policy: SquarePolicy, width: u32, height: u32) -> (Axis, Axis) {
        let (size, short, long) = (self.size, width.min(height), width.max(height));
        let axis = |length: u32| match policy {
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
            SquarePolicy::Stretch => Axis::whole(length, size),
        };
        (axis(width), axis(height))
    }
}

/// Resizes and cuts a picture.
///
/// Beside the picture, at most a strip of its shorter side and 4096 pixels, the resized picture (4096 × 4096 at most,
/// also where a tiny picture is enlarged) and the squares are in memory.
pub(super) fn cut(image: Rgb, config: &PreprocessConfig) -> Tiles {
    match &config.tiling {
        Tiling::One(policy) => {
            let (columns, rows) = config.axes(*policy, image.width, image.height);
            Tiles { data: resample(&image, &columns, &rows, config.border(), config.filter), grid: [0, 0] }
        }
        Tiling::Grid { longest_edge } => cut_grid(image, *longest_edge, config),
        Tiling::Anyres { candidates } => cut_anyres(image, candidates, config),
    }
}

/// Cuts the squares of Idefics3, the whole picture last.
fn cut_grid(image: Rgb, longest_edge: u32, config: &PreprocessConfig) -> Tiles {
    let square = (config.size, config.size);
    let resized = resize(&image, with_longest_edge(image.size(), longest_edge), config);
    drop(image);
    if !config.splitting {
        return Tiles { data: resize(&resized, square, config).data, grid: [0, 0] };
    }
    let aligned = resize(&resized, multiples(resized.size(), config.size), config);
    drop(resized);
    let grid = config.grid(aligned.size());
    let mut data = Vec::new();
    if grid != [0, 0] {
        push_squares(&aligned, config.size, &mut data);
    }
    data.extend(resize(&aligned, square, config).data);
    Tiles { data, grid }
}

/// Cuts the squares of LLaVA-NeXT, the whole picture first.
fn cut_anyres(image: Rgb, candidates: &[[u32; 2]], config: &PreprocessConfig) -> Tiles {
    let [height, width] = best(image.size(), candidates);
    let mut data = resize(&image, (config.size, config.size), config).data;
    let inner = resize(&image, inside(image.size(), (width, height)), config);
    drop(image);
    let (left, top) = ((width - inner.width) / 2, (height - inner.height) / 2);
    let mut canvas = Rgb { width, height, data: vec![0; 3 * width as usize * height as usize] };
    let (line, inner_line) = (3 * width as usize, 3 * inner.width as usize);
    for (y, row) in inner.data.chunks_exact(inner_line).enumerate() {
        canvas.data[(top as usize + y) * line + 3 * left as usize..][..inner_line].copy_from_slice(row);
    }
    drop(inner);
    push_squares(&canvas, config.size, &mut data);
    Tiles { data, grid: [height / config.size, width / config.size] }
}

/// Resizes a whole picture.
fn resize(image: &Rgb, (width, height): Size, config: &PreprocessConfig) -> Rgb {
    let (columns, rows) = (Axis::whole(image.width, width), Axis::whole(image.height, height));
    Rgb { width, height, data: resample(image, &columns, &rows, [0; 3], config.filter) }
}

/// Appends the squares of an image, row by row. Its sides are multiples of `side`.
fn push_squares(image: &Rgb, side: u32, out: &mut Vec<u8>) {
    let (side, line) = (side as usize, 3 * image.width as usize);
    out.reserve(image.data.len());
    for row in image.data.chunks_exact(side * line) {
        for column in (0..line).step_by(3 * side) {
            for pixels in row.chunks_exact(line) {
                out.extend_from_slice(&pixels[column..column + 3 * side]);
            }
        }
    }
}

/// Returns the size whose longer side is `edge`, at most 4096; the shorter side is rounded down, then up to an even
/// number.
///
/// # Source
/// `_resize_output_size_rescale_to_max_len`.
fn with_longest_edge((width, height): Size, edge: u32) -> Size {
    let ratio = f64::from(width) / f64::from(height);
    let even = |length: f64| (length as u32).next_multiple_of(2).max(1);
    if width >= height { (edge, even(f64::from(edge) / ratio)) } else { (even(f64::from(edge) * ratio), edge) }
}

/// Returns the size whose longer side is rounded up to a multiple of `side`, and the shorter one after it.
///
/// # Source
/// `resize_for_vision_encoder`.
fn multiples((width, height): Size, side: u32) -> Size {
    let ratio = f64::from(width) / f64::from(height);
    let up = |length: u32| length.max(1).next_multiple_of(side);
    if width >= height {
        let width = up(width);
        (width, up((f64::from(width) / ratio) as u32))
    } else {
        let height = up(height);
        (up((f64::from(height) * ratio) as u32), height)
    }
}

/// Returns the candidate ([height, width]) that keeps most of the picture's pixels, then wastes fewest of its own.
///
/// # Source
/// `select_best_resolution`.
fn best((width, height): Size, candidates: &[[u32; 2]]) -> [u32; 2] {
    let (w, h) = (f64::from(width), f64::from(height));
    let all = u64::from(width) * u64::from(height);
    let (mut found, mut most, mut least_waste) = ([0, 0], 0, u64::MAX);
    for candidate in candidates {
        let [tall, wide] = candidate.map(f64::from);
        let scale = (wide / w).min(tall / h);
        let kept = ((w * scale) as u64 * (h * scale) as u64).min(all);
        let waste = u64::from(candidate[0]) * u64::from(candidate[1]) - kept;
        if kept > most || kept == most && waste < least_waste {
            (found, most, least_waste) = (*candidate, kept, waste);
        }
    }
    found
}

/// Returns the largest size of this aspect within `room`; the side that does not fill it is rounded up.
///
/// # Source
/// `get_patch_output_size`.
pub(super) fn inside((width, height): Size, room: Size) -> Size {
    let (w, h) = (f64::from(width), f64::from(height));
    let (across, down) = (f64::from(room.0) / w, f64::from(room.1) / h);
    if across < down {
        (room.0, ((h * across).ceil() as u32).min(room.1))
    } else {
        (((w * down).ceil() as u32).min(room.0), room.1)
    }
}

#[cfg(test)]
mod tests;
