//! LLaVA-1.6 (LLaVA-NeXT): LLaVA-1.5's parts, and pictures in tiles ("anyres").
//!
//! # Source
//! `configuration_llava_next.py` of transformers.

use super::fields::Fields;
use super::llava;
use super::types::{Config, PictureLayout};
use crate::ensure;
use crate::error::Result;
use serde_json::Value;

/// Most sizes that a picture may be fitted to; LLaVA-1.6 has 5.
pub const MAX_CANDIDATES: usize = 64;
/// Largest number of tiles along a side, and in all.
const MAX_TILES: u32 = 36;
/// transformers' `image_grid_pinpoints`: height and width, pixels.
pub const CANDIDATES: [[u32; 2]; 5] = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]];

/// Parses the fields of `config.json`.
///
/// # Errors
/// As [`Config::parse`].
pub(super) fn parse(root: &Value, generation: Option<&[u8]>) -> Result<Config> {
    let config = llava::parse(root, generation)?;
    let top = Fields { name: "config.json", object: root };
    let newline = top.boolean("use_image_newline_parameter", true)?;
    ensure!(newline, Config, top.at("use_image_newline_parameter"), "false is not implemented");
    ensure!(!config.keep_class_row, Config, top.at("vision_feature_select_strategy"), "`full` has no map of patches");
    let candidates = candidates(&top, config.vision.image_size)?;
    Ok(Config { layout: PictureLayout::Anyres { candidates }, ..config })
}

/// Returns the pairs [height, width] of a list; `None` where it is no such list, or of more than [`MAX_CANDIDATES`].
pub fn pairs(list: &Value) -> Option<Vec<[u32; 2]>> {
    let length = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([height, width]) => Some([length(height)?, length(width)?]),
        _ => None,
    };
    let list = list.as_array().filter(|list| list.len() <= MAX_CANDIDATES)?;
    list.iter().map(pair).collect()
}

/// Returns the most tiles that a picture becomes, in squares of `side`: those of the largest candidate, and the whole.
pub fn most_tiles(candidates: &[[u32; 2]], side: u32) -> u32 {
    let tiles = |[height, width]: &[u32; 2]| (height / side) * (width / side);
    1 + candidates.iter().map(tiles).max().unwrap_or(0)
}

/// Reads `image_grid_pinpoints`.
fn candidates(top: &Fields, side: u32) -> Result<Vec<[u32; 2]>> {
    let key = "image_grid_pinpoints";
    let Some(list) = top.get(key) else {
        return Ok(CANDIDATES.to_vec());
    };
    let whole = |n: u32| n > 0 && n.is_multiple_of(side) && n / side <= MAX_TILES;
    let fits =
        |[height, width]: &[u32; 2]| whole(*height) && whole(*width) && height / side * (width / side) <= MAX_TILES;
    let found = pairs(list).filter(|list| !list.is_empty() && list.iter().all(fits));
    ensure!(
        found.is_some(),
        Config,
        top.at(key),
        "is no list of up to {MAX_CANDIDATES} pairs [height, width] of multiples of {side}, each of at most {MAX_TILES} tiles"
    );
    Ok(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(fields: &str) -> Result<PictureLayout> {
        Config::parse(format!(r#"{{"model_type": "llava_next"{fields}}}"#).as_bytes(), None).map(|c| c.layout)
    }

    #[test]
    fn candidates_are_those_of_the_file_or_of_transformers() {
        assert_eq!(layout("").unwrap(), PictureLayout::Anyres { candidates: CANDIDATES.to_vec() });
        let own = layout(r#", "image_grid_pinpoints": [[336, 1344]]"#).unwrap();
        assert_eq!(own, PictureLayout::Anyres { candidates: vec![[336, 1344]] });
        for wrong in ["[]", "[[336]]", "[[336, 500]]", "[[0, 336]]", "[[33600, 336]]", "[[3360, 3360]]", "3"] {
            let error = layout(&format!(r#", "image_grid_pinpoints": {wrong}"#)).unwrap_err();
            assert_eq!(error.place, "config.json.image_grid_pinpoints", "{wrong}");
        }
        assert!(layout(r#", "vision_feature_select_strategy": "full""#).is_err());
    }
}
