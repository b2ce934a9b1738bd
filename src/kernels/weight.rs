//! A stored matrix as kernels read it: 16-byte blocks in group-major order, and scales.

use crate::pass::{Buf, Words};
use crate::quant::{WeightTile, WeightType};

/// A tile of a matrix `[N, K]` on a device: rows `first_row .. first_row + rows` of `N`.
///
/// `blocks` holds 16-byte blocks in the order `[K/B][plane_rows]`, each of `B` values of a row. `scales` holds the
/// group plane and, for types that have one, the super plane. See [`crate::quant`].
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Storage type.
    pub kind: WeightType,
    /// First row of the tile in the matrix.
    pub first_row: u32,
    /// Rows of this tile.
    pub rows: u32,
    /// `K`, values per row.
    pub cols: u32,
    /// Rows of the planes, which are more than [`rows`](Self::rows) where matrices are stacked.
    pub plane_rows: u32,
    /// First row of this tile in the planes.
    pub plane_first: u32,
    /// The block plane.
    pub blocks: Buf,
    /// The scales; a placeholder buffer for F32 and F16, whose binding exists but is not read.
    pub scales: Buf,
}

/// Returns the value of `const WEIGHT_TYPE` in shaders: the index in [`WeightType::ALL`].
pub(crate) fn weight_type_code(kind: WeightType) -> u32 {
    kind as u32
}

/// Returns the number of values per 16-byte block of the type with this code.
pub(crate) fn block_values(code: u32) -> usize {
    WeightType::ALL[code as usize].block_values() as usize
}

/// Returns the tile of `rows` rows of `cols` values in two bindings. Its [`load`](WeightTile::load) is the twin of
/// `load_block` in the shaders.
pub(crate) fn stored_tile<'a>(
    code: u32,
    blocks: &'a Words,
    scales: &'a Words,
    rows: usize,
    cols: usize,
) -> WeightTile<'a> {
    let [blocks, scales] = [blocks, scales].map(|words| bytemuck::cast_slice(&words.0));
    WeightTile { weight_type: WeightType::ALL[code as usize], n: rows, k: cols, blocks, scales }
}
