//! Rows that another conversation has taken the place of, with their keys and values in buffers beside the cache.
//!
//! The cache holds one path ([`PrefixCache`](super::cache::PrefixCache)). Before a prompt overwrites rows of it, they are
//! copied to buffers of the device; a prompt that begins like parked rows gets them back by a copy. Conversations that
//! alternate thus cost their new rows only. A row's keys and values depend on all rows before it, so that an entry
//! serves every prompt that begins with its rows, at the same positions.
//!
//! The entries take at most the bytes of a cache of the whole context, and at most 512 MiB; what was used longest ago
//! is dropped. While one path is parked and another is loaded, both exist for a moment. Where the device has no memory
//! for them, rows are computed again.

use super::Engine;
use super::cache::Row;
use crate::device::Device;
use crate::error::{Kind, Result};
use crate::model::StoredRows;
use std::ops::Range;

/// Largest memory of all entries, bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Least rows that are parked, or loaded. The end of a question that is being typed is shorter: it changes with every
/// letter, and its prefill costs about a decoding step.
const MIN_ROWS: usize = 16;

/// A part of a path.
struct Parked {
    /// All rows of the path up to the end of the part.
    rows: Vec<Row>,
    /// First row whose keys and values are stored.
    first: usize,
    stored: StoredRows,
    /// Time of the last use.
    used: u64,
}

/// Entries of all paths.
#[derive(Default)]
pub(super) struct ParkedRows {
    list: Vec<Parked>,
    clock: u64,
}

/// Returns the largest number of rows of all entries, for a cache of `context` rows of `row_bytes` bytes.
pub(super) fn most_rows(row_bytes: u64, context: u32) -> u64 {
    (MAX_BYTES / row_bytes).min(u64::from(context))
}

/// Returns the number of leading rows that two paths share.
fn shared(a: &[Row], b: &[Row]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl ParkedRows {
    /// Lists the entries, and rows of each, that continue `done` rows of `prompt` one after another.
    fn chain(&self, prompt: &[Row], mut done: usize) -> Vec<(usize, Range<usize>)> {
        let mut chain = Vec::new();
        let reaches = |entry: &Parked, done: usize| if entry.first <= done { shared(&entry.rows, prompt) } else { 0 };
        while let Some((index, reach)) =
            self.list.iter().enumerate().map(|(i, entry)| (i, reaches(entry, done))).max_by_key(|(_, reach)| *reach)
            && reach > done
        {
            chain.push((index, done..reach));
            done = reach;
        }
        chain
    }

    /// Returns the number of leading rows of `prompt` that the cache, which shares `done` of them, can have without a
    /// prefill.
    pub fn reach(&self, prompt: &[Row], done: usize) -> usize {
        let reach = self.chain(prompt, done).last().map_or(done, |(_, range)| range.end);
        if reach - done < MIN_ROWS { done } else { reach }
    }

    /// Records a use of entries.
    fn touch(&mut self, chain: &[(usize, Range<usize>)]) {
        self.clock += 1;
        for (index, _) in chain {
            self.list[*index].used = self.clock;
        }
    }

    /// Drops entries until they take at most `limit` rows: first those whose rows the cache keeps (`kept`), then those
    /// used longest ago, the end of a path before its beginning.
    fn shrink(&mut self, device: &mut Device, kept: &[Row], limit: u64) {
        let rows = |list: &[Parked]| list.iter().map(|entry| u64::from(entry.stored.rows)).sum::<u64>();
        while rows(&self.list) > limit {
            let order = |entry: &Parked| (!kept.starts_with(&entry.rows), entry.used, std::cmp::Reverse(entry.first));
            let Some(index) = (0..self.list.len()).min_by_key(|index| order(&self.list[*index])) else { return };
            self.list.swap_remove(index).stored.free(device);
        }
    }

    /// Drops all entries.
    pub fn clear(&mut self, device: &mut Device) {
        self.list.drain(..).for_each(|entry| entry.stored.free(device));
    }
}

impl Engine {
    /// Makes the cache hold as many leading rows of `prompt` as it or the parked rows have, and parks the rows that
    /// `prompt` will overwrite.
    pub(super) async fn recall_rows(&mut self, prompt: &[Row]) -> Result<()> {
        let done = self.cache.shared(prompt);
        let reach = self.parked.reach(prompt, done);
        let chain = if reach > done { self.parked.chain(prompt, done) } else { Vec::new() };
        self.parked.touch(&chain);
        self.park_rows(done).await?;
        if reach > done {
            self.reserve_rows(reach as u32).await?;
            // The entries may have gone to make room.
            if self.parked.reach(prompt, done) == reach {
                self.cache.truncate(done);
                for (index, range) in self.parked.chain(prompt, done) {
                    let entry = &self.parked.list[index];
                    let stored = (range.start - entry.first) as u32..(range.end - entry.first) as u32;
                    self.model.load_rows(&entry.stored, stored, range.start as u32);
                }
                self.cache.extend(prompt[done..reach].iter().copied(), false);
            }
        }
        let limit = most_rows(self.model.cache_row_bytes(), self.model.context);
        let kept = self.cache.shared(prompt);
        self.parked.shrink(&mut self.model.device, &prompt[..kept], limit);
        Ok(())
    }

    /// Copies the cache's rows from `done` on, as far as they are not parked. Nothing is parked where memory lacks.
    async fn park_rows(&mut self, done: usize) -> Result<()> {
        let path = self.cache.rows();
        let known = self.parked.chain(path, done);
        let first = known.last().map_or(done, |(_, range)| range.end);
        self.parked.touch(&known);
        if path.len() - first < MIN_ROWS {
            return Ok(());
        }
        let rows = path.to_vec();
        match self.model.store_rows(first as u32, (rows.len() - first) as u32).await {
            Ok(stored) => {
                let used = self.parked.clock;
                self.parked.list.push(Parked { rows, first, stored, used });
                Ok(())
            }
            Err(error) if error.kind == Kind::OutOfMemory => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the cache room for `rows` rows, where they lack in place of parked rows.
    ///
    /// # Errors
    /// What [`Model::reserve_rows`](crate::model::Model::reserve_rows) reports.
    pub(super) async fn reserve_rows(&mut self, rows: u32) -> Result<()> {
        match self.model.reserve_rows(rows).await {
            Err(error) if error.kind == Kind::OutOfMemory && !self.parked.list.is_empty() => {
                self.parked.clear(&mut self.model.device);
                self.model.reserve_rows(rows).await
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests;
