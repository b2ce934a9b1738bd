//! Squares of the vision tower → rectangles of the picture: the inverse of `tiles`, for maps over the picture.

use super::resample::Axis;
use super::tiles::inside;
use super::{PreprocessConfig, Tiling};

/// A rectangle of a picture, in pixels of the upright picture. It may reach beyond the picture, into a border.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl Region {
    /// Returns the rectangle of a cell of a grid over this one. `cell` is the side of a cell, as a share of the
    /// rectangle's.
    pub fn cell(&self, row: u32, column: u32, cell: f32) -> Self {
        Self {
            x: self.x + column as f32 * cell * self.width,
            y: self.y + row as f32 * cell * self.height,
            width: cell * self.width,
            height: cell * self.height,
        }
    }
}

impl PreprocessConfig {
    /// Returns the rectangle of each square that a picture of this size becomes, in the order of [`Tiling`].
    pub fn regions(&self, width: u32, height: u32) -> Vec<Region> {
        let (width, height) = (width.max(1), height.max(1));
        let (_, [rows, columns]) = self.tiles_of(width, height);
        let [w, h] = [width, height].map(|side| side as f32);
        let whole = Region { x: 0.0, y: 0.0, width: w, height: h };
        let cells = |outer: Region| -> Vec<Region> {
            let [across, down] = [outer.width / columns as f32, outer.height / rows as f32];
            let cell = |row: u32, column: u32| {
                let (x, y) = (outer.x + column as f32 * across, outer.y + row as f32 * down);
                Region { x, y, width: across, height: down }
            };
            (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| cell(r, c)).collect()
        };
        match &self.tiling {
            Tiling::One(policy) => {
                let (across, down) = self.axes(*policy, width, height);
                let ([x, width], [y, height]) = (extent(&across), extent(&down));
                vec![Region { x, y, width, height }]
            }
            // Both resizes keep the whole picture.
            Tiling::Grid { .. } => [cells(whole), vec![whole]].concat(),
            Tiling::Anyres { .. } => {
                let canvas = (columns * self.size, rows * self.size);
                let inner = inside((width, height), canvas);
                let [scale_x, scale_y] = [w / inner.0 as f32, h / inner.1 as f32];
                let outer = Region {
                    x: -(((canvas.0 - inner.0) / 2) as f32) * scale_x,
                    y: -(((canvas.1 - inner.1) / 2) as f32) * scale_y,
                    width: canvas.0 as f32 * scale_x,
                    height: canvas.1 as f32 * scale_y,
                };
                [vec![whole], cells(outer)].concat()
            }
        }
    }
}

/// Returns the first input pixel and the number of input pixels of what an axis computes.
fn extent(axis: &Axis) -> [f32; 2] {
    let scale = axis.virtual_in as f32 / axis.virtual_out as f32;
    [axis.first as f32 * scale - axis.before as f32, axis.count as f32 * scale]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SquarePolicy;

    fn rectangles(tiling: Tiling, size: u32, edge: u32, width: u32, height: u32) -> Vec<[f32; 4]> {
        let config = PreprocessConfig { tiling, size, shortest_edge: edge, ..PreprocessConfig::llava(size) };
        config.regions(width, height).iter().map(|r| [r.x, r.y, r.width, r.height]).collect()
    }

    #[test]
    fn one_square_is_padded_cut_or_stretched() {
        let one = |policy, width, height| rectangles(Tiling::One(policy), 56, 56, width, height)[0];
        assert_eq!(one(SquarePolicy::Pad, 100, 60), [0.0, -20.0, 100.0, 100.0]);
        assert_eq!(one(SquarePolicy::Pad, 60, 100), [-20.0, 0.0, 100.0, 100.0]);
        assert_eq!(one(SquarePolicy::Crop, 224, 112), [56.0, 0.0, 112.0, 112.0]);
        assert_eq!(one(SquarePolicy::Stretch, 224, 112), [0.0, 0.0, 224.0, 112.0]);
        let cut = rectangles(Tiling::One(SquarePolicy::Crop), 56, 64, 128, 128)[0];
        assert_eq!(cut, [8.0, 8.0, 112.0, 112.0], "a border of 4 of 64 is cut off");
    }

    /// Every tile's rectangle, against the pixels of the tile: a picture whose colour is its position.
    #[test]
    fn grids_cover_the_picture_and_its_border() {
        let grid = rectangles(Tiling::Grid { longest_edge: 128 }, 64, 64, 200, 100);
        assert_eq!(grid, [[0.0, 0.0, 100.0, 100.0], [100.0, 0.0, 100.0, 100.0], [0.0, 0.0, 200.0, 100.0]]);
        let one = rectangles(Tiling::Grid { longest_edge: 64 }, 64, 64, 200, 100);
        assert_eq!(one, [[0.0, 0.0, 200.0, 100.0]], "a picture that fills one square");
        // 4:3 in 2 × 2 squares of 336: 504 of 672 rows, 84 of border above and below.
        let anyres = rectangles(Tiling::Anyres { candidates: vec![[672, 672]] }, 336, 336, 640, 480);
        assert_eq!(anyres[0], [0.0, 0.0, 640.0, 480.0]);
        assert_eq!(anyres[1], [0.0, -80.0, 320.0, 320.0]);
        assert_eq!(anyres[4], [320.0, 240.0, 320.0, 320.0]);
    }

    /// The pixels of the squares themselves: a picture whose red and green tell the position.
    #[test]
    fn regions_are_where_the_pixels_of_the_squares_come_from() {
        use super::super::resample::Rgb;
        let (width, height) = (160u32, 90u32);
        let at = |i: u32| [(i % width * 255 / (width - 1)) as u8, (i / width * 255 / (height - 1)) as u8, 255];
        let image = Rgb { width, height, data: (0..width * height).flat_map(at).collect() };
        for tiling in [
            Tiling::One(SquarePolicy::Pad),
            Tiling::One(SquarePolicy::Crop),
            Tiling::One(SquarePolicy::Stretch),
            Tiling::Grid { longest_edge: 96 },
            Tiling::Anyres { candidates: vec![[32, 64], [64, 64]] },
        ] {
            let config = PreprocessConfig { tiling, ..PreprocessConfig::llava(32) };
            let squares = super::super::tiles::cut(image.clone(), &config);
            let regions = config.regions(width, height);
            assert_eq!(squares.data.len(), regions.len() * 3 * 32 * 32);
            for (square, region) in squares.data.chunks_exact(3 * 32 * 32).zip(&regions) {
                let mut compared = 0;
                for (row, column) in (0..32).flat_map(|r| (0..32).map(move |c| (r, c))) {
                    let pixel = &square[3 * (row * 32 + column)..][..3];
                    let x = region.x + (column as f32 + 0.5) / 32.0 * region.width - 0.5;
                    let y = region.y + (row as f32 + 0.5) / 32.0 * region.height - 0.5;
                    let inner = x > 8.0 && y > 8.0 && x < width as f32 - 9.0 && y < height as f32 - 9.0;
                    if inner {
                        let wanted = [x / (width - 1) as f32, y / (height - 1) as f32];
                        for (got, wanted) in pixel.iter().zip(wanted) {
                            let error = f32::from(*got) / 255.0 - wanted;
                            assert!(error.abs() < 0.02, "{:?} {row} {column}: {error}", config.tiling);
                        }
                        compared += 1;
                    }
                }
                assert!(compared > 30, "{:?}: {region:?}", config.tiling);
            }
        }
    }
}
