//! The model on disk and on the wire, in every layout that is read.
//!
//! - [`source`]: files by name, read by ranges, wherever they are. [`files`]: the small files and their limits.
//!   [`hash`]: SHA-256.
//! - [`names`]: the tensors that a configuration needs, and the one check that they are there; one file per family.
//! - [`manifest`], [`shards`]: this project's own layout, validated before it is believed, and the writer of shards.
//! - [`checkpoint`]: all other layouts: directories of [`weights`] in [`safetensors`] or PyTorch's own files
//!   ([`torch`]), in llava-hf's layout or the [`original`] with its [`sentencepiece`] vocabulary, and [`gguf`] pairs;
//!   `processor`: the files that transformers reads beside the weights.
//! - [`stored`]: the place of a tensor in a weight file.
//! - [`blueprint`], [`piece`]: any of them as a plan: which byte ranges become which rows on the device.
//! - [`convert`]: checkpoint → manifest and shards, by its blueprint.
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
