//! Keys and values of cached rows, copied out of the cache: to buffers of the device, and to bytes.

use super::Model;
use crate::device::Device;
use crate::ensure;
use crate::error::Result;
use crate::pass::{Buf, CopyRange};
use crate::quant::MAX_BINDING;

/// Keys and values of consecutive rows, in buffers beside the cache.
pub struct StoredRows {
    /// Each holds [`rows_per_block`](Self::rows_per_block) rows, the last one the rest: the rows of the first layer's keys,
    /// of its values, of the next layer's keys.
    blocks: Vec<Buf>,
    rows_per_block: u32,
    /// Number of rows.
    pub rows: u32,
}

impl StoredRows {
    /// Stands for `rows` rows, without memory.
    #[cfg(test)]
    pub(crate) fn without_memory(rows: u32) -> Self {
        Self { blocks: Vec::new(), rows_per_block: 1, rows }
    }

    /// Frees the buffers.
    pub fn free(self, device: &mut Device) {
        self.blocks.into_iter().for_each(|block| device.free(block));
    }

    /// Returns the rows of a block.
    fn block_rows(&self, block: usize) -> std::ops::Range<u32> {
        let first = block as u32 * self.rows_per_block;
        first..self.rows.min(first + self.rows_per_block)
    }
}

impl Model {
    /// Copies `rows` rows of the cache from row `first` on to buffers of their own.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports; nothing stays allocated then.
    pub async fn store_rows(&mut self, first: u32, rows: u32) -> Result<StoredRows> {
        let per_block = ((MAX_BINDING / self.cache_row_bytes()).max(1) as u32).min(rows.max(1));
        let mut stored = StoredRows { blocks: Vec::new(), rows_per_block: per_block, rows };
        for block in 0..rows.div_ceil(per_block) as usize {
            let words = stored.block_rows(block).len() as u64 * self.cache_row_bytes() / 4;
            match self.device.buffer("stored rows of the cache", words.next_multiple_of(4)).await {
                Ok(buffer) => stored.blocks.push(buffer),
                Err(error) => {
                    stored.free(&mut self.device);
                    return Err(error);
                }
            }
        }
        let copies = self.block_copies(&stored, 0..rows, first);
        let reversed = |copy: CopyRange| CopyRange {
            from: copy.to,
            from_offset: copy.to_offset,
            to: copy.from,
            to_offset: copy.from_offset,
            words: copy.words,
        };
        self.device.copy(&copies.into_iter().map(reversed).collect::<Vec<_>>());
        Ok(stored)
    }

    /// Copies rows `range` of `stored` to the cache, the first to row `at`. The cache must have
    /// [room](Self::reserve_rows) for them.
    ///
    /// # Panics
    /// When it has not, or `stored` has fewer rows.
    pub fn load_rows(&mut self, stored: &StoredRows, range: std::ops::Range<u32>, at: u32) {
        assert!(range.end <= stored.rows, "rows that were not stored");
        let copies = self.block_copies(stored, range, at);
        self.device.copy(&copies);
    }

    /// Lists the copies of rows `range` of `stored` to the cache's rows from `at` on.
    fn block_copies(&self, stored: &StoredRows, range: std::ops::Range<u32>, at: u32) -> Vec<CopyRange> {
        let (cache, words) = (&self.decoder.cache, self.decoder.cache.row_words());
        let mut copies = Vec::new();
        for (index, from) in stored.blocks.iter().enumerate() {
            let block = stored.block_rows(index);
            let (first, end) = (range.start.max(block.start), range.end.min(block.end));
            if first >= end {
                continue;
            }
            let [skipped, height, target, rows] =
                [first - block.start, block.end - block.start, at + first - range.start, end - first].map(u64::from);
            copies.extend(cache.buffers().zip(0..).map(|(to, buffer)| CopyRange {
                from: *from,
                from_offset: (buffer * height + skipped) * words,
                to,
                to_offset: target * words,
                words: rows * words,
            }));
        }
        copies
    }

    /// Reads the first `rows` rows of the cache back: those of the first layer's keys, of its values, of the next
    /// layer's keys.
    ///
    /// # Errors
    /// What [`Device::finish_read_back`] reports.
    pub async fn read_rows(&mut self, rows: u32) -> Result<Vec<u8>> {
        let words = (u64::from(rows) * self.decoder.cache.row_words()) as usize;
        let buffers: Vec<Buf> = self.decoder.cache.buffers().collect();
        let mut bytes = Vec::with_capacity(buffers.len() * words * 4);
        for buffer in buffers {
            let read = self.device.read_back(buffer, 0, words).await?;
            bytes.extend_from_slice(bytemuck::cast_slice(&read));
        }
        Ok(bytes)
    }

    /// Writes what [`read_rows`](Self::read_rows) returned to the first rows of the cache.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) when its length is not that of `rows` rows; what
    /// [`reserve_rows`](Self::reserve_rows) reports. The cache does not change then.
    pub async fn write_rows(&mut self, rows: u32, bytes: &[u8]) -> Result<()> {
        let expected = u64::from(rows) * self.cache_row_bytes();
        ensure!(bytes.len() as u64 == expected, Argument, "rows", "{} bytes instead of {expected}", bytes.len());
        if rows == 0 {
            return Ok(());
        }
        self.reserve_rows(rows).await?;
        let buffers: Vec<Buf> = self.decoder.cache.buffers().collect();
        for (buffer, part) in buffers.iter().zip(bytes.chunks_exact(bytes.len() / buffers.len())) {
            self.device.upload(*buffer, 0, part);
        }
        Ok(())
    }
}
