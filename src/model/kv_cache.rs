//! The keys and values of everything read so far, one pair of buffers per layer.
//!
//! What the rows stand for, and how many are valid, is the engine's knowledge (`engine/cache`): on the device a
//! row is overwritten when its position is read again, so forgetting costs nothing.

use crate::config::TextConfig;
use crate::device::Device;
use crate::error::Result;
use crate::pass::Buf;

/// `[S, N_kv, D]` each.
#[derive(Debug, Clone, Copy)]
pub struct KvLayer {
    /// Keys, rotated.
    pub k: Buf,
    /// Values.
    pub v: Buf,
}

/// One [`KvLayer`] per block of the decoder.
pub struct KvCache {
    /// In order.
    pub layers: Vec<KvLayer>,
}

impl KvCache {
    /// Allocates `context` rows for every layer.
    pub async fn new(device: &mut Device, config: &TextConfig, context: u32) -> Result<Self> {
        let words = u64::from(context) * u64::from(config.num_key_value_heads) * u64::from(config.head_dim);
        let mut layers = Vec::new();
        for _ in 0..config.num_hidden_layers {
            layers
                .push(KvLayer { k: device.buffer("k cache", words).await?, v: device.buffer("v cache", words).await? });
        }
        Ok(Self { layers })
    }
}
