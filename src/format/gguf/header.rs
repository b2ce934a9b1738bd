//! The header of a GGUF file: metadata and the places of its tensors.
//!
//! Nothing in the file is trusted: counts, lengths, nesting, duplicates, alignment, products of sides, overlaps and
//! ends are checked, and no allocation is larger than the bytes given.

use super::types;
use super::value::{Cursor, MAX_HEADER, PLACE, Step, Stop, Strings, Value, broken, typed};
use crate::error::{Error, Kind, Result};
use crate::quant::Encoding;
use crate::{ensure, fail};
use std::collections::{BTreeMap, HashSet};

/// The first bytes of a file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Smallest request of [`Parsed::More`], bytes: a smaller one is not worth its round trip.
const LEAST: u64 = 64 << 10;
/// Most metadata entries and tensors; a 13B model has 26 and 363.
const MAX_ENTRIES: u64 = 1 << 16;
/// Longest names, bytes; ggml's own limit for tensors is 64.
const MAX_KEY: u64 = 1 << 16;
const MAX_NAME: u64 = 256;
/// Longest list of numbers that is read: one per token.
const MAX_NUMBERS: usize = 1 << 20;
/// ggml's tensors have at most four sides.
const MAX_SIDES: u32 = 4;
/// The alignment of tensors where the file names none, bytes.
pub(super) const ALIGNMENT: u64 = 32;
/// Largest alignment that a file may name, bytes.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// Result of parsing a prefix of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// The prefix holds the whole header.
    Header(Gguf),
    /// Number of bytes from the file's start that are needed at least.
    More(u64),
}

/// A file's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// Key → value.
    pub metadata: BTreeMap<String, Value>,
    /// In the order of the file.
    pub tensors: Vec<TensorInfo>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// The file's name for it.
    pub name: String,
    /// Encoding of its values, or ggml's name of a type that is not read.
    pub encoding: std::result::Result<Encoding, String>,
    /// Row-major: ggml's `ne` reversed.
    pub shape: Vec<u32>,
    /// From the file's start, bytes.
    pub offset: u64,
    /// Length; 0 for a type whose blocks are unknown.
    pub bytes: u64,
}

/// Parses the header from the first bytes of a file of `file_size` bytes.
///
/// # Errors
/// [`Kind::Tensor`] for a file that is no GGUF of version 2 or 3, is malformed, or is shorter than its tensors.
pub fn parse(prefix: &[u8], file_size: u64) -> Result<Parsed> {
    let most = MAX_HEADER.min(file_size);
    let prefix = &prefix[..prefix.len().min(most as usize)];
    match header(&mut Cursor { bytes: prefix, at: 0 }, file_size) {
        Ok(header) => Ok(Parsed::Header(header)),
        Err(Stop::Broken(error)) => Err(error),
        Err(Stop::More(needed)) => {
            ensure!(
                needed <= file_size,
                Tensor,
                PLACE,
                "the header goes on to byte {needed} at least; the file has {file_size} (an interrupted download?)"
            );
            ensure!(needed <= MAX_HEADER, Tensor, PLACE, "a header of {needed} bytes; at most {MAX_HEADER} are read");
            Ok(Parsed::More(needed.max(2 * prefix.len() as u64).max(LEAST).min(most)))
        }
    }
}

fn header(cursor: &mut Cursor, file_size: u64) -> Step<Gguf> {
    version(cursor)?;
    let (tensors, entries) = (cursor.u64()?, cursor.u64()?);
    if tensors > MAX_ENTRIES || entries > MAX_ENTRIES {
        return broken(format!("{tensors} tensors and {entries} metadata entries; at most {MAX_ENTRIES} are read"));
    }
    let mut metadata = BTreeMap::new();
    for _ in 0..entries {
        let key = cursor.string("a key", MAX_KEY)?;
        let kind = cursor.u32()?;
        let value = cursor.value(kind).map_err(|stop| stop.under(&key))?;
        if let Some(first) = metadata.insert(key.to_string(), value)
            && first != metadata[&*key]
        {
            return broken(format!("the key `{}` is there twice, with two values", key.escape_debug()));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(Value::Uint(n)) if n.is_power_of_two() && *n <= MAX_ALIGNMENT => *n,
        Some(_) => return broken("general.alignment is no power of two up to 2^20".to_string()),
    };
    let mut list = Vec::new();
    for _ in 0..tensors {
        list.push(tensor(cursor, alignment)?);
    }
    let data = (cursor.at as u64).next_multiple_of(alignment);
    let tensors = placed(list, data, file_size)?;
    Ok(Gguf { metadata, tensors })
}

/// Checks magic and version: 2 and 3 have the same bytes, 1 had 32-bit counts.
fn version(cursor: &mut Cursor) -> Step<()> {
    let magic = cursor.take(4)?;
    let older = [b"lmgg", b"fmgg", b"tjgg", b"algg"];
    if older.iter().any(|m| *m == magic) {
        return broken("this is a ggml file from before GGUF; take a newer conversion".to_string());
    }
    if magic != MAGIC {
        return broken(format!("the file begins with `{}`, not with `GGUF`", magic.escape_ascii()));
    }
    match cursor.u32()? {
        2 | 3 => Ok(()),
        1 => broken("version 1 is not read; take a newer conversion".to_string()),
        v if v.swap_bytes() <= 0xffff => {
            broken("the file is big-endian; gguf_convert_endian.py of llama.cpp makes it little-endian".to_string())
        }
        v => broken(format!("version {v} is unknown; 2 and 3 are read")),
    }
}

/// Reads one tensor's description; its offset is relative to the data.
fn tensor(cursor: &mut Cursor, alignment: u64) -> Step<TensorInfo> {
    let name = cursor.string("a tensor's name", MAX_NAME)?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return broken(format!("`{}` is no tensor's name", name.escape_debug()));
    }
    let sides = cursor.u32()?;
    if !(1..=MAX_SIDES).contains(&sides) {
        return broken(format!("`{name}` has {sides} sides; ggml's tensors have 1 to {MAX_SIDES}"));
    }
    let (mut shape, mut values) = (Vec::with_capacity(sides as usize), 1u64);
    for _ in 0..sides {
        let side = cursor.u64()?;
        match (u32::try_from(side), values.checked_mul(side)) {
            (Ok(side @ 1..), Some(product)) if product < 1 << 48 => {
                shape.push(side);
                values = product;
            }
            _ => return broken(format!("`{name}` has a side of {side}, after {shape:?}")),
        }
    }
    let (encoding, block) = types::named(cursor.u32()?);
    let (block_values, block_bytes) = block.unwrap_or((1, 0));
    if !shape[0].is_multiple_of(block_values) {
        return broken(format!("`{name}` has rows of {}, no multiple of {block_values}", shape[0]));
    }
    let bytes = values / u64::from(block_values) * u64::from(block_bytes);
    shape.reverse();
    let offset = cursor.u64()?;
    if !offset.is_multiple_of(alignment) {
        return broken(format!("`{name}` begins at {offset}, no multiple of {alignment}"));
    }
    Ok(TensorInfo { name: name.to_string(), encoding, shape, offset, bytes })
}

