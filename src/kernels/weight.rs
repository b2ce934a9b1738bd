//! How kernels see a stored matrix: 16-byte blocks in group-major order, and scales.

use crate::pass::{Buf, Words};
use crate::quant::{WeightTile, WeightType};

/// One tile of a matrix `[N, K]` on a device: rows `first_row .. first_row + rows` of `N`.
///
/// `blocks` holds 16-byte blocks in the order `[K/B][plane_rows]`, `B` values of a row each; `scales` the group plane and,
/// where there is one, the super plane. See [`crate::quant`].
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Storage type.
    pub kind: WeightType,
    /// Row of the whole matrix where this tile begins.
    pub first_row: u32,
    /// Rows in this tile.
    pub rows: u32,
    /// `K`, values per row.
    pub cols: u32,
    /// Rows of the planes: more than [`rows`](Self::rows) where matrices are stacked.
    pub plane_rows: u32,
    /// This matrix's first among them.
    pub plane_first: u32,
    /// The block plane.
    pub blocks: Buf,
    /// The scales; an unused buffer for F32 and F16, because bindings are fixed.
    pub scales: Buf,
}

/// The value of `const WEIGHT_TYPE` in shaders: the place in [`WeightType::ALL`].
pub(crate) fn code(kind: WeightType) -> u32 {
    kind as u32
}

/// Values per 16-byte block, by code.
pub(crate) fn block_values(code: u32) -> usize {
    WeightType::ALL[code as usize].block_values() as usize
}

/// The tile of `rows` rows of `cols` values behind two bindings. Its [`load`](WeightTile::load) is the twin of `load_block`
/// in the shaders.
pub(crate) fn tile<'a>(code: u32, blocks: &'a Words, scales: &'a Words, rows: usize, cols: usize) -> WeightTile<'a> {
    let [blocks, scales] = [blocks, scales].map(|words| bytemuck::cast_slice(&words.0));
    WeightTile { weight_type: WeightType::ALL[code as usize], n: rows, k: cols, blocks, scales }
}
