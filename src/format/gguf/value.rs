//! Metadata values of a GGUF file, and the bounded reading of its little-endian bytes.

use crate::error::{Error, Kind, Result};
use std::borrow::Cow;

/// Place of an error in the header.
pub(super) const PLACE: &str = "GGUF";
/// Longest header that is read, bytes. Llama 3's vocabulary of 128 256 tokens makes one of 8 MB.
pub const MAX_HEADER: u64 = 64 << 20;
/// Deepest nesting of arrays; public files have arrays of numbers and of strings, at depth one.
const MAX_DEPTH: u32 = 4;
/// Wire numbers of the two types that are not numbers.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A metadata value. Integers and floats are widened; arrays stay as compact as they came.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned, of any width.
    Uint(u64),
    /// Signed, of any width.
    Int(i64),
    /// f32 or f64.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Text.
    String(String),
    /// An array of numbers or booleans.
    Numbers(Numbers),
    /// An array of texts.
    Strings(Strings),
    /// An array of arrays: checked, but not kept, since nothing reads one.
    Nested,
}

/// The number types of the format, in the order of their wire numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, signed.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, signed.
    I32,
    /// 32-bit float.
    F32,
    /// One byte, 0 or 1.
    Bool,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, signed.
    I64,
    /// 64-bit float.
    F64,
}

impl Scalar {
    /// Wire number and bytes of each.
    const WIRE: [(Self, u32, usize); 11] = [
        (Self::U8, 0, 1),
        (Self::I8, 1, 1),
        (Self::U16, 2, 2),
        (Self::I16, 3, 2),
        (Self::U32, 4, 4),
        (Self::I32, 5, 4),
        (Self::F32, 6, 4),
        (Self::Bool, 7, 1),
        (Self::U64, 10, 8),
        (Self::I64, 11, 8),
        (Self::F64, 12, 8),
    ];

    fn from_wire(number: u32) -> Option<Self> {
        Self::WIRE.iter().find(|(_, n, _)| *n == number).map(|(scalar, _, _)| *scalar)
    }

    /// Wire number.
    pub(super) fn wire(self) -> u32 {
        Self::WIRE[self as usize].1
    }

    fn bytes(self) -> usize {
        Self::WIRE[self as usize].2
    }

    /// Decodes a value; `bytes` has exactly its length.
    fn value(self, bytes: &[u8]) -> Value {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(word);
        let unused = 64 - 8 * bytes.len() as u32;
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Value::Uint(unsigned),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => Value::Int((unsigned << unused) as i64 >> unused),
            Self::F32 => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            Self::F64 => Value::Float(f64::from_bits(unsigned)),
            Self::Bool => Value::Bool(unsigned != 0),
        }
    }
}

/// An array of numbers, as its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    pub(super) scalar: Scalar,
    pub(super) bytes: Vec<u8>,
}

impl Numbers {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.scalar.bytes()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements; 64-bit integers beyond 2⁵³ are rounded.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        self.bytes.chunks_exact(self.scalar.bytes()).map(|bytes| match self.scalar.value(bytes) {
            Value::Uint(n) => n as f64,
            Value::Int(n) => n as f64,
            Value::Float(x) => x,
            other => f64::from(u8::from(other == Value::Bool(true))),
        })
    }
}

/// An array of texts, stored end to end: a vocabulary takes less memory than in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
    /// Texts that were not UTF-8.
    odd: u32,
}

impl Strings {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Number of texts that were not UTF-8 and were repaired.
    pub fn odd(&self) -> u32 {
        self.odd
    }

    /// Text `i`.
    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)? as usize;
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.get(i))
    }
}

impl<'a> FromIterator<&'a str> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a str>>(items: I) -> Self {
        let mut strings = Self::default();
        for item in items {
            strings.text.push_str(item);
            strings.ends.push(strings.text.len() as u32);
        }
        strings
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Uint(u64::from(n))
    }
}

impl From<f32> for Value {
    fn from(x: f32) -> Self {
        Self::Float(f64::from(x))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_string())
    }
}

impl From<&[f32]> for Value {
    fn from(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::Numbers(Numbers { scalar: Scalar::F32, bytes })
    }
}

