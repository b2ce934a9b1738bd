//! The engine natively, as one program: what the tests share is compiled and linked once.
//!
//! Beside it are programs of their own for what measures the memory of a whole process (`parsers`, `pictures`,
//! `quantise`), what measures speed (`constraint`), and what reads the repository alone (`tidy`).

#[path = "../common/mod.rs"]
mod common;

mod attention;
mod convert;
mod engine;
mod families;
mod gguf;
mod golden;
mod messages;
mod mobilevlm;
mod one_token;
mod qwen2;
mod reference;
mod reference_models;
mod relatives;
mod sampling;
mod shipped;
mod smollm2;
mod sources;
mod tiles;
mod tokenizers;
mod torch;
