//! A saved conversation: the rows of the cache with their keys and values, as bytes.
//!
//! All numbers are little-endian u32. Nothing in the bytes is believed before it is checked: they may come from a file.
//!
//! | field | |
//! |---|---|
//! | `llava-kv`, version | 8 bytes, 1 number |
//! | type of the cache | 0 for f32, 1 for f16 |
//! | hash of the weights | 32 bytes: [`StateFormat::weights`] |
//! | pictures, rows, answers, bytes of the model's name | their numbers |
//! | the model's name | UTF-8 |
//! | each picture | SHA-256 of its file (32 bytes), width, height |
//! | each row | 0 and a token; 1 and 0 for a newline; 2 + picture and the row of its embeds |
//! | each answer | bytes of its text, number of its ids; text; ids |
//! | keys and values | those of the first layer's keys, of its values, of the next layer's keys |
//! | SHA-256 of all of this | 32 bytes |

use crate::error::{Error, Kind, Result};
use crate::format::hash::sha256;
use crate::model::CacheType;
use crate::{ensure, fail};

const MAGIC: &[u8; 8] = b"llava-kv";
const VERSION: u32 = 1;
const PLACE: &str = "saved conversation";
/// Longest side of a picture, pixels.
const MAX_SIDE: u32 = 1 << 30;

/// Everything that the keys and values of a state depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFormat {
    /// Name of the model.
    pub model: String,
    /// Hash of configuration, tokenizer, weights with their types, and the size of pictures.
    pub weights: [u8; 32],
    /// How keys and values are stored.
    pub cache_type: CacheType,
    /// Bytes of the keys and values of a row, in all layers.
    pub row_bytes: u64,
    /// Rows that the context holds.
    pub context: u32,
    /// `V`.
    pub vocab_size: u32,
}

/// One row of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedRow {
    /// A token.
    Token(u32),
    /// The embed that ends a row of patches.
    Newline,
    /// An image embed: the index of its picture, and its row counted through the picture's tiles.
    Image(u32, u32),
}

/// A picture of a state: the SHA-256 of its file in hex digits, width and height in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPicture {
    /// 64 lower-case hex digits.
    pub sha256: String,
    /// Width and height, pixels.
    pub size: [u32; 2],
}

/// The contents of a state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedState<'a> {
    /// Pictures of the rows.
    pub pictures: Vec<SavedPicture>,
    /// What the rows of the cache stand for, in order.
    pub rows: Vec<SavedRow>,
    /// Texts and ids of answers among the rows.
    pub answers: Vec<(String, Vec<u32>)>,
    /// Keys and values of the rows.
    pub cache: &'a [u8],
}

impl<'a> SavedState<'a> {
    /// Writes a state of a model.
    pub fn write(&self, format: &StateFormat) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.cache.len() + 16 * self.rows.len() + 1024);
        let number = |bytes: &mut Vec<u8>, n: u32| bytes.extend(n.to_le_bytes());
        bytes.extend(MAGIC);
        number(&mut bytes, VERSION);
        number(&mut bytes, u32::from(format.cache_type == CacheType::F16));
        bytes.extend(format.weights);
        for count in [self.pictures.len(), self.rows.len(), self.answers.len(), format.model.len()] {
            number(&mut bytes, count as u32);
        }
        bytes.extend(format.model.as_bytes());
        for picture in &self.pictures {
            bytes.extend(unhex(&picture.sha256));
            picture.size.iter().for_each(|side| number(&mut bytes, *side));
        }
        for row in &self.rows {
            let pair = match *row {
                SavedRow::Token(id) => [0, id],
                SavedRow::Newline => [1, 0],
                SavedRow::Image(picture, row) => [2 + picture, row],
            };
            pair.iter().for_each(|n| number(&mut bytes, *n));
        }
        for (text, ids) in &self.answers {
            number(&mut bytes, text.len() as u32);
            number(&mut bytes, ids.len() as u32);
            bytes.extend(text.as_bytes());
            ids.iter().for_each(|id| number(&mut bytes, *id));
        }
        bytes.extend(self.cache);
        let hash = sha256(&[&bytes]);
        bytes.extend(hash);
        bytes
    }

    /// Reads a state and checks every field of it against the model. Allocates a few times the bytes of its rows.
    ///
    /// # Errors
    /// [`Kind::Argument`] for bytes that are no state, a state of another version, another model or another cache, and
    /// for a state that is incomplete or was changed; [`Kind::ContextFull`] for more rows than the context holds.
    pub fn parse(bytes: &'a [u8], format: &StateFormat) -> Result<Self> {
        let mut reader = Reader(bytes);
        let magic = reader.take(MAGIC.len()).ok();
        ensure!(magic == Some(MAGIC.as_slice()), Argument, PLACE, "the bytes are no saved conversation");
        let version = reader.number()?;
        ensure!(version == VERSION, Argument, PLACE, "it is of version {version}; this engine reads {VERSION}");
        let Some((body, hash)) = bytes.split_last_chunk::<32>() else { return Err(incomplete()) };
        if sha256(&[body]) != *hash {
            return Err(incomplete());
        }
        let rest = body.len().saturating_sub(bytes.len() - reader.0.len());
        reader.0 = &reader.0[..rest.min(reader.0.len())];
        let cache_type = reader.number()?;
        let weights = reader.take(32)?;
        let [pictures, rows, answers, name] =
            [reader.number()?, reader.number()?, reader.number()?, reader.number()?].map(|n| n as usize);
        let name = reader.text(name)?;
        let model = &format.model;
        ensure!(name == *model, Argument, PLACE, "it is one of the model `{}`; this is `{model}`", name.escape_debug());
        if cache_type != u32::from(format.cache_type == CacheType::F16) {
            fail!(Argument, PLACE, "its keys and values are not stored as this model's are, {:?}", format.cache_type);
        }
        if weights != format.weights {
            let message = format!("it is one of other weights of `{model}`, or of pictures of another size");
            return Err(Error::new(Kind::Argument, PLACE, message).hint("load the model as it was when it was saved"));
        }
        let context = format.context;
        ensure!(rows <= context as usize, ContextFull, PLACE, "it has {rows} rows; the context holds {context}");
        let state = Self {
            pictures: reader.list(pictures, 40, Reader::picture)?,
            rows: reader.list(rows, 8, |reader| reader.row(pictures, format.vocab_size))?,
            answers: reader.list(answers, 8, |reader| reader.answer(format.vocab_size))?,
            cache: reader.0,
        };
        let expected = rows as u64 * format.row_bytes;
        let found = state.cache.len();
        ensure!(found as u64 == expected, Argument, PLACE, "{found} bytes of keys and values instead of {expected}");
        ensure!(is_finite(state.cache, format.cache_type), Argument, PLACE, "a key or value is no finite number");
        Ok(state)
    }
}

