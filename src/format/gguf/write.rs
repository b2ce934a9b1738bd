//! Writing GGUF files (version 3), for tests and for generated weights.
//!
//! [`beginning`] makes the bytes before the tensors. The caller writes the data, one tensor after the other, so that
//! memory never holds the whole file.

use super::header::{ALIGNMENT, MAGIC};
use super::value::{Scalar, Value};
use super::{names, types};
use crate::error::Result;
use crate::fail;
use crate::quant::Encoding;

/// Returns llama.cpp's name of the tensor with this canonical name.
pub fn name(canonical: &str) -> Option<String> {
    names::of_canonical(canonical)
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// llama.cpp's name.
    pub name: String,
    /// Encoding of its values.
    pub encoding: Encoding,
    /// Row-major.
    pub shape: Vec<u32>,
}

impl TensorSpec {
    /// Bytes of its data.
    ///
    /// # Errors
    /// [`crate::error::Kind::Tensor`] where a row is no whole number of blocks.
    pub fn bytes(&self) -> Result<u64> {
        let Some((&columns, rows)) = self.shape.split_last() else {
            fail!(Tensor, &self.name, "has no sides");
        };
        Ok(rows.iter().map(|&n| u64::from(n)).product::<u64>() * self.encoding.row_bytes(u64::from(columns))?)
    }
}

/// The bytes before the data, and the places of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Beginning {
    /// Everything before the first tensor's data.
    pub bytes: Vec<u8>,
    /// Place of each tensor from the file's start, bytes. Zeros fill the space between two tensors.
    pub offsets: Vec<u64>,
    /// Size of the whole file, bytes, zeros after the last tensor included.
    pub size: u64,
}

/// Makes the beginning of a file with these metadata and tensors.
///
/// # Errors
/// [`crate::error::Kind::Tensor`] where a row is no whole number of blocks, or a value cannot be written.
pub fn beginning(metadata: &[(String, Value)], tensors: &[TensorSpec]) -> Result<Beginning> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    let mut alignment = ALIGNMENT;
    for (key, value) in metadata {
        if let ("general.alignment", Value::Uint(n)) = (key.as_str(), value) {
            alignment = *n;
        }
        text(&mut bytes, key);
        write_value(&mut bytes, key, value)?;
    }
    let (mut relative, mut at) = (Vec::new(), 0u64);
    for tensor in tensors {
        text(&mut bytes, &tensor.name);
        bytes.extend((tensor.shape.len() as u32).to_le_bytes());
        bytes.extend(tensor.shape.iter().rev().flat_map(|&n| u64::from(n).to_le_bytes()));
        bytes.extend(types::number(tensor.encoding).to_le_bytes());
        bytes.extend(at.to_le_bytes());
        relative.push(at);
        at = (at + tensor.bytes()?).next_multiple_of(alignment);
    }
    bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
    let start = bytes.len() as u64;
    Ok(Beginning { bytes, offsets: relative.iter().map(|at| start + at).collect(), size: start + at })
}

/// Makes a whole file in memory; `data` returns each tensor's bytes.
///
/// # Errors
/// As [`beginning`], and where data are not as long as their tensor.
pub fn file(
    metadata: &[(String, Value)],
    tensors: &[TensorSpec],
    mut data: impl FnMut(&TensorSpec) -> Vec<u8>,
) -> Result<Vec<u8>> {
    let Beginning { mut bytes, offsets, size } = beginning(metadata, tensors)?;
    for (tensor, offset) in tensors.iter().zip(offsets) {
        let data = data(tensor);
        if data.len() as u64 != tensor.bytes()? {
            fail!(Tensor, &tensor.name, "{} bytes for {:?} in {}", data.len(), tensor.shape, tensor.encoding);
        }
        bytes.resize(offset as usize, 0);
        bytes.extend(data);
    }
    bytes.resize(size as usize, 0);
    Ok(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Appends a value: integers as 32 bits where they fit, floats as 32 bits, as llama.cpp's own converters do.
fn write_value(bytes: &mut Vec<u8>, key: &str, value: &Value) -> Result<()> {
    let mut number = |scalar: Scalar, value: &[u8]| {
        bytes.extend(scalar.wire().to_le_bytes());
        bytes.extend(value);
    };
    match value {
        Value::Uint(n) => match u32::try_from(*n) {
            Ok(small) => number(Scalar::U32, &small.to_le_bytes()),
            Err(_) => number(Scalar::U64, &n.to_le_bytes()),
        },
        Value::Int(n) => match i32::try_from(*n) {
            Ok(small) => number(Scalar::I32, &small.to_le_bytes()),
            Err(_) => number(Scalar::I64, &n.to_le_bytes()),
        },
        Value::Float(x) => number(Scalar::F32, &(*x as f32).to_le_bytes()),
        Value::Bool(b) => number(Scalar::Bool, &[u8::from(*b)]),
        Value::String(content) => {
            bytes.extend(8u32.to_le_bytes());
            text(bytes, content);
        }
        Value::Numbers(list) => {
            bytes.extend(9u32.to_le_bytes());
            bytes.extend(list.scalar.wire().to_le_bytes());
            bytes.extend((list.len() as u64).to_le_bytes());
            bytes.extend(&list.bytes);
        }
        Value::Strings(list) => {
            bytes.extend(9u32.to_le_bytes());
            bytes.extend(8u32.to_le_bytes());
            bytes.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|item| text(bytes, item));
        }
        Value::Nested => fail!(Tensor, key, "an array of arrays is not written"),
    }
    Ok(())
}
