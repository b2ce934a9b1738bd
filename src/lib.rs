//! LLaVA-1.5 in a browser tab: answers questions about pictures, on the visitor's own GPU.
//!
//! One crate runs natively and as WebAssembly. Read the modules in the order of the data:
//!
//! ```text
//! image bytes ─preprocess─▶ pixel values ─vision_tower─▶ image features ─connector─▶ image embeds ┐
//! question ──prompt──▶ text ──tokenizer──▶ token ids ──embed_rows──▶ text embeds ──────────────────┤ splice
//!                                                                                                  ▼
//!         text ◀─StreamDecoder─ token id ◀─sample─ logits ◀─decoder: prefill / step─ input embeds
//! ```
//!
//! [`engine`] tells that story on one screen. Below it, in layers that `tests/tidy.rs` enforces:
//!
//! | layer | modules | what they know |
//! |---|---|---|
//! | 5 edges | `web`, [`native`], [`scenes`], `train`, `bin/*` | JavaScript, files, clocks, command lines, Burn |
//! | 4 engine | [`engine`], [`measure`] | conversations: bytes in, events out; how long they take |
//! | 3 model | [`model`] | what is computed, recorded as passes |
//! | 2 compute | [`tuning`], [`pass`], [`kernels`], [`cpu`], [`gpu`], [`device`] | how it is computed: WGSL, and its CPU twin |
//! | 1 data | [`preprocess`], [`prompt`], [`tokenizer`], [`quant`], [`mod@format`] | bytes and numbers |
//! | 0 base | [`error`], [`config`] | |
//!
//! Three ideas carry the design. A forward pass is *data*: [`model`] records a list of operations once, and a
//! GPU or a CPU replays it. Every shader has a *twin* in plain Rust that defines what it computes and against
//! which it is tested. And *tokens stay on the device*: a decoding step reads what the sampler of the step
//! before has written, and the host follows some steps behind.
//!
//! Longer texts are in [`docs`].

// 0 base
pub mod config;
pub mod error;

// 1 data
pub mod preprocess;
pub mod prompt;
pub mod tokenizer;

pub mod format;
pub mod quant;

// 2 compute
pub mod pass;
pub mod tuning;

pub mod kernels;

pub mod cpu;
pub mod device;
pub mod gpu;

// 3 model
pub mod model;

// 4 engine
pub mod engine;
pub mod measure;

// 5 edges
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(any(not(target_arch = "wasm32"), feature = "learn"))]
pub mod scenes;
#[cfg(any(feature = "train", feature = "learn"))]
pub mod train;
#[cfg(all(target_arch = "wasm32", not(feature = "learn")))]
pub mod web;

pub mod docs;