/// Returns whether every value is a finite number.
fn is_finite(cache: &[u8], cache_type: CacheType) -> bool {
    match cache_type {
        CacheType::F32 => cache.as_chunks().0.iter().all(|value| f32::from_le_bytes(*value).is_finite()),
        CacheType::F16 => cache.as_chunks().0.iter().all(|value| u16::from_le_bytes(*value) & 0x7c00 != 0x7c00),
    }
}

fn incomplete() -> Error {
    Error::new(Kind::Argument, PLACE, "it is incomplete, or was changed").hint("save the conversation again")
}

/// The bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else { return Err(incomplete()) };
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32> {
        let Some((number, rest)) = self.0.split_first_chunk() else { return Err(incomplete()) };
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    fn text(&mut self, bytes: usize) -> Result<String> {
        let text = std::str::from_utf8(self.take(bytes)?);
        Ok(text.map_err(|_| Error::new(Kind::Argument, PLACE, "a text is no UTF-8"))?.to_string())
    }

    /// Reads `count` items of at least `bytes` bytes each.
    fn list<T>(&mut self, count: usize, bytes: usize, read: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        if count > self.0.len() / bytes {
            return Err(incomplete());
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn picture(&mut self) -> Result<SavedPicture> {
        let sha256 = self.take(32)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let size = [self.number()?, self.number()?];
        let possible = size.iter().all(|side| (1..=MAX_SIDE).contains(side));
        ensure!(possible, Argument, PLACE, "a picture of {} × {} pixels", size[0], size[1]);
        Ok(SavedPicture { sha256, size })
    }

    fn row(&mut self, pictures: usize, vocab_size: u32) -> Result<SavedRow> {
        match (self.number()?, self.number()?) {
            (0, id) if id < vocab_size => Ok(SavedRow::Token(id)),
            (1, 0) => Ok(SavedRow::Newline),
            (picture, row) if picture >= 2 && ((picture - 2) as usize) < pictures => {
                Ok(SavedRow::Image(picture - 2, row))
            }
            (kind, value) => fail!(Argument, PLACE, "a row ({kind}, {value}) of no token and no picture"),
        }
    }

    fn answer(&mut self, vocab_size: u32) -> Result<(String, Vec<u32>)> {
        let (text, ids) = (self.number()? as usize, self.number()? as usize);
        let text = self.text(text)?;
        let id = |reader: &mut Self| match reader.number()? {
            id if id < vocab_size => Ok(id),
            id => fail!(Argument, PLACE, "{id} is no token of {vocab_size}"),
        };
        Ok((text, self.list(ids, 4, id)?))
    }
}

/// Returns the bytes of 64 hex digits.
fn unhex(digits: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests;
