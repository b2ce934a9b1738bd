//! The choice of storage types for the weights of a float checkpoint. The parts to fetch are the same for every choice:
//! another one needs no second download.

use super::{Blueprint, TypeChoice, device_tiles, storage_of};
use crate::error::{Error, Result};
use crate::format::manifest::Layout;
use crate::format::piece::DeviceTensor;
use crate::quant::Encoding;

impl Blueprint {
    /// Whether every matrix is stored as floats, so that it may be quantised while it is loaded.
    pub fn is_float(&self) -> bool {
        let float = |encoding| matches!(encoding, Some(Encoding::F32 | Encoding::F16 | Encoding::Bf16));
        self.tensors.iter().filter(|t| t.layout == Layout::Blocks).all(|t| float(t.encoding))
    }

    /// Returns the tensors with each matrix of a checkpoint as the type that `wanted` chooses. Tensors of shards keep
    /// theirs.
    ///
    /// # Errors
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) when a shape fits no storage.
    pub fn tensors_as(&self, wanted: TypeChoice) -> Result<Vec<DeviceTensor>> {
        let mut rows: Vec<Vec<[u32; 2]>> = vec![Vec::new(); self.tensors.len()];
        for piece in self.parts.iter().flat_map(|part| &part.pieces) {
            rows[piece.tensor].push(piece.rows);
        }
        let hold = |(tensor, mut rows): (&DeviceTensor, Vec<[u32; 2]>)| {
            let Some(encoding) = tensor.encoding else { return Ok(tensor.clone()) };
            let place = |e: Error| Error { place: tensor.expected.name.clone(), ..e };
            rows.sort_unstable();
            let (weight_type, layout) = storage_of(&tensor.expected, encoding, wanted).map_err(place)?;
            let tiles = device_tiles(layout, weight_type, &tensor.expected.shape, &rows).map_err(place)?;
            Ok(DeviceTensor { weight_type, layout, tiles, ..tensor.clone() })
        };
        self.tensors.iter().zip(rows).map(hold).collect()
    }
}
