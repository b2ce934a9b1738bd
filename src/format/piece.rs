//! Tensors of the device, and the pieces that they are loaded from: rows in the bytes of a file → rows in the bytes of
//! the device.

use crate::ensure;
use crate::error::{Error, Result};
use crate::format::manifest::Layout;
use crate::format::names::Expected;
use crate::quant::{self, Encoding, WeightType};
use std::borrow::Cow;

/// Values decoded at a time where a type has to change: 1 MiB of f32.
const RUN_VALUES: u64 = 256 << 10;

/// Form of a piece's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The form of the device: planes of these rows, or f32 rows.
    Stored,
    /// The form of a checkpoint, row-major.
    Encoded {
        /// Encoding of the values.
        encoding: Encoding,
        /// Values per row there: fewer than on the device for the patch embedding, all values for a vector.
        width: u64,
        /// Rows per head, where they are interleaved for GGUF's RoPE.
        head_rows: Option<u32>,
    },
}

impl Form {
    /// Rows per head, where rows are permuted.
    pub fn head_rows(self) -> Option<u32> {
        match self {
            Self::Encoded { head_rows, .. } => head_rows,
            Self::Stored => None,
        }
    }
}

/// A tensor as the device will hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceTensor {
    /// Name, shapes and role.
    pub expected: Expected,
    /// Storage type.
    pub weight_type: WeightType,
    /// Planes or rows.
    pub layout: Layout,
    /// Row ranges that have buffers of their own: as few as bindings allow. (Rows: one.)
    pub tiles: Vec<[u32; 2]>,
    /// Encoding in the checkpoint; `None` where the file holds the storage type itself.
    pub encoding: Option<Encoding>,
}

impl DeviceTensor {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let tile = |rows: &[u32; 2]| quant::stored_bytes(self.weight_type, rows[1] - rows[0], self.expected.shape[1]);
        match self.layout {
            Layout::Rows => self.expected.shape.iter().map(|&n| u64::from(n)).product::<u64>() * 4,
            // Shapes were checked when the plan was made.
            Layout::Blocks => self.tiles.iter().map(|rows| tile(rows).unwrap_or(0)).sum(),
        }
    }
}

/// A range of rows of a tensor, inside a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Index into [`Blueprint::tensors`](super::blueprint::Blueprint::tensors).
    pub tensor: usize,
    /// First row and one past the last.
    pub rows: [u32; 2],
    /// First byte in the part.
    pub offset: u64,
    /// Length, bytes.
    pub bytes: u64,
    /// Form of the bytes.
    pub form: Form,
}

impl Piece {
    /// Converts the part's bytes to these rows in the form of the device: a complete tile (`n` of its planes is the
    /// number of these rows), or f32 values.
    ///
    /// # Errors
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) for values that the type cannot hold (NaN, infinities).
    pub fn unpack<'a>(&self, tensor: &DeviceTensor, part: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        let place = |e: Error| Error { place: format!("{}: {}", tensor.expected.name, e.place), ..e };
        let inside = usize::try_from(self.offset).ok().and_then(|at| part.get(at..)?.get(..self.bytes as usize));
        let Some(bytes) = inside else {
            crate::fail!(Shard, &tensor.expected.name, "its part ends after {} bytes", part.len());
        };
        match self.form {
            Form::Stored => Ok(Cow::Borrowed(bytes)),
            Form::Encoded { encoding, .. } if tensor.layout == Layout::Rows => {
                let values = quant::decode(encoding, bytes).map_err(place)?;
                let bad = values.iter().position(|w| !w.is_finite());
                ensure!(bad.is_none(), Tensor, &tensor.expected.name, "value {} is not finite", bad.unwrap());
                Ok(Cow::Owned(bytemuck::cast_slice(&values).to_vec()))
            }
            Form::Encoded { encoding, width, head_rows } => {
                let k = tensor.expected.shape[1];
                let n = self.rows[1] - self.rows[0];
                let order = head_rows.map(|size| rope_order(n, size));
                let mut planes = vec![0; quant::stored_bytes(tensor.weight_type, n, k)? as usize];
                if tensor.weight_type == encoding.exact() && width == u64::from(k) {
                    quant::repack(encoding, n, k, bytes, order.as_deref(), &mut planes).map_err(place)?;
                } else {
                    let way_out = |e: Error| place(e).hint("hold the weights as they are, or as f32");
                    requantize(encoding, width, order.as_deref(), tensor, n, bytes, &mut planes).map_err(way_out)?;
                }
                Ok(Cow::Owned(planes))
            }
        }
    }
}

/// Converts rows through f32, a few at a time: for another storage type, or to pad rows with zeros.
fn requantize(
    encoding: Encoding,
    width: u64,
    order: Option<&[u32]>,
    tensor: &DeviceTensor,
    n: u32,
    bytes: &[u8],
    planes: &mut [u8],
) -> Result<()> {
    let k = tensor.expected.shape[1];
    let row_bytes = encoding.row_bytes(width)? as usize;
    let run = (RUN_VALUES / width.max(1)).clamp(1, u64::from(n)) as u32;
    for first in (0..n).step_by(run as usize) {
        let count = run.min(n - first);
        let mut values = Vec::with_capacity(count as usize * k as usize);
        for row in first..first + count {
            let from = order.map_or(row, |order| order[row as usize]) as usize * row_bytes;
            // `bytes` has n rows: the part was cut that way, and its length was verified.
            values.extend(quant::decode(encoding, &bytes[from..from + row_bytes])?);
            values.resize((row - first + 1) as usize * k as usize, 0.0);
        }
        quant::quantize_rows(tensor.weight_type, n, k, first, &values, planes)?;
    }
    Ok(())
}

/// Returns the source row of each row, for whole heads of `size` rows: GGUF interleaves the two halves that RoPE
/// rotates.
fn rope_order(rows: u32, size: u32) -> Vec<u32> {
    let half = (size / 2).max(1);
    let source = |row: u32| {
        let (head, i) = (row / size * size, row % size);
        head + i % half * 2 + i / half
    };
    (0..rows).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers' `permute`, backwards: `[heads, D/2, 2]` → `[heads, 2, D/2]`.
    #[test]
    fn interleaved_rows_are_put_apart() {
        assert_eq!(rope_order(8, 8), [0, 2, 4, 6, 1, 3, 5, 7]);
        assert_eq!(rope_order(8, 4), [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
