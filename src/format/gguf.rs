//! GGUF: llama.cpp's container, read from a prefix of the file.
//!
//! [`parse`] takes the first bytes of a file and returns its metadata and the places of its tensors, or the number of
//! bytes that it needs. [`describe()`] turns the files of a LLaVA (language model and mmproj) into what every layout
//! becomes: configuration files, and tensors under their canonical names.
//!
//! # Source
//! `ggml/docs/gguf.md` (format), `gguf-py` (keys), `convert_image_encoder_to_gguf.py` (mmproj).

mod describe;
mod header;
mod language;
mod names;
mod pair;
mod pre;
mod tokenizer;
mod tokens;
mod types;
mod value;
mod vision;
pub mod write;

pub use describe::{Described, describe};
pub use header::{Gguf, Parsed, TensorInfo, parse};
pub use tokenizer::tokenizer_json;
pub use value::{MAX_HEADER, Numbers, Scalar, Strings, Value};

#[cfg(test)]
mod tests;
