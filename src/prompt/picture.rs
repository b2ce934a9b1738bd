//! A picture's rows in a prompt: image embeds, and what a model writes between them.
//!
//! # Source
//! `processing_idefics3.py` and `modeling_llava_next.py` (`pack_image_features`, `unpad_image`) of transformers.

use crate::config::{Config, PictureLayout};
use crate::ensure;
use crate::error::Result;
use crate::tokenizer::{IMAGE_MARK, Tokenizer};

/// Mark before each tile, and after the last.
const FAKE: &str = "<fake_token_around_image>";
/// Mark of the whole picture.
const GLOBAL: &str = "<global-img>";

/// One row of a picture in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureRow {
    /// A token between tiles.
    Token(u32),
    /// A row of image embeds, counted through the picture's tiles.
    Embed(u32),
    /// The embed `image_newline`.
    Newline,
}

/// A picture's tiles, as its preprocessing made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureTiles {
    /// Number of tiles, the whole picture among them.
    pub tiles: u32,
    /// Rows and columns that the picture was cut into; zeros where it was not.
    pub grid: [u32; 2],
    /// Width and height of the picture, pixels.
    pub size: [u32; 2],
}

/// Lists the rows of a picture in the prompt of a model with this configuration.
///
/// # Errors
/// [`crate::error::Kind::Prompt`] if the tokenizer lacks the mark of a picture, or has no ids for the text around it.
pub fn picture_rows(config: &Config, tokenizer: &Tokenizer, picture: &PictureTiles) -> Result<Vec<PictureRow>> {
    match config.layout {
        PictureLayout::Single => Ok((0..config.tile_rows()).map(PictureRow::Embed).collect()),
        PictureLayout::Marked => marked(config.tile_rows(), tokenizer, picture),
        PictureLayout::Anyres { .. } => Ok(anyres(config.tile_rows(), picture)),
    }
}

/// The tiles row by row and the whole picture, each after its marks. The marks are tokenised as the processor
/// tokenises them: where one is no token of the vocabulary, it is text.
fn marked(tile_rows: u32, tokenizer: &Tokenizer, picture: &PictureTiles) -> Result<Vec<PictureRow>> {
    let [rows, columns] = picture.grid;
    let mut text = String::new();
    for row in 1..=rows {
        for column in 1..=columns {
            text.push_str(&format!("{FAKE}<row_{row}_col_{column}>{IMAGE_MARK}"));
        }
        text.push('\n');
    }
    if rows > 0 {
        text.push('\n');
    }
    text.push_str(&format!("{FAKE}{GLOBAL}{IMAGE_MARK}{FAKE}"));
    let (mut list, mut embeds) = (Vec::new(), 0..);
    for id in tokenizer.encode_marked(&text)? {
        if id == tokenizer.image() {
            list.extend(embeds.by_ref().take(tile_rows as usize).map(PictureRow::Embed));
        } else {
            list.push(PictureRow::Token(id));
        }
    }
    let found = list.iter().filter(|row| matches!(row, PictureRow::Embed(_))).count() as u32;
    let wanted = picture.tiles * tile_rows;
    ensure!(found == wanted, Prompt, "picture", "the tokenizer has no `{IMAGE_MARK}`, the mark of a picture");
    Ok(list)
}

/// The whole picture, then the map of its tiles without the border's rows and columns, each row of it with a newline.
fn anyres(tile_rows: u32, picture: &PictureTiles) -> Vec<PictureRow> {
    let side = tile_rows.isqrt();
    let [rows, columns] = picture.grid.map(|tiles| tiles * side);
    let [skipped_rows, skipped_columns] = border([rows, columns], picture.size);
    let mut list: Vec<PictureRow> = (0..tile_rows).map(PictureRow::Embed).collect();
    for row in skipped_rows..rows - skipped_rows {
        for column in skipped_columns..columns - skipped_columns {
            let tile = 1 + row / side * picture.grid[1] + column / side;
            list.push(PictureRow::Embed(tile * tile_rows + row % side * side + column % side));
        }
        list.push(PictureRow::Newline);
    }
    list
}

/// Returns the rows and columns of a map at each edge that show the border around a picture of `size` (width, height).
fn border([rows, columns]: [u32; 2], [width, height]: [u32; 2]) -> [u32; 2] {
    let [w, h, r, c] = [width, height, rows, columns].map(f64::from);
    // Rounded to seven decimals, then cut: what Python's `int(round(x, 7))` gives.
    let whole = |x: f64| ((x * 1e7).round() / 1e7) as u32;
    if w / h > c / r {
        [rows.saturating_sub(whole(h * (c / w))) / 2, 0]
    } else {
        [0, columns.saturating_sub(whole(w * (r / h))) / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(rows: u32, columns: u32, size: [u32; 2]) -> PictureTiles {
        PictureTiles { tiles: 1 + rows * columns, grid: [rows, columns], size }
    }

    /// 4:3 in a map of 2 × 2 tiles of 24 × 24: 36 rows of 48 stay, as for LLaVA-1.6 of 672 × 672.
    #[test]
    fn the_border_is_cut_off_and_every_row_ends_with_a_newline() {
        let list = anyres(576, &tiles(2, 2, [640, 480]));
        assert_eq!(list.len(), 576 + 36 * 49);
        let newlines = list.iter().filter(|row| **row == PictureRow::Newline).count();
        assert_eq!((newlines, list[575], list.last()), (36, PictureRow::Embed(575), Some(&PictureRow::Newline)));
        // Row 6 of the map is the first: tile 1, then tile 2.
        assert_eq!(list[576], PictureRow::Embed(576 + 6 * 24));
        assert_eq!(list[576 + 24], PictureRow::Embed(2 * 576 + 6 * 24));
        let embeds: std::collections::HashSet<u32> =
            list.iter().filter_map(|row| if let PictureRow::Embed(row) = row { Some(*row) } else { None }).collect();
        assert_eq!(embeds.len(), list.len() - newlines, "no row twice");
    }

    #[test]
    fn a_tall_picture_loses_columns_and_a_fitting_one_nothing() {
        assert_eq!(border([48, 48], [480, 640]), [0, 6]);
        assert_eq!(border([48, 48], [500, 500]), [0, 0]);
        assert_eq!(border([24, 72], [1000, 333]), [0, 0]);
        assert_eq!(border([72, 24], [1, 16384]), [0, 12], "of a line not one column is left, as in transformers");
        assert_eq!(anyres(9, &tiles(1, 2, [200, 100])).len(), 9 + 3 * 7);
    }
}
