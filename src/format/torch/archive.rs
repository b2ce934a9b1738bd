//! The zip archive around a state dict, read by ranges: its directory lies at its end, its files are stored without
//! compression.
//!
//! Archives of torch are read, and archives that other tools packed again without compression. Positions must agree: no
//! file overlaps another, none lies past the directory, none occurs twice.
//!
//! # Source
//! APPNOTE.TXT 6.3 (PKWARE); `caffe2/serialize/inline_container.cc` of PyTorch for the alignment.

use crate::error::{Error, Kind, Result};
use crate::format::source::{Source, exactly};
use crate::{ensure, fail};

/// Longest directory that is read, bytes. A 13B model's has 0.1 MB.
pub const MAX_DIRECTORY: u64 = 8 << 20;
/// Most files in an archive: each may cost a request. A 13B model's have 800 together.
const MAX_ENTRIES: u64 = 1 << 14;
/// First read, from the end of the file, bytes: all end records, the longest comment, and most directories.
const TAIL: u64 = 22 + 20 + 56 + (64 << 10);
/// Fixed part of a local header.
const LOCAL: u64 = 30;
/// A 32-bit field whose value is in the zip64 record.
const IN_ZIP64: u64 = 0xFFFF_FFFF;
/// Torch lets tensors begin at multiples of this.
const TORCH_ALIGNMENT: u64 = 64;
/// Flag: sizes follow the data once more.
const DESCRIPTOR: u16 = 1 << 3;
/// Flags: encrypted, in one of three ways.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub name: String,
    /// Length when unpacked.
    pub size: u64,
    /// Length in the archive.
    packed: u64,
    /// Position of its local header.
    header: u64,
    /// Where the next file, or the directory, begins.
    end: u64,
    flags: u16,
    method: u16,
}

impl Entry {
    /// Returns the place where torch puts the data: padded to its alignment, and followed by the descriptor alone.
    /// `None` where the next file begins elsewhere than it would then.
    fn predicted(&self) -> Option<u64> {
        let (long, far) = (self.size >= IN_ZIP64, self.header >= IN_ZIP64);
        let zip64 = if long || far { 4 } else { 0 } + if long { 16 } else { 0 } + if far { 8 } else { 0 };
        let data = (self.header + LOCAL + self.name.len() as u64 + 4 + zip64).next_multiple_of(TORCH_ALIGNMENT);
        let descriptor = match self.flags & DESCRIPTOR {
            0 => 0,
            _ if zip64 > 0 => 24,
            _ => 16,
        };
        (data + self.size + descriptor == self.end).then_some(data)
    }

    /// Refuses a file that is packed or encrypted.
    fn check_stored(&self, place: &str) -> Result<()> {
        let how = match (self.flags & ENCRYPTED, self.method) {
            (0, 0) if self.packed == self.size => return Ok(()),
            (0, 0) => "has two lengths".to_string(),
            (0, method) => format!("is compressed (method {method})"),
            _ => "is encrypted".to_string(),
        };
        let what = format!("`{}` in it {how}", self.name.escape_debug());
        let hint = "torch.save writes tensors as they are: take the file as it was saved, or save it again";
        Err(Error::new(Kind::Tensor, place, what).hint(hint))
    }
}

/// The directory of an archive.
#[derive(Debug)]
pub struct Archive {
    /// Name of the archive in its source.
    place: String,
    /// Sorted by name.
    entries: Vec<Entry>,
}