/// Checks names and places; makes offsets absolute.
fn placed(mut tensors: Vec<TensorInfo>, data: u64, file_size: u64) -> Result<Vec<TensorInfo>> {
    let mut names = HashSet::with_capacity(tensors.len());
    let twice = tensors.iter().find(|t| !names.insert(t.name.as_str()));
    ensure!(twice.is_none(), Tensor, PLACE, "the tensor `{}` is there twice", twice.unwrap().name);
    for t in &mut tensors {
        match t.offset.checked_add(data).filter(|o| o.checked_add(t.bytes).is_some_and(|end| end <= file_size)) {
            Some(offset) => t.offset = offset,
            None => fail!(
                Tensor,
                PLACE,
                "`{}` has {} bytes from {} + {data} on; the file has {file_size} (an interrupted download?)",
                t.name,
                t.bytes,
                t.offset
            ),
        }
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| (t.offset, t.bytes));
    let overlap = order.windows(2).find(|w| w[0].offset + w[0].bytes > w[1].offset);
    ensure!(
        overlap.is_none(),
        Tensor,
        PLACE,
        "`{}` and `{}` overlap",
        overlap.unwrap()[0].name,
        overlap.unwrap()[1].name
    );
    Ok(tensors)
}

/// Metadata by key: `None` where the key is absent, an error where the value is of another type.
impl Gguf {
    /// An integer that is not negative.
    pub(crate) fn uint(&self, key: &str) -> Result<Option<u64>> {
        typed(key, self.metadata.get(key), "an integer that is not negative", |v| match v {
            Value::Uint(n) => Some(*n),
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        })
    }

    /// An integer of 32 bits that is not negative.
    pub(crate) fn u32(&self, key: &str) -> Result<Option<u32>> {
        let small = |n: u64| {
            let error = || Error::new(Kind::Config, format!("GGUF: {key}"), format!("{n} is more than 2^32"));
            u32::try_from(n).map_err(|_| error())
        };
        self.uint(key)?.map(small).transpose()
    }

    /// As [`Gguf::u32`], but an absent key is an error.
    pub(crate) fn required(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| Error::new(Kind::Config, format!("GGUF: {key}"), "is missing"))
    }

    /// A finite number.
    pub(crate) fn float(&self, key: &str) -> Result<Option<f64>> {
        typed(key, self.metadata.get(key), "a finite number", |v| match v {
            Value::Float(x) if x.is_finite() => Some(shortest(*x)),
            Value::Uint(n) => Some(*n as f64),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        typed(key, self.metadata.get(key), "true or false", |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        let text = self.metadata.get(key).map(|v| match v {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        });
        match text {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => fail!(Config, format!("GGUF: {key}"), "is not a text"),
        }
    }

    /// A text that nothing depends on: a value of another type counts as absent.
    pub(crate) fn lenient_text(&self, key: &str) -> Option<&str> {
        self.text(key).ok().flatten()
    }

    /// A list of numbers; a single one is a list of one.
    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        typed(key, self.metadata.get(key), "a list of at most 2^20 numbers", |v| match v {
            Value::Numbers(list) if list.len() <= MAX_NUMBERS => Some(list.iter().map(shortest).collect()),
            Value::Uint(n) => Some(vec![*n as f64]),
            Value::Int(n) => Some(vec![*n as f64]),
            _ => None,
        })
    }

    /// A list of texts.
    pub(crate) fn strings(&self, key: &str) -> Result<Option<&Strings>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Strings(list)) => Ok(Some(list)),
            Some(Value::Numbers(list)) if list.is_empty() => Ok(None),
            Some(_) => fail!(Config, format!("GGUF: {key}"), "is not a list of texts"),
        }
    }

    /// A tensor by the file's name for it.
    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|t| t.name == name)
    }
}

/// Returns the double with the shortest decimal form of the f32 that it came from: 1e-5 for 9.999999747378752e-6.
fn shortest(x: f64) -> f64 {
    let single = x as f32;
    if f64::from(single) == x { single.to_string().parse().unwrap_or(x) } else { x }
}
