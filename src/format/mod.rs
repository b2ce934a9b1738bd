//! The model on disk and on the wire: a manifest, shards, and how a Hugging Face checkpoint becomes both.
//!
//! - [`names`]: which tensors a configuration needs, in order of use, under which names.
//! - [`manifest`]: `manifest.json`, validated before it is believed.
//! - [`shards`]: the parts a loader fetches, their verification, and the writer that packs tiles into shards.
//! - [`safetensors`]: bounded reading of checkpoints by ranges.
//! - [`gguf`]: llama.cpp's container, and how a LLaVA in two such files is described like any other.
//! - [`convert`]: checkpoint directory → manifest and shards.
//!
//! The bytes are documented in `src/docs/format.md`.

pub mod convert;
pub mod gguf;
pub mod manifest;
pub mod names;
pub mod safetensors;
pub mod shards;
