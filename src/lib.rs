//! LLaVA-1.5 in a browser tab.
pub mod config;
pub mod cpu;
pub mod device;
pub mod engine;
pub mod error;
pub mod format;
pub mod gpu;
pub mod kernels;
pub mod model;
pub mod pass;
pub mod preprocess;
pub mod prompt;
pub mod quant;
pub mod tokenizer;
#[cfg(target_arch = "wasm32")]
pub mod web;
