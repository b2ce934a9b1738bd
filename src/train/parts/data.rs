//! LLaVA's data files: a JSON array of conversations, and a folder of pictures.
//!
//! An entry has `id`, `image` (a file below the folder; absent for text alone) and `conversations`, whose turns have
//! `from` (`human`, `gpt`; `system`) and `value`. `<image>` may stand anywhere in the first turn; it is moved to its
//! beginning, as LLaVA's training does. The file is read by entry: memory holds 24 bytes per conversation.

use super::super::patches::patch_rows;
use super::batches::Sample;
use super::sequences::sequence;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::preprocess::{PreprocessConfig, preprocess};
use crate::prompt::{Message, Part, Role, Template};
use crate::scenes::llava_format::LlavaEntry;
use crate::tokenizer::{IMAGE_MARK, Tokenizer};
use crate::{ensure, fail};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Longest entry, bytes.
const MAX_ENTRY: usize = 16 << 20;
/// Batches that are sorted by length together, as in LLaVA's sampler.
const GROUP: usize = 50;

/// Converts an entry's turns to messages.
///
/// # Errors
/// [`Kind::Prompt`] for an unknown author, a picture without `<image>` or the reverse, or more than one picture.
pub fn messages(entry: &LlavaEntry) -> Result<Vec<Message>> {
    let place = || format!("entry {}", entry.id);
    let (mut messages, mut pictures) = (Vec::new(), 0);
    for turn in &entry.conversations {
        let role = match turn.from.as_str() {
            "human" | "user" => Role::User,
            "gpt" | "assistant" => Role::Assistant,
            "system" => Role::System,
            other => fail!(Prompt, place(), "`{}` is no author of LLaVA's format", other.escape_debug()),
        };
        let marks = turn.value.matches(IMAGE_MARK).count();
        let mut parts = Vec::new();
        if marks > 0 && role == Role::User {
            pictures += marks;
            parts.push(Part::Image(String::new()));
        }
        let text = turn.value.replace(IMAGE_MARK, "").trim().to_owned();
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        messages.push(Message { role, parts });
    }
    let wanted = usize::from(entry.image.is_some());
    ensure!(pictures == wanted, Prompt, place(), "has {pictures} places for {wanted} pictures");
    Ok(messages)
}

/// Place and size of an entry in its file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    bytes: u32,
    /// Words of all turns; LLaVA's measure of length.
    words: u32,
    picture: bool,
}

/// Pictures that could not be read.
#[derive(Debug, Default)]
pub struct Skipped {
    /// Their number.
    pub count: usize,
    /// Names and errors of the first of them.
    pub names: Vec<String>,
}

/// A data set.
pub struct LlavaData {
    path: PathBuf,
    images: PathBuf,
    places: Vec<Place>,
    /// Entries that were skipped so far.
    pub skipped: Arc<Mutex<Skipped>>,
}

/// What turns an entry into a sample.
#[derive(Clone)]
pub struct Reader {
    /// Sizes of the model.
    pub config: Arc<Config>,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Template of the stage.
    pub template: Template,
    /// Longest sequence, rows.
    pub length: usize,
}

