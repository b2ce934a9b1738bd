//! Keys and values of the rows prefilled and decoded so far, one pair of buffers per layer.
//!
//! The engine knows which tokens the rows stand for and how many are valid (`engine/cache.rs`). A row is overwritten
//! when its position is computed again, so truncating costs nothing on the device. The cache begins small and grows
//! with the conversation; rows keep their place and their contents.

use crate::config::TextConfig;
use crate::device::Device;
use crate::error::Result;
pub use crate::kernels::{CacheType, Kv};
use crate::pass::Buf;

/// One [`Kv`] `[S, N_kv, D]` per block of the decoder.
pub struct KvCache {
    /// In order.
    pub layers: Vec<Kv>,
    /// `S`, its capacity.
    rows: u32,
    /// Values of a row: `N_kv · D`.
    width: u64,
    stored: CacheType,
}

impl KvCache {
    /// Allocates `rows` rows for every layer.
    ///
    /// # Errors
    /// What [`Device::buffer`] reports; nothing stays allocated then.
    pub async fn new(device: &mut Device, config: &TextConfig, rows: u32, stored: CacheType) -> Result<Self> {
        let width = u64::from(config.num_key_value_heads) * u64::from(config.head_dim);
        let words = stored.words(u64::from(rows) * width);
        let mut buffers = Vec::new();
        for index in 0..2 * config.num_hidden_layers {
            match device.buffer(if index % 2 == 0 { "k cache" } else { "v cache" }, words).await {
                Ok(buffer) => buffers.push(buffer),
                Err(error) => {
                    buffers.into_iter().for_each(|buffer| device.free(buffer));
                    return Err(error);
                }
            }
        }
        let layers = buffers.chunks_exact(2).map(|pair| Kv { k: pair[0], v: pair[1], stored }).collect();
        Ok(Self { layers, rows, width, stored })
    }

    /// Returns `S`, the number of rows that fit at present.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns how keys and values are stored.
    pub fn stored(&self) -> CacheType {
        self.stored
    }

    /// Returns the bytes of one row in all layers.
    pub fn row_bytes(&self) -> u64 {
        let bytes = if self.stored == CacheType::F16 { 2 } else { 4 };
        2 * self.layers.len() as u64 * self.width * bytes
    }

    /// Lists the buffers: keys and values of the first layer, then of the next.
    pub(super) fn buffers(&self) -> impl Iterator<Item = Buf> + '_ {
        self.layers.iter().flat_map(|layer| [layer.k, layer.v])
    }

    /// Returns the words of a row in one buffer. The heads' dimension is even, so that rows of f16 are whole words.
    pub(super) fn row_words(&self) -> u64 {
        self.row_bytes() / 4 / (2 * self.layers.len() as u64)
    }

    /// Grows the capacity to `rows` rows, if it is smaller. Buffers are resized one by one, so that the peak is one
    /// buffer above the final memory. Prepared passes keep working, on the new memory.
    ///
    /// # Errors
    /// What [`Device::resize`] reports. The capacity and the contents are then as before.
    pub async fn grow(&mut self, device: &mut Device, rows: u32) -> Result<()> {
        if rows <= self.rows {
            return Ok(());
        }
        let [before, after] = [self.rows, rows].map(|rows| self.stored.words(u64::from(rows) * self.width));
        let mut failure = None;
        let mut buffers: Vec<_> = self.layers.iter_mut().flat_map(|layer| [&mut layer.k, &mut layer.v]).collect();
        for buffer in &mut buffers {
            match device.resize(**buffer, after).await {
                Ok(grown) => **buffer = grown,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let Some(error) = failure else {
            self.rows = rows;
            return Ok(());
        };
        // Shrinks the layers before the failing one again. A buffer that cannot shrink stays longer than needed.
        for buffer in buffers.into_iter().rev().filter(|buffer| buffer.words > before) {
            if let Ok(shrunk) = device.resize(*buffer, before).await {
                *buffer = shrunk;
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::device::BackendChoice;
    use crate::error::Kind;
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;

    fn text_config() -> TextConfig {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gqa/config.json");
        Config::parse(&std::fs::read(path).unwrap(), None).unwrap().text
    }

    async fn check(backend: BackendChoice, stored: CacheType) {
        let config = text_config();
        let mut device = Device::open(backend).await.unwrap();
        let mut cache = KvCache::new(&mut device, &config, 3, stored).await.unwrap();
        assert_eq!(device.allocated(), 3 * cache.row_bytes(), "rows of a multiple of four words need no padding");
        let buffers = |cache: &KvCache| cache.layers.iter().flat_map(|l| [l.k, l.v]).collect::<Vec<_>>();
        for (i, buffer) in buffers(&cache).into_iter().enumerate() {
            let words: Vec<u32> = (0..buffer.words as u32).map(|w| w + 1000 * i as u32 + 1).collect();
            device.upload(buffer, 0, bytemuck::cast_slice(&words));
        }
        let (before, row) = (buffers(&cache), cache.row_bytes() / 4 / 2 / cache.layers.len() as u64);
        cache.grow(&mut device, 8).await.unwrap();
        assert_eq!((cache.rows(), device.allocated()), (8, 8 * cache.row_bytes()));
        let refused = cache.grow(&mut device, 1 << 30).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Tensor, "{refused}");
        cache.grow(&mut device, 5).await.unwrap();
        assert_eq!((cache.rows(), device.allocated()), (8, 8 * cache.row_bytes()), "as it was");
        for (i, (buffer, old)) in buffers(&cache).into_iter().zip(before).enumerate() {
            assert_eq!((buffer.id, buffer.words), (old.id, 8 * row));
            let words = device.read_back(buffer, 0, buffer.words as usize).await.unwrap();
            let (kept, new) = words.split_at(old.words as usize);
            assert!(kept.iter().enumerate().all(|(w, v)| *v == w as u32 + 1000 * i as u32 + 1), "buffer {i}");
            assert!(new.iter().all(|v| *v == 0), "buffer {i}");
        }
    }

    #[test]
    fn rows_stay_when_the_cache_grows() {
        for stored in [CacheType::F32, CacheType::F16] {
            block_on(check(BackendChoice::Cpu, stored));
            if gpu_or_skip() {
                block_on(check(BackendChoice::Gpu, stored));
            }
        }
    }
}