impl From<&[i32]> for Value {
    fn from(values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::Numbers(Numbers { scalar: Scalar::I32, bytes })
    }
}

/// Why reading stopped.
pub(super) enum Stop {
    /// The bytes end here. The number of bytes from the file's start that are needed at least.
    More(u64),
    /// They are wrong.
    Broken(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Stop {
    /// Adds the key of the value to the error.
    pub(super) fn under(self, key: &str) -> Self {
        match self {
            Self::Broken(e) => Self::Broken(Error { message: format!("`{}`: {}", key.escape_debug(), e.message), ..e }),
            more => more,
        }
    }
}

/// Result of reading.
pub(super) type Step<T> = std::result::Result<T, Stop>;

/// Stops at something invalid in the header.
pub(super) fn broken<T>(message: String) -> Step<T> {
    Err(Stop::Broken(Error::new(Kind::Tensor, PLACE, message)))
}

/// Reads little-endian bytes from the file's start.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: u64) -> Step<&'a [u8]> {
        let end = (self.at as u64).saturating_add(count);
        match self.bytes.get(self.at..).filter(|rest| rest.len() as u64 >= count) {
            Some(rest) => {
                self.at = end as usize;
                Ok(&rest[..count as usize])
            }
            None => Err(Stop::More(end)),
        }
    }

    pub(super) fn u32(&mut self) -> Step<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    pub(super) fn u64(&mut self) -> Step<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }

    /// Reads a text of at most `most` bytes; invalid UTF-8 becomes U+FFFD, as a decoder would show it.
    pub(super) fn string(&mut self, what: &str, most: u64) -> Step<Cow<'a, str>> {
        let length = self.u64()?;
        if length > most {
            return broken(format!("{what} of {length} bytes; at most {most} are read"));
        }
        Ok(String::from_utf8_lossy(self.take(length)?))
    }

    /// Reads a value of wire type `kind`.
    pub(super) fn value(&mut self, kind: u32) -> Step<Value> {
        match (Scalar::from_wire(kind), kind) {
            (Some(scalar), _) => Ok(scalar.value(self.take(scalar.bytes() as u64)?)),
            (None, STRING) => Ok(Value::String(self.string("a text", MAX_HEADER)?.into_owned())),
            (None, ARRAY) => self.array(1),
            _ => broken(format!("a value has the type {kind}; there are 0 to 12")),
        }
    }

    fn array(&mut self, depth: u32) -> Step<Value> {
        if depth > MAX_DEPTH {
            return broken(format!("arrays are nested more than {MAX_DEPTH} deep"));
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        match (Scalar::from_wire(kind), kind) {
            (Some(scalar), _) => {
                let bytes = self.take(count.saturating_mul(scalar.bytes() as u64))?.to_vec();
                Ok(Value::Numbers(Numbers { scalar, bytes }))
            }
            (None, STRING) => self.strings(count),
            (None, ARRAY) => {
                for _ in 0..count {
                    self.array(depth + 1)?;
                }
                Ok(Value::Nested)
            }
            _ => broken(format!("an array has elements of the type {kind}; there are 0 to 12")),
        }
    }

    fn strings(&mut self, count: u64) -> Step<Value> {
        // Each text has eight bytes of length: with fewer bytes left, more are requested before any is read.
        let least = (self.at as u64).saturating_add(count.saturating_mul(8));
        if least > self.bytes.len() as u64 {
            return Err(Stop::More(least));
        }
        let mut strings = Strings { ends: Vec::with_capacity(count as usize), ..Strings::default() };
        for _ in 0..count {
            let text = self.string("a text", MAX_HEADER)?;
            strings.odd += u32::from(matches!(text, Cow::Owned(_)));
            strings.text.push_str(&text);
            strings.ends.push(strings.text.len() as u32);
        }
        Ok(Value::Strings(strings))
    }
}

/// Converts the value under a key to the type that it should have.
pub(super) fn typed<T>(
    key: &str,
    value: Option<&Value>,
    what: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>> {
    match value.map(read) {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(Error::new(Kind::Config, format!("GGUF: {key}"), format!("is not {what}"))),
    }
}