impl LlavaData {
    /// Indexes the entries of the file at `path`; pictures are below `images`.
    ///
    /// # Errors
    /// [`Kind::Io`] for a file that cannot be read or is no array of conversations, with the entry's number.
    pub fn open(path: &Path, images: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let io = |e: std::io::Error| Error::new(Kind::Io, &place, e.to_string());
        let mut places = Vec::new();
        let reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
        for entry in Entries::new(reader) {
            let (offset, bytes) = entry.map_err(|e| Error::new(Kind::Io, &place, e))?;
            let number = places.len();
            let parsed: LlavaEntry = serde_json::from_slice(&bytes)
                .map_err(|e| Error::new(Kind::Io, &place, format!("entry {number}: {e}")))?;
            let words = parsed.conversations.iter().map(|turn| turn.value.split_whitespace().count()).sum::<usize>();
            let picture = parsed.image.is_some();
            places.push(Place { offset, bytes: bytes.len() as u32, words: words as u32, picture });
        }
        ensure!(!places.is_empty(), Io, place, "holds no conversation");
        Ok(Self { path: path.to_owned(), images: images.to_owned(), places, skipped: Arc::default() })
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the batches of one epoch: shuffled by `seed`; each of entries of one kind (with or without picture) and
    /// of similar length. Entries that fill no whole batch make a last one.
    ///
    /// # Source
    /// `get_modality_length_grouped_indices` of LLaVA's `llava_trainer.py`.
    pub fn order(&self, seed: u64, batch: usize) -> Vec<Vec<usize>> {
        let (mut rng, batch) = (ChaCha8Rng::seed_from_u64(seed), batch.max(1));
        let mut kinds: [Vec<usize>; 2] = Default::default();
        (0..self.len()).for_each(|i| kinds[usize::from(self.places[i].picture)].push(i));
        let (mut batches, mut rest) = (Vec::new(), Vec::new());
        for kind in &mut kinds {
            kind.shuffle(&mut rng);
            for group in kind.chunks(batch * GROUP) {
                let mut group = group.to_vec();
                group.sort_by_key(|&i| std::cmp::Reverse(self.places[i].words));
                let whole = group.len() / batch * batch;
                batches.extend(group[..whole].chunks(batch).map(<[usize]>::to_vec));
                rest.extend_from_slice(&group[whole..]);
            }
        }
        rest.shuffle(&mut rng);
        batches.extend(rest.chunks(batch).map(<[usize]>::to_vec));
        batches.shuffle(&mut rng);
        batches
    }

    /// Reads entry `index`.
    ///
    /// # Errors
    /// [`Kind::Io`] when the file has changed since it was indexed.
    pub fn entry(&self, index: usize) -> Result<LlavaEntry> {
        let place = self.places[index];
        let fail = |e: String| Error::new(Kind::Io, self.path.display().to_string(), format!("entry {index}: {e}"));
        let mut file = File::open(&self.path).map_err(|e| fail(e.to_string()))?;
        let mut bytes = vec![0; place.bytes as usize];
        file.seek(SeekFrom::Start(place.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|e| fail(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))
    }

    /// Reads entry `index` as a sample; `None`, counted, where its picture or its turns cannot be read.
    ///
    /// # Errors
    /// Those of [`LlavaData::entry`].
    pub fn sample(&self, index: usize, reader: &Reader) -> Result<Option<Sample>> {
        let entry = self.entry(index)?;
        match self.read(&entry, reader) {
            Ok(sample) => Ok(Some(sample)),
            Err(error) => {
                if let Ok(mut skipped) = self.skipped.lock() {
                    skipped.count += 1;
                    let name = entry.image.unwrap_or_else(|| format!("entry {index}"));
                    if skipped.names.len() < 20 {
                        eprintln!("skipped {name}: {error}");
                        skipped.names.push(format!("{name}: {error}"));
                    }
                }
                Ok(None)
            }
        }
    }

    fn read(&self, entry: &LlavaEntry, reader: &Reader) -> Result<Sample> {
        let mut messages = messages(entry)?;
        if reader.template == Template::Plain {
            // Stage 1 shows the picture and its caption; the request between them is left out.
            let asked = messages.iter_mut().filter(|message| message.role == Role::User);
            asked.for_each(|message| message.parts.retain(|part| matches!(part, Part::Image(_))));
        }
        let mut sequence = sequence(reader.template, &messages, &reader.tokenizer)?;
        sequence.truncate(reader.length, reader.config.feature_rows() as usize);
        ensure!(
            !sequence.answers.is_empty(),
            Prompt,
            format!("entry {}", entry.id),
            "has no answer within its first {} rows",
            reader.length
        );
        let Some(name) = &entry.image else { return Ok((sequence, Vec::new())) };
        let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
        ensure!(inside, Io, name, "is no file below the folder of pictures");
        let path = self.images.join(name);
        let bytes =
            std::fs::read(&path).map_err(|e| Error::new(Kind::Io, path.display().to_string(), e.to_string()))?;
        Ok((sequence, picture(&bytes, &reader.config)?))
    }
}

/// Returns the patches of a picture file.
///
/// # Errors
/// [`Kind::Image`] when it cannot be decoded.
pub fn picture(bytes: &[u8], config: &Config) -> Result<Vec<f32>> {
    let pixels = preprocess(bytes, &PreprocessConfig::of(config))?.data;
    Ok(patch_rows(&pixels, config.vision.image_size as usize, config.vision.patch_size as usize))
}

/// The elements of a JSON array in a stream: offset and bytes of each.
struct Entries<R> {
    bytes: std::io::Bytes<R>,
    at: u64,
    inside: bool,
}

impl<R: BufRead> Entries<R> {
    fn new(reader: R) -> Self {
        Self { bytes: reader.bytes(), at: 0, inside: false }
    }

    fn byte(&mut self) -> std::result::Result<Option<u8>, String> {
        let byte = self.bytes.next().transpose().map_err(|e| e.to_string())?;
        self.at += u64::from(byte.is_some());
        Ok(byte)
    }

    fn element(&mut self) -> std::result::Result<Option<(u64, Vec<u8>)>, String> {
        loop {
            match self.byte()? {
                None if self.inside => return Err("ends inside its array".to_owned()),
                None => return Ok(None),
                Some(b'[') if !self.inside => self.inside = true,
                Some(b'{') if self.inside => break,
                Some(b']') if self.inside => {
                    self.inside = false;
                    return Ok(None);
                }
                Some(b) if b.is_ascii_whitespace() || b == b',' && self.inside => {}
                Some(_) => return Err(format!("byte {} begins no conversation", self.at - 1)),
            }
        }
        let (start, mut out, mut depth, mut text, mut escaped) = (self.at - 1, vec![b'{'], 1, false, false);
        while depth > 0 {
            let Some(b) = self.byte()? else { return Err("ends inside a conversation".to_owned()) };
            if out.len() >= MAX_ENTRY {
                return Err(format!("the entry at byte {start} is longer than {MAX_ENTRY} bytes"));
            }
            out.push(b);
            match b {
                _ if escaped => escaped = false,
                b'\\' if text => escaped = true,
                b'"' => text = !text,
                b'{' | b'[' if !text => depth += 1,
                b'}' | b']' if !text => depth -= 1,
                _ => {}
            }
        }
        Ok(Some((start, out)))
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = std::result::Result<(u64, Vec<u8>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.element().transpose()
    }
}

#[cfg(test)]
mod tests;
