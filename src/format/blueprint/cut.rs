//! Cutting the files of a checkpoint into parts: tensors that lie together are fetched together.

use super::Part;
use crate::error::Result;
use crate::format::names::{Expected, Role};
use crate::format::piece::{Form, Piece};
use crate::format::stored::LocatedTensor;
use crate::quant::{self, WeightType};

/// Longest gap of unused bytes between two tensors of one part: fetching it costs less than another request.
const MAX_GAP: u64 = 4096;

/// Cuts tensors into pieces and pieces that lie beside each other into parts.
pub(super) struct Cutter<'a> {
    part_bytes: u64,
    files: &'a [String],
    /// Pieces of the current group, with file and offset in it.
    group: Vec<(usize, u64, Piece)>,
    parts: Vec<Part>,
}

impl<'a> Cutter<'a> {
    /// Starts with no parts; each will have at most about `part_bytes`.
    pub fn new(part_bytes: u64, files: &'a [String]) -> Self {
        Self { part_bytes, files, group: Vec::new(), parts: Vec::new() }
    }

    /// Adds a tensor to the group and returns the row ranges of its pieces.
    ///
    /// # Errors
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) when its shape fits no storage.
    pub fn tensor(
        &mut self,
        tensor: usize,
        expected: &Expected,
        located: &LocatedTensor,
        weight_type: WeightType,
    ) -> Result<Vec<[u32; 2]>> {
        let n = located.shape[0];
        let width: u64 = located.shape[1..].iter().map(|&side| u64::from(side)).product();
        let vector = expected.role == Role::Vector;
        let (row_bytes, stored) = match vector {
            // A vector is one piece, whatever its shape.
            true => (located.encoding.row_bytes(width * u64::from(n))?, 0),
            false => {
                // Room for the exact type, whichever is chosen: cached parts serve every choice.
                let exact = quant::widest_fitting(located.encoding.exact(), expected.shape[1])?;
                let row = |t| quant::stored_bytes(t, 256, expected.shape[1]).map(|bytes| bytes / 256);
                (located.encoding.row_bytes(width)?, row(exact)?.max(row(weight_type)?))
            }
        };
        let form = Form::Encoded {
            encoding: located.encoding,
            width: if vector { width * u64::from(n) } else { width },
            head_rows: located.rope_heads.map(|heads| n / heads.max(1)),
        };
        let ranges = if vector {
            vec![[0, n]]
        } else {
            // A range has whole heads, and an even number of scales in every strip.
            let granule = match form.head_rows() {
                Some(rows) => least_common_multiple(32, rows),
                None => 32,
            };
            let most = (self.part_bytes / row_bytes.max(stored).max(1)).min(u64::from(u32::MAX)) as u32;
            let most = (most / granule * granule).max(granule);
            let each = n.div_ceil(n.div_ceil(most)).next_multiple_of(granule);
            (0..n.div_ceil(each)).map(|i| [i * each, ((i + 1) * each).min(n)]).collect()
        };
        for &rows in &ranges {
            let bytes = if vector { row_bytes } else { row_bytes * u64::from(rows[1] - rows[0]) };
            let offset = located.offset + row_bytes * u64::from(rows[0]);
            self.group.push((located.file, offset, Piece { tensor, rows, offset: 0, bytes, form }));
        }
        Ok(ranges)
    }

    /// Returns the parts of all groups.
    pub fn finish(mut self) -> Vec<Part> {
        self.finish_group();
        self.parts
    }

    /// Turns the group's pieces, in the order of the file, into parts.
    pub fn finish_group(&mut self) {
        let mut pieces = std::mem::take(&mut self.group);
        pieces.sort_by_key(|(file, offset, _)| (*file, *offset));
        let mut open: Option<(usize, Part)> = None;
        for (file, offset, mut piece) in pieces {
            let end = offset + piece.bytes;
            match &mut open {
                Some((of, part))
                    if *of == file
                        && offset >= part.offset + part.bytes
                        && offset - (part.offset + part.bytes) <= MAX_GAP
                        && end - part.offset <= self.part_bytes =>
                {
                    piece.offset = offset - part.offset;
                    part.bytes = end - part.offset;
                    part.pieces.push(piece);
                }
                _ => {
                    self.parts.extend(open.take().map(|(_, part)| part));
                    let (index, name) = (self.parts.len() as u32, self.files[file].clone());
                    let bytes = piece.bytes;
                    open = Some((file, Part { index, file: name, offset, bytes, sha256: None, pieces: vec![piece] }));
                }
            }
        }
        self.parts.extend(open.map(|(_, part)| part));
    }
}

/// Least common multiple; head sizes are small.
fn least_common_multiple(a: u32, b: u32) -> u32 {
    let mut c = a;
    while !c.is_multiple_of(b.max(1)) {
        c += a;
    }
    c
}
