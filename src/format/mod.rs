//! The model on disk and on the wire, in every layout that is read.
//!
//! - [`source`]: files by name, read by ranges, wherever they are.
//! - [`names`]: which tensors a configuration needs, in order of use, under which names.
//! - [`manifest`], [`shards`]: our own layout, validated before it is believed, and the writer of shards.
//! - [`checkpoint`]: everybody else's: directories of [`weights`] in [`safetensors`] or PyTorch's own files ([`torch`]),
//!   in llava-hf's layout or the [`original`] with its [`sentencepiece`] vocabulary, and [`gguf`] pairs; `processor`:
//!   what transformers reads beside the weights.
//! - [`stored`]: what the headers of weight files say of a tensor.
//! - [`blueprint`], [`piece`]: any of them as a plan: which byte ranges become which rows on the device.
//! - [`convert`]: a checkpoint, by its blueprint → manifest and shards.
//!
//! The bytes are documented in `src/docs/format.md`.

pub mod blueprint;
pub mod checkpoint;
pub mod convert;
pub mod files;
pub mod gguf;
pub mod hash;
pub mod manifest;
pub mod names;
pub mod original;
pub mod piece;
mod processor;
pub mod safetensors;
pub mod sentencepiece;
pub mod shards;
pub mod source;
pub mod stored;
pub mod torch;
pub mod weights;