/// Little-endian numbers of a record, by position; its length was checked.
fn number(record: &[u8], at: usize, bytes: usize) -> u64 {
    record[at..at + bytes].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Place of the directory and number of its files.
#[derive(Debug, PartialEq, Eq)]
struct End {
    offset: u64,
    bytes: u64,
    count: u64,
}

/// Finds the end records in `tail`, the last bytes of a file of `size` bytes. `None` where there are none.
fn find_end(tail: &[u8], size: u64, place: &str) -> Result<Option<End>> {
    let start = size - tail.len() as u64;
    let is_end = |&at: &usize| {
        let record = &tail[at..];
        record.starts_with(b"PK\x05\x06") && record.len() as u64 == 22 + number(record, 20, 2)
    };
    let Some(at) = (0..(tail.len() + 1).saturating_sub(22)).rev().find(is_end) else { return Ok(None) };
    let record = &tail[at..];
    let several = |this: u64, directory: u64| this != 0 && this != 0xFFFF || directory != 0 && directory != 0xFFFF;
    let mut end = End { offset: number(record, 16, 4), bytes: number(record, 12, 4), count: number(record, 10, 2) };
    ensure!(!several(number(record, 4, 2), number(record, 6, 2)), Tensor, place, "is one disk of a zip of several");
    let mut limit = start + at as u64;
    let locator = at.checked_sub(20).map(|from| &tail[from..at]).filter(|l| l.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        // It lies directly before its locator, as torch and all other tools write it.
        let position = number(locator, 8, 8);
        // In a browser `usize` has 32 bits, of which a cast would take the lower ones.
        let from = position.checked_sub(start).and_then(|from| usize::try_from(from).ok());
        let inside = from.and_then(|from| tail.get(from..at - 20));
        let zip64 = inside.filter(|r| r.len() >= 56 && r.starts_with(b"PK\x06\x06"));
        let Some(zip64) = zip64.filter(|r| number(r, 4, 8) == r.len() as u64 - 12) else {
            fail!(Tensor, place, "its zip64 record is not where it should be");
        };
        let wide = End { offset: number(zip64, 48, 8), bytes: number(zip64, 40, 8), count: number(zip64, 32, 8) };
        let agree = (end.offset == IN_ZIP64 || end.offset == wide.offset)
            && (end.bytes == IN_ZIP64 || end.bytes == wide.bytes)
            && (end.count == 0xFFFF || end.count == wide.count);
        ensure!(agree, Tensor, place, "its two end records disagree");
        limit = position;
        end = wide;
    } else {
        let narrow = end.offset != IN_ZIP64 && end.bytes != IN_ZIP64 && end.count != 0xFFFF;
        ensure!(narrow, Tensor, place, "its zip64 record is missing");
    }
    let inside = end.offset.checked_add(end.bytes).is_some_and(|last| last <= limit);
    ensure!(inside, Tensor, place, "its directory would lie outside of it");
    ensure!(
        end.bytes <= MAX_DIRECTORY && end.count <= MAX_ENTRIES.min(end.bytes / 46),
        Tensor,
        place,
        "{} files in a directory of {} bytes (at most {MAX_ENTRIES} in {MAX_DIRECTORY}) are no checkpoint",
        end.count,
        end.bytes
    );
    Ok(Some(end))
}

/// Reads the fields that a zip64 extra field holds in place of those that are too small.
fn widen(extra: &[u8], fields: [&mut u64; 3]) -> Option<()> {
    let mut fields = fields.into_iter().filter(|field| **field == IN_ZIP64).peekable();
    fields.peek()?;
    let mut rest = extra;
    while rest.len() >= 4 {
        let (id, len) = (number(rest, 0, 2), number(rest, 2, 2) as usize);
        let mut body = rest.get(4..4 + len)?;
        if id == 1 {
            for field in fields {
                *field = number(body.get(..8)?, 0, 8);
                body = &body[8..];
            }
            return Some(());
        }
        rest = &rest[4 + len..];
    }
    None
}

/// Parses the files of a directory that begins at `limit` of its archive.
fn parse_directory(directory: &[u8], count: u64, limit: u64, place: &str) -> Result<Vec<Entry>> {
    let broken = || Error::new(Kind::Tensor, place, "its directory is malformed");
    let (mut entries, mut rest) = (Vec::new(), directory);
    for _ in 0..count {
        let fixed = rest.get(..46).filter(|fixed| fixed.starts_with(b"PK\x01\x02")).ok_or_else(broken)?;
        let lengths = [28, 30, 32].map(|at| number(fixed, at, 2) as usize);
        let (name, extra) = (rest.get(46..46 + lengths[0]), rest.get(46 + lengths[0]..46 + lengths[0] + lengths[1]));
        let name = std::str::from_utf8(name.ok_or_else(broken)?).map_err(|_| broken())?;
        let mut sizes = [number(fixed, 24, 4), number(fixed, 20, 4), number(fixed, 42, 4)];
        let [size, packed, header] = &mut sizes;
        if [*size, *packed, *header].contains(&IN_ZIP64) {
            widen(extra.ok_or_else(broken)?, [size, packed, header]).ok_or_else(broken)?;
        }
        let [size, packed, header] = sizes;
        let (flags, method) = (number(fixed, 8, 2) as u16, number(fixed, 10, 2) as u16);
        entries.push(Entry { name: name.to_string(), size, packed, header, end: limit, flags, method });
        rest = rest.get(46 + lengths.iter().sum::<usize>()..).ok_or_else(broken)?;
    }
    ensure!(rest.is_empty(), Tensor, place, "its directory lists fewer files than it has room for");
    entries.sort_unstable_by_key(|entry| entry.header);
    for index in 0..entries.len() {
        let end = entries.get(index + 1).map_or(limit, |next| next.header);
        let entry = &mut entries[index];
        let least = (LOCAL + entry.name.len() as u64).checked_add(entry.packed);
        let fits = least.and_then(|least| least.checked_add(entry.header)).is_some_and(|least| least <= end);
        let name = entry.name.escape_debug();
        ensure!(fits, Tensor, place, "`{name}` in it overlaps another file or lies outside");
        entry.end = end;
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let twice = entries.windows(2).find(|pair| pair[0].name == pair[1].name);
    ensure!(twice.is_none(), Tensor, place, "`{}` is in it twice", twice.unwrap()[0].name.escape_debug());
    Ok(entries)
}

impl Archive {
    /// Reads the directory of the file `name`, or gives `None` where it is no zip archive.
    ///
    /// # Errors
    /// Those of the source; [`Kind::Tensor`] for an archive that is malformed or contradicts itself.
    pub async fn open<S: Source>(source: &S, name: &str, size: u64) -> Result<Option<Self>> {
        let start = size.saturating_sub(TAIL);
        let tail = exactly(source, name, start, size - start).await?;
        let Some(end) = find_end(&tail, size, name)? else { return Ok(None) };
        let directory = match end.offset.checked_sub(start) {
            Some(from) => tail[from as usize..][..end.bytes as usize].to_vec(),
            None => exactly(source, name, end.offset, end.bytes).await?,
        };
        let entries = parse_directory(&directory, end.count, end.offset, name)?;
        Ok(Some(Self { place: name.to_string(), entries }))
    }

    /// All files, sorted by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file `path`.
    pub fn find(&self, path: &str) -> Option<&Entry> {
        self.entries.binary_search_by(|entry| entry.name.as_str().cmp(path)).ok().map(|index| &self.entries[index])
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// Those of the source; [`Kind::Tensor`] for one that is longer, packed, or not where the directory says.
    pub async fn read<S: Source>(&self, source: &S, entry: &Entry, limit: u64) -> Result<Vec<u8>> {
        let name = entry.name.escape_debug();
        ensure!(entry.size <= limit, Tensor, &self.place, "`{name}` in it has {} bytes; {limit} are read", entry.size);
        let data = self.data(source, entry).await?;
        exactly(source, &self.place, data, entry.size).await
    }

    /// Returns the place of each file's data. Headers are read where files do not lie as torch lays them, and of the
    /// first and the last: a checkpoint has hundreds of files, and each header would be a request to a server.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub async fn locate<S: Source>(&self, source: &S, entries: &[&Entry]) -> Result<Vec<u64>> {
        let first = entries.iter().enumerate().min_by_key(|(_, entry)| entry.header);
        let last = entries.iter().enumerate().max_by_key(|(_, entry)| entry.header);
        let mut torch = true;
        for (_, entry) in first.into_iter().chain(last) {
            torch &= entry.predicted() == Some(self.data(source, entry).await?);
        }
        let mut positions = Vec::with_capacity(entries.len());
        for entry in entries {
            entry.check_stored(&self.place)?;
            positions.push(match entry.predicted().filter(|_| torch) {
                Some(position) => position,
                None => self.data(source, entry).await?,
            });
        }
        Ok(positions)
    }

    /// Returns the place of a file's data by its own header.
    async fn data<S: Source>(&self, source: &S, entry: &Entry) -> Result<u64> {
        entry.check_stored(&self.place)?;
        let header = exactly(source, &self.place, entry.header, LOCAL + entry.name.len() as u64).await?;
        let data = entry.header + header.len() as u64 + number(&header, 28, 2);
        let same = header.starts_with(b"PK\x03\x04")
            && number(&header, 8, 2) == u64::from(entry.method)
            && number(&header, 26, 2) == entry.name.len() as u64
            && header[LOCAL as usize..] == *entry.name.as_bytes()
            && data + entry.size <= entry.end;
        let name = entry.name.escape_debug();
        ensure!(same, Tensor, &self.place, "`{name}` is not where the directory of its archive says");
        Ok(data)
    }
}
